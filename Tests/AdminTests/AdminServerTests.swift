import Control
import Glibc
import WeirHTTPModel
import Proxy
import Reactor
import Telemetry
import Testing

@testable import Admin

/// A blocking client that says exactly what it is told.
struct RawClient: ~Copyable {
    let fd: Int32

    init(_ address: SocketAddress) {
        fd = Glibc.socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let result = address.withSockaddr { connect(fd, $0, $1) }
        #expect(result == 0)
    }

    deinit { close(fd) }

    func say(_ text: String) { _ = Glibc.send(fd, text, text.utf8.count, Int32(MSG_NOSIGNAL)) }

    /// Everything until the server closes.
    func hearAll() -> String { hear { _ in false } }

    func hear(until done: (String) -> Bool) -> String {
        var heard: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 4096)
        while true {
            let text = String(decoding: heard, as: UTF8.self)
            if done(text) { return text }
            let count = recv(fd, &room, room.count, 0)
            if count <= 0 { return text }
            heard += room[..<count]
        }
    }
}

/// A source whose reloads end when they are told to.
final class SlowSource: AdminSource {
    private let fixed = FixedSource()
    private let answers = Locked<[@Sendable (ReloadResult) -> Void]>([])

    var waiting: Int { answers.withLock { $0.count } }

    func answerAll() {
        for answer in answers.withLock({ $0 }) { fixed.reload(answer) }
    }

    func metricsText() -> [UInt8] { fixed.metricsText() }
    func reload(_ answer: @escaping @Sendable (ReloadResult) -> Void) {
        answers.withLock { $0.append(answer) }
    }
    func isReady() -> Bool { true }
    func administer(service: String, endpoint: String, _ order: EndpointOrder) -> [EndpointStatus] { [] }
    func explain(_ question: ExplainQuestion) -> Explanation { fixed.explain(question) }
    func status() -> StatusSnapshot { fixed.status() }
}

@Suite struct AdminServerTests {
    let server: AdminServer
    let address: SocketAddress

