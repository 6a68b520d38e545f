// The client against real servers: every bound, every failure, and where it must not go.

import Foundation
import Reactor
import Testing

@testable import HTTPClient

@Suite("HTTP client") final class HTTPClientTests {
    let peers = Peers.shared
    let client = HTTPClient.toLoopback()
    var plain: String { "http://127.0.0.1:\(peers.plain)" }

    deinit { client.stop() }

    // MARK: what works

    @Test func answer() throws {
        let response = try client.get("\(plain)/echo?a=b#c") {
            $0.fields = [.init("X-A", "1"), .init("X-Empty", "")]
        }
        .get()
        #expect(response.status == 200 && response.version == 11 && response.url == "\(plain)/echo?a=b")
        #expect(response.fields.filter { $0.name == "X-Two" }.map(\.value) == ["a", "b"])
        let lines = String(decoding: response.body, as: UTF8.self).components(separatedBy: "\r\n")
        #expect(lines[0] == "GET /echo?a=b HTTP/1.1")
        #expect(lines.contains("X-A: 1") && lines.contains("X-Empty:") && lines.contains("User-Agent: weir"))
        #expect(lines.contains("Host: 127.0.0.1:\(peers.plain)"))
        #expect(!lines.contains { $0.hasPrefix("Accept-Encoding") || $0.hasPrefix("Cookie") })
    }

    @Test func statusIsAnAnswer() throws {
        #expect(try client.get("\(plain)/none").get().status == 404)
        #expect(try client.get("\(plain)/to?/ok").get().status == 302)
    }