    init() throws {
        let loopback = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 0)
        let socket = try Socket.listen(on: loopback, dualStack: false).get()
        address = try #require(socket.localAddress())
        server = AdminServer(
            ListeningSockets(id: 1, address: address, descriptors: [socket.fd]), source: FixedSource(),
            log: Log(level: .error))
        server.start()
    }

    @Test func servesTheCommandLinesClient() throws {
        defer { server.stop() }
        let status = try AdminClient.request(
            address, method: "GET", target: "/api/v1/status?format=text")
        #expect(status.status == 200)
        #expect(String(decoding: status.body, as: UTF8.self).contains("10.0.0.1:80"))
        let reload = try AdminClient.request(
            address, method: "POST", target: "/api/v1/reload?format=text")
        #expect(reload == AdminAnswer(status: 200, body: Array("reload: ok, generation 4\n".utf8)))
    }

    @Test func keepsAliveAndAnswersPipelinedRequestsInOrder() {
        defer { server.stop() }
        let client = RawClient(address)
        client.say(
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        client.say("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let heard = client.hearAll()
        let statuses = heard.ranges(of: "HTTP/1.1 ").map { heard[$0.upperBound...].prefix(3) }
        #expect(statuses == ["200", "200", "404"])
        #expect(heard.contains("\r\nContent-Length: 10\r\n"))
        #expect(!heard.contains("weir_up"))
        #expect(heard.contains("Connection: close"))
        #expect(heard.contains("default-src 'none'"))
    }

    @Test func aLongPipelineIsAnsweredWhole() {
        defer { server.stop() }
        let client = RawClient(address)
        let count = AdminConnection.answersPerTurn * 3 + 1
        client.say(String(repeating: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", count: count))
        client.say("GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let heard = client.hearAll()
        #expect(heard.ranges(of: "HTTP/1.1 200 ").count == count + 1)
    }

    @Test func aRequestInSmallPiecesIsARequest() {
        defer { server.stop() }
        let client = RawClient(address)
        for byte
            in "POST /api/v1/reload HTTP/1.1\r\nHost: [::1]\r\nX-Weir-Request: 1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
        {
            client.say(String(byte))
        }
        #expect(client.hearAll().contains("\"ok\":true"))
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
        (
            "POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nX-Weir-Request: 1\r\nContent-Length: 65537\r\n\r\n",
            "413"
        ),
        ("POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "411"),
        ("GET /" + String(repeating: "a", count: 5000) + " HTTP/1.1\r\n", "414"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA: " + String(repeating: "a", count: 17_000), "431"),
    ])
    func badRequestsAreAnsweredOnceAndClosed(request: String, status: String) {
        defer { server.stop() }
        let client = RawClient(address)
        client.say(request + "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        let heard = client.hearAll()
        #expect(heard.hasPrefix("HTTP/1.1 \(status) "))
        #expect(heard.contains("Connection: close"))
        #expect(heard.ranges(of: "HTTP/1.1 ").count == 1)
    }

    @Test func clientsThatSayNothingDoNotKeepOthersOut() throws {
        defer { server.stop() }
        var idle: [Int32] = []
        for _ in 0..<AdminServer.connectionsMax * 2 {
            let fd = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            #expect(address.withSockaddr { connect(fd, $0, $1) } == 0)
            idle.append(fd)
        }
        let answer = try AdminClient.request(address, method: "GET", target: "/healthz")
        #expect(answer.status == 200)
        for fd in idle { close(fd) }
    }

    @Test func aClientThatDoesNotReadDoesNotKeepOthersOut() throws {
        defer { server.stop() }
        let client = RawClient(address)
        // Far more than both socket buffers hold: the server ends up with an answer it cannot send.
        let requests = String(repeating: "GET /dashboard.js HTTP/1.1\r\nHost: a\r\n\r\n", count: 2000)
        _ = Glibc.send(client.fd, requests, requests.utf8.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        let answer = try AdminClient.request(address, method: "GET", target: "/healthz")
        #expect(answer.status == 200)
    }

    @Test func stopEndsTheThreadAndTheConnections() {
        let client = RawClient(address)
        client.say("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(client.hear { $0.hasSuffix("ok\n") }.hasSuffix("ok\n"))
        server.stop()
        #expect(client.hearAll().isEmpty)
        server.stop()
    }

    /// Whoever waits for a reload waits alone: others are served, and what the client sends meanwhile is kept.
    @Test func aReloadKeepsNobodyElseWaiting() throws {
        let loopback = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 0)
        let socket = try Socket.listen(on: loopback, dualStack: false).get()
        let address = try #require(socket.localAddress())
        let source = SlowSource()
        let slow = AdminServer(
            ListeningSockets(id: 2, address: address, descriptors: [socket.fd]), source: source,
            log: Log(level: .error))
        slow.start()
        defer {
            slow.stop()
            server.stop()
        }
        let gone = RawClient(address)
        gone.say("POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nX-Weir-Request: 1\r\n\r\n")
        let client = RawClient(address)
        client.say("POST /api/v1/reload HTTP/1.1\r\nHost: a\r\nX-Weir-Request: 1\r\n\r\n")
        client.say("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        let readers = RawClient(address)
        readers.say("GET /api/v1/status HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(readers.hear { $0.contains("\r\n\r\n{") }.hasPrefix("HTTP/1.1 200 "))
        while source.waiting < 2 { usleep(1_000) }
        shutdown(gone.fd, Int32(SHUT_RDWR))
        readers.say("GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        #expect(readers.hearAll().contains("ok\n"))
        source.answerAll()
        let heard = client.hearAll()
        #expect(heard.contains("\"generation\":4"))
        #expect(heard.hasSuffix("ok\n"))
        #expect(heard.ranges(of: "HTTP/1.1 200 ").count == 2)
    }

    @Test func nothingListening() {
        // A bound socket that does not listen refuses connections.
        let fd = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer {
            close(fd)
            server.stop()
        }
        let loopback = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 0)
        #expect(loopback.withSockaddr { bind(fd, $0, $1) } == 0)
        guard let address = Socket(fd: fd).localAddress() else { return #expect(Bool(false)) }
        #expect(throws: AdminClientError.connect(ECONNREFUSED)) {
            try AdminClient.request(address, method: "GET", target: "/")
        }
    }
}

/// Timeouts are decided by `nowNs`, so they are tested without waiting.
@Suite struct AdminConnectionTests {
    @Test func theDeadlineCountsFromTheFirstByteNotFromTheLast() {
        var ends: [Int32] = [0, 0]
        #expect(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer {
            close(ends[0])
            close(ends[1])
        }
        let fields = UnsafeMutablePointer<Field>.allocate(capacity: AdminConnection.fieldsMax)
        defer { fields.deallocate() }
        let routes = AdminRoutes(source: FixedSource(), allowedHosts: [])
        let connection = AdminConnection(Socket(fd: ends[0]), nowNs: 0)
        func advance(_ nowNs: UInt64) -> Readiness? {
            connection.advance(routes, fields, nowNs: nowNs) { _ in }
        }
        #expect(advance(1) == .readable)
        #expect(connection.isIdle)
        #expect(connection.deadlineNs == AdminConnection.timeoutNs)
        write(ends[1], "G", 1)
        #expect(advance(5) == .readable)
        #expect(!connection.isIdle)
        #expect(connection.deadlineNs == 5 + AdminConnection.timeoutNs)
        write(ends[1], "E", 1)
        #expect(advance(9) == .readable)
        #expect(connection.deadlineNs == 5 + AdminConnection.timeoutNs)
    }
}