    @Test(arguments: [HTTPClient.Method.post, .put, .patch, .delete])
    func bodies(method: HTTPClient.Method) throws {
        var request = HTTPClient.Request(.ocsp, method, "\(plain)/echo", origin: .configuration)
        // Longer than what libcurl would ask leave for (Expect: 100-continue), with a zero byte in it.
        request.body = Array("a\0b".utf8) + [UInt8](repeating: 0x78, count: 100_000)
        let text = try #require(client.ask(request).text)
        #expect(
            text.hasPrefix("\(method.rawValue) /echo HTTP/1.1\r\n")
                && text.hasSuffix("\r\n\r\na\0b" + String(repeating: "x", count: 100_000)))
        #expect(!text.contains("Expect:") && !text.contains("Content-Type:"))
    }

    @Test func head() throws {
        let response = try client.get("\(plain)/head-huge-length") { $0.method = .head }.get()
        #expect(
            response.status == 200 && response.field("content-length") == "99999999" && response.body.isEmpty)
    }

    @Test func interimAndTrailers() throws {
        let interim = try client.get("\(plain)/interim").get()
        #expect(interim.status == 200 && interim.field("link") == nil && interim.body == Array("ok".utf8))
        let trailers = try client.get("\(plain)/trailers").get()
        #expect(trailers.field("x-late") == nil && trailers.body == Array("ok".utf8))
    }

    @Test func filesOfPython() throws {
        let response = try client.get("http://127.0.0.1:\(peers.files)/file.txt").get()
        #expect(response.body == Array("from a file".utf8) && response.version == 10)
    }

    @Test func unixSocket() {
        let result = client.get("http://anything.example/ok") {
            $0.target = .unix(path: "\(self.peers.folder)/peer.sock")
        }
        #expect(result.text == "ok")
    }

    @Test func targetOverride() throws {
        let result = client.get("http://elsewhere.example/echo") {
            $0.target = .address(IPAddress(v4: 0x7f00_0001), port: UInt16(self.peers.plain))
        }
        #expect(try #require(result.text).contains("\r\nHost: elsewhere.example\r\n"))
    }

    @Test func connectionsAreKept() throws {
        for _ in 0..<3 { #expect(client.get("\(plain)/ok").text == "ok") }
        let values = try #require(client.metrics.values().first)
        #expect(values.ended[HTTPClient.Outcome.answered.rawValue] == 3 && values.ns > 0)
    }

    @Test func manyAtOnce() {
        let answers = Answers()
        for _ in 0..<100 {
            client.send(.init(.ocsp, .get, "\(plain)/ok", origin: .configuration)) {
                answers.mailbox.send($0)
            }
        }
        var count = 0
        while count < 100 {
            var watched = pollfd(fd: answers.mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&watched, 1, 60_000) == 1 else { break }
            for result in answers.mailbox.takeAll() {
                #expect(result.text == "ok")
                count += 1
            }
        }
        #expect(count == 100)
    }

    // MARK: TLS

    private func secure(_ port: Int, _ change: (inout HTTPClient.Request) -> Void = { _ in }) -> Result {
        client.get("https://server.example:\(port)/ok") {
            $0.tls.authorities = .file("\(self.peers.folder)/server.pem")
            change(&$0)
        }
    }

    @Test func http2OnlyWhereAllowed() throws {
        let two = try secure(peers.nginx) { $0.allowsHTTP2 = true }.get()
        #expect(two.version == 20 && String(decoding: two.body, as: UTF8.self).hasPrefix("HTTP/2.0"))
        let one = try secure(peers.nginx).get()
        #expect(one.version == 11)
        #expect(String(decoding: one.body, as: UTF8.self) == "HTTP/1.1 server.example server.example")
    }

    @Test func authoritiesAndNames() throws {
        func isTLS(_ result: Result) -> Bool { if case .tls = result.problem { true } else { false } }
        #expect(isTLS(secure(peers.nginx) { $0.tls.authorities = .system }))
        #expect(isTLS(secure(peers.nginx) { $0.url = "https://other.example:\(self.peers.nginx)/" }))
        #expect(isTLS(secure(peers.nginx) { $0.tls.authorities = .file("/none.pem") }))
        let pinned = secure(peers.nginx) {
            $0.url = "https://other.example:\(self.peers.nginx)/"
            $0.tls.serverName = "server.example"
        }
        #expect(pinned.text == "HTTP/1.1 other.example server.example")
    }

    @Test func clientCertificate() {
        // The server trusts its own certificate, which a client may show as well.
        let known = secure(peers.tls) {
            $0.tls.certificate = .init(
                chain: "\(self.peers.folder)/server.pem", key: "\(self.peers.folder)/server.key")
        }
        #expect(known.text == "ok")
        for stranger in [nil, "client"] {
            let refused = secure(peers.tls) { request in
                request.tls.certificate = stranger.map {
                    .init(chain: "\(self.peers.folder)/\($0).pem", key: "\(self.peers.folder)/\($0).key")
                }
            }
            // With TLS 1.3 the refusal comes after the client's handshake.
            switch refused.problem {
            case .tls, .closed: break
            default: Issue.record("\(refused)")
            }
        }
    }

    // MARK: bounds

    @Test func bodyAtItsBound() {
        func size(_ count: Int) -> Result {
            client.get("\(plain)/body?\(count)") { $0.bounds.bodyBytes = 1_000 }
        }
        #expect((try? size(1_000).get())?.body.count == 1_000)
        #expect(size(1_001).problem == .tooLarge(.body, bytesMax: 1_000))
        #expect(
            client.get("\(plain)/announced?1001") { $0.bounds.bodyBytes = 1_000 }.problem
                == .tooLarge(.body, bytesMax: 1_000))
        #expect(client.get("\(plain)/endless-body").problem == .tooLarge(.body, bytesMax: 1_048_576))
    }

    @Test(arguments: ["endless-head", "endless-line", "endless-interim", "endless-trailers"])
    func headHasAnEnd(path: String) {
        #expect(client.get("\(plain)/\(path)").problem == .tooLarge(.head, bytesMax: 65_536))
    }

    @Test func headAtItsBound() {
        // "HTTP/1.1 200 OK", "Content-Length: 2" and the empty line, with their ends.
        let bytes = 17 + 19 + 2
        #expect(client.get("\(plain)/ok") { $0.bounds.headBytes = bytes }.text == "ok")
        #expect(
            client.get("\(plain)/ok") { $0.bounds.headBytes = bytes - 1 }.problem
                == .tooLarge(.head, bytesMax: bytes - 1))
    }

    @Test func compression() throws {
        #expect(client.get("\(plain)/gzip") { $0.allowsCompression = true }.text == "small")
        let raw = try client.get("\(plain)/gzip").get()
        #expect(raw.body.prefix(2) == [0x1f, 0x8b], "not undone unless asked for")
        #expect(
            client.get("\(plain)/bomb") { $0.allowsCompression = true }.problem
                == .tooLarge(.body, bytesMax: 1_048_576))
    }

    @Test func deadlines() {
        let total = client.get("\(plain)/silent") { $0.deadlines.totalMs = 200 }
        #expect(total.problem == .timeout(.total, ms: 200))
        #expect(
            client.get("\(plain)/slow") { $0.deadlines.totalMs = 200 }.problem == .timeout(.total, ms: 200))
        let rate = client.get("\(plain)/slow") {
            $0.deadlines.rate = .init(bytesPerSecond: 100, overSeconds: 1)
        }
        #expect(rate.problem == .timeout(.rate, ms: 0))
        // A listener that never accepts: no answer to the handshake.
        let full = Listening(IPAddress(v4: 0x7f00_0001))
        let tls = client.get("https://127.0.0.1:\(full.port)/") { $0.deadlines.connectMs = 200 }
        #expect(tls.problem == .timeout(.connect, ms: 200))
    }

    @Test func nameDeadline() {
        let mute = HTTPClient(metrics: HTTPClientMetrics()) { _, _ in }
        defer { mute.stop() }
        #expect(
            mute.get("http://a.example/") { $0.deadlines.connectMs = 100 }.problem
                == .timeout(.connect, ms: 100))
        #expect(
            mute.get("http://a.example/") { $0.deadlines.totalMs = 100 }.problem == .timeout(.total, ms: 100))
    }

    @Test func requestsAtTheirBound() {
        let two = HTTPClient.toLoopback(requestsMax: 2)
        let held = Answers()
        var calls: [HTTPClient.Call] = []
        for _ in 0..<2 {
            calls.append(
                two.send(.init(.ocsp, .get, "\(plain)/silent", origin: .configuration)) {
                    held.mailbox.send($0)
                })
        }
        #expect(two.get("\(plain)/ok").problem == .overloaded)
        calls[0].cancel()
        #expect(held.next().problem == .cancelled)
        #expect(two.get("\(plain)/ok").text == "ok")
        two.stop()
        #expect(held.next().problem == .stopped)
        #expect(two.get("\(plain)/ok").problem == .stopped)
    }

    // MARK: failures

    @Test func nobodyThere() {
        let port = Peers.freePort()
        #expect(
            client.get("http://127.0.0.1:\(port)/").problem == .connect(to: "127.0.0.1:\(port)", ECONNREFUSED)
        )
        #expect(
            client.get("http://nowhere.example/").problem == .name(host: "nowhere.example", "no such name"))
    }

    @Test(arguments: ["/cut", "/nothing"]) func closed(path: String) {
        #expect(client.get(plain + path).problem == .closed)
    }

    @Test(arguments: ["/ssh", "/two-lengths", "/folded", "/bad-chunk"]) func malformed(path: String) {
        guard case .malformed = client.get(plain + path).problem else {
            Issue.record("\(client.get(plain + path))")
            return
        }
    }

    @Test(
        arguments: [
            "", "127.0.0.1", "ftp://127.0.0.1/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://",
            "http://a:0/", "http://a:65536/", "http://a:8 0/", "http://u@a/", "http://u:p@a/", "http://[::1/",
            "http://[]/",
            "http://a/\r\nX: y", "http://a/\u{0}", "http://ä.example/", "http://[fe80::1%25lo]/",
            "http://a/" + String(repeating: "x", count: 8_192),
        ])
    func notAURL(url: String) {
        #expect(client.get(url).problem == .badRequest("\(url) is no http or https URL"))
    }

    @Test func notAField() {
        for field in [HTTPClient.Field("A b", ""), .init("", "x"), .init("A", "b\r\nC: d"), .init("A", "\0")]
        {
            #expect(client.get("\(plain)/ok") { $0.fields = [field] }.problem?.outcome == .badRequest)
        }
    }

    // MARK: where a URL from data leads

    private func fromData(
        _ url: String, allowing: [String] = [], _ change: (inout HTTPClient.Request) -> Void = { _ in }
    ) -> Result {
        client.get(url) {
            $0.origin = .data(allowing: allowing.compactMap { AddressBlock($0) })
            $0.redirectsMax = 3
            change(&$0)
        }
    }

    @Test func privateAddresses() {
        let port = peers.plain
        let denied = HTTPClient.Failure.denied(address: "127.0.0.1")
        #expect(fromData("\(plain)/ok").problem == denied)
        #expect(fromData("\(plain)/ok", allowing: ["127.0.0.0/8"]).text == "ok")
        // Other ways to write it, and a name that says it, at any moment.
        for host in ["2130706433", "0x7f.1", "017700000001", "rebound.example"] {
            #expect(fromData("http://\(host):\(port)/ok").problem == denied, "\(host)")
        }
        #expect(fromData("http://[::ffff:127.0.0.1]:\(port)/ok").problem?.outcome == .denied)
        #expect(
            fromData("http://public.example/ok") { $0.target = .unix(path: "\(self.peers.folder)/peer.sock") }
                .problem?.outcome == .denied)
        #expect(
            fromData("http://1.1.1.1/ok") {
                $0.target = .address(IPAddress(v4: 0x7f00_0001), port: UInt16(port))
            }.problem == denied)
    }

    @Test func connectionOfAnotherRequest() {
        // The kept connection leads to this machine: what may not open it may not use it.
        #expect(client.get("http://kept.example:\(peers.plain)/ok").text == "ok")
        #expect(fromData("http://kept.example:\(peers.plain)/ok").problem?.outcome == .denied)
        #expect(client.get("http://kept.example:\(peers.plain)/ok").text == "ok")
    }

    @Test func redirectToAPrivateAddress() throws {
        // Only the first address is allowed; where it redirects to is checked again.
        let listening = Listening(IPAddress(v4: 0x7f00_0002))
        let inner = "127.0.0.2:\(listening.port)"
        let result = fromData("\(plain)/to?http://\(inner)/", allowing: ["127.0.0.1"])
        #expect(result.problem == .denied(address: "127.0.0.2"))
    }

    @Test func redirects() throws {
        func get(_ path: String, _ change: (inout HTTPClient.Request) -> Void = { _ in }) -> Result {
            client.get(plain + path) {
                $0.redirectsMax = 3
                change(&$0)
            }
        }
        let followed = try get("/to?/to?/ok").get()
        #expect(followed.body == Array("ok".utf8) && followed.url == "\(plain)/ok")
        #expect(get("/round").problem == .tooManyRedirects(max: 3))
        for target in ["file:///etc/passwd", "ftp://127.0.0.1/", "http://u@a/"] {
            #expect(get("/to?\(target)").problem == .redirectNotAllowed(to: target))
        }
        #expect(get("/to?/ok") { $0.method = .post }.problem == .redirectNotAllowed(to: "/ok"))
        // A secret for one server is not shown to another.
        let secret = [HTTPClient.Field("X-Token", "secret")]
        #expect(try #require(get("/to?/echo") { $0.fields = secret }.text).contains("secret"))
        let other = get("/to?http://other.example:\(peers.plain)/echo") { $0.fields = secret }
        #expect(try !#require(other.text).contains("secret"))
    }

    @Test func fromTLSToPlain() {
        let certificate = HTTPClient.TLS.Certificate(
            chain: "\(peers.folder)/server.pem", key: "\(peers.folder)/server.key")
        let result = client.get("https://server.example:\(peers.tls)/to?\(plain)/ok") {
            $0.tls = .init(authorities: .file("\(self.peers.folder)/server.pem"), certificate: certificate)
            $0.redirectsMax = 3
        }
        #expect(result.problem == .redirectNotAllowed(to: "\(plain)/ok"))
    }

    @Test func environmentIsNotAsked() {
        for name in ["http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"] {
            setenv(name, "http://127.0.0.1:1", 1)
        }
        defer { for name in ["http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"] { unsetenv(name) } }
        #expect(client.get("\(plain)/ok").text == "ok")
    }

    // MARK: the end

    @Test func cancelBeforeAndAfter() {
        let answers = Answers()
        let call = client.send(.init(.ocsp, .get, "\(plain)/slow", origin: .configuration)) {
            answers.mailbox.send($0)
        }
        call.cancel()
        #expect(answers.next().problem == .cancelled)
        call.cancel()
        let done = Answers()
        let over = client.send(.init(.ocsp, .get, "\(plain)/ok", origin: .configuration)) {
            done.mailbox.send($0)
        }
        #expect(done.next().text == "ok")
        over.cancel()
        #expect(client.get("\(plain)/ok").text == "ok")
    }

    @Test func stopAnswersEverybody() {
        let ending = HTTPClient.toLoopback()
        let answers = (0..<10).map { _ in Answers() }
        for (i, one) in answers.enumerated() {
            let path = ["/silent", "/slow"][i % 2]
            ending.send(.init(.ocsp, .get, plain + path, origin: .configuration)) { one.mailbox.send($0) }
        }
        ending.stop()
        for one in answers { #expect(one.next().problem == .stopped) }
        ending.stop()
    }

    @Test func nothingAskedNothingStarted() {
        let idle = HTTPClient.toLoopback()
        idle.stop()
        #expect(idle.metrics.values().isEmpty)
    }
}

@Suite("Private ranges") struct PrivateRangesTests {
    @Test(
        arguments: [
            "0.0.0.0", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.168.1.1", "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:10.0.0.1",
            "fc00::1", "fd12::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1", "2002:a9fe:a9fe::", "2001::1", "2001:db8::1", "2a00::5efe:10.0.0.1",
            "2a00::200:5efe:10.0.0.1",
            "100::1", "4000::1", "3fff::1",
        ])
    func isPrivate(text: String) throws { #expect(PrivateRanges.contains(try #require(IPAddress(text)))) }

    @Test(
        arguments: [
            "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::8.8.8.8", "2002:808:808::1",
        ])
    func isPublic(text: String) throws { #expect(!PrivateRanges.contains(try #require(IPAddress(text)))) }
}
