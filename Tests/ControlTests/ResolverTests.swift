// The resolver against real servers: dnsmasq with outage and changing records, and a scripted server.

import Glibc
import Reactor
import Testing

@testable import Control

extension Resolver {
    fileprivate func ask(_ name: String, _ family: Family = .any) async -> ResolveResult {
        await withCheckedContinuation { continuation in
            resolve(name: name, family: family) { continuation.resume(returning: $0) }
        }
    }
}

private func resolver(
    _ port: UInt16, _ change: (inout Resolver.Settings) -> Void = { _ in }
) -> Resolver {
    var settings = Resolver.Settings()
    settings.servers = ["127.0.0.1:\(port)"]
    settings.timeoutMs = 300
    settings.tries = 1
    change(&settings)
    return Resolver(settings: settings)
}

private func ips(_ texts: String...) throws -> Set<IPAddress> {
    Set(try texts.map { try #require(IPAddress($0)) })
}

private func expectAddresses(
    _ result: ResolveResult, _ addresses: Set<IPAddress>, ttl: Int, isComplete: Bool = true,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    guard case .addresses(let got, let gotTTL, let gotComplete) = result else {
        Issue.record("\(result)", sourceLocation: sourceLocation)
        return
    }
    #expect(Set(got) == addresses && got.count == addresses.count, sourceLocation: sourceLocation)
    #expect(gotTTL == ttl, sourceLocation: sourceLocation)
    #expect(gotComplete == isComplete, sourceLocation: sourceLocation)
}

private func kind(_ result: ResolveResult) -> ResolveFailureKind? {
    if case .failed(let kind, _) = result { kind } else { nil }
}

@Suite(.timeLimit(.minutes(1))) struct ResolverTests {
    /// Records, an outage, and the same name elsewhere afterwards, as a tracker sees them.
    @Test func outageAndChangeWithDnsmasq() async throws {
        let port = quietPort()
        let resolver = resolver(port)
        var tracker = NameTracker()
        func refresh(_ nowMs: UInt64) async -> NameTracker.Changes {
            switch await resolver.ask("api.test") {
            case .addresses(let addresses, let ttl, let isComplete):
                tracker.answered(
                    addresses, ttlSeconds: ttl, isComplete: isComplete, atMs: nowMs, jitter: 0)
            case .failed(let kind, _): tracker.failed(kind, atMs: nowMs, jitter: 0)
            }
        }

        // Nobody listens yet: starting does not depend on DNS.
        #expect(await refresh(0).isEmpty)
        #expect(tracker.state == .unresolved)

        var server = try #require(
            Dnsmasq(
                port: port,
                records: [
                    "api.test,192.0.2.1,2001:db8::1,7", "api.test,192.0.2.2,9", "four.test,192.0.2.4,60",
                ]))
        let first = try ips("192.0.2.1", "192.0.2.2", "2001:db8::1")
        expectAddresses(await resolver.ask("api.test"), first, ttl: 7)
        expectAddresses(await resolver.ask("API.test.", .ipv6), try ips("2001:db8::1"), ttl: 7)
        expectAddresses(await resolver.ask("four.test"), try ips("192.0.2.4"), ttl: 60)
        #expect(kind(await resolver.ask("four.test", .ipv6)) == .notFound)
        #expect(kind(await resolver.ask("nothing.test")) == .notFound)
        #expect(Set(await refresh(1000).added) == first)

        server.stop()
        #expect(await refresh(10_000).isEmpty)
        #expect(await refresh(600_000).isEmpty)
        #expect(tracker.state == .stale(sinceMs: 10_000))
        #expect(Set(tracker.addresses) == first)

        server = try #require(
            Dnsmasq(port: port, records: ["api.test,192.0.2.2,5", "api.test,192.0.2.3,5"]))
        #expect(await refresh(700_000) == NameTracker.Changes(added: Array(try ips("192.0.2.3"))))
        #expect(Set(await refresh(705_000).removed) == (try ips("192.0.2.1", "2001:db8::1")))
        #expect(Set(tracker.addresses) == (try ips("192.0.2.2", "192.0.2.3")))
        #expect(tracker.state == .resolved)
        server.stop()
    }

    /// More than fits 512 bytes of UDP: the library asks again over TCP.
    @Test func longAnswerComesOverTCP() async throws {
        let port = quietPort()
        let addresses = (1...200).map { "192.0.2.\($0)" }
        let server = try #require(Dnsmasq(port: port, records: addresses.map { "many.test,\($0),11" }))
        let resolver = resolver(port) { $0.timeoutMs = 3000 }
        let wanted = Set(addresses.compactMap { IPAddress($0) })
        expectAddresses(await resolver.ask("many.test"), wanted, ttl: 11)
        server.stop()
    }

    @Test func literalsAndWrongNamesAskNobody() async throws {
        let server = ScriptedDNS { _, _ in .code(2) }
        defer { server.stop() }
        let resolver = resolver(server.port)
        expectAddresses(await resolver.ask("192.0.2.7"), try ips("192.0.2.7"), ttl: 30)
        expectAddresses(await resolver.ask("[::1]"), try ips("::1"), ttl: 30)
        #expect(kind(await resolver.ask("192.0.2.7", .ipv6)) == .notFound)
        for name in ["", "a b", "a\0.test", "ü.test", String(repeating: "a.", count: 128)] {
            #expect(kind(await resolver.ask(name)) == .badName, "\(name)")
        }
        #expect(kind(await resolver.ask(String(repeating: "a", count: 64) + ".test")) == .badName)
        #expect(server.count("a.test") == 0)
    }

    @Test func hostsFileHasNoTTL() async throws {
        let server = ScriptedDNS { _, _ in .code(3) }
        defer { server.stop() }
        guard
            case .addresses(let addresses, let ttl, let isComplete) = await resolver(server.port).ask(
                "localhost")
        else {
            Issue.record("localhost not found")
            return
        }
        #expect(try !ips("127.0.0.1", "::1").isDisjoint(with: addresses))
        #expect(ttl == 30 && isComplete)
    }

    @Test func codes() async throws {
        let server = ScriptedDNS { name, type in
            switch name {
            case "servfail.test": .code(2)
            case "nx.test": .code(3)
            case "refused.test": .code(5)
            case "nodata.test": .code(0)
            case "silent.test": .silence
            case "garbage.test": .raw([0x85, 0x80, 0, 1, 0, 9, 0, 0, 0, 0, 0xff])
            // Half answers: one family known, the other not.
            case "half.test":
                type == 1 ? .records(aliasTTL: nil, addresses: [[192, 0, 2, 1]], ttl: 60) : .silence
            case "halffail.test":
                type == 1 ? .records(aliasTTL: nil, addresses: [[192, 0, 2, 1]], ttl: 60) : .code(2)
            // Broken servers say NXDOMAIN for a family they do not know: that is an answer.
            case "only4.test":
                type == 1 ? .records(aliasTTL: nil, addresses: [[192, 0, 2, 1]], ttl: 60) : .code(3)
            case "zero.test":
                type == 1 ? .records(aliasTTL: nil, addresses: [[192, 0, 2, 1]], ttl: 0) : .code(0)
            case "alias.test":
                type == 1
                    ? .records(aliasTTL: 4, addresses: [[192, 0, 2, 1], [192, 0, 2, 2]], ttl: 60) : .code(0)
            default: .code(3)
            }
        }
        defer { server.stop() }
        let resolver = resolver(server.port)
        #expect(kind(await resolver.ask("servfail.test")) == .serverFailure)
        #expect(kind(await resolver.ask("refused.test")) == .serverFailure)
        #expect(kind(await resolver.ask("nx.test")) == .notFound)
        #expect(kind(await resolver.ask("nodata.test")) == .notFound)
        #expect(kind(await resolver.ask("silent.test")) == .timeout)
        let garbage = kind(await resolver.ask("garbage.test"))
        #expect(garbage != nil && garbage != .notFound)
        let one = try ips("192.0.2.1")
        expectAddresses(await resolver.ask("half.test"), one, ttl: 60, isComplete: false)
        expectAddresses(await resolver.ask("halffail.test"), one, ttl: 60, isComplete: false)
        expectAddresses(await resolver.ask("only4.test"), one, ttl: 60)
        expectAddresses(await resolver.ask("half.test", .ipv4), one, ttl: 60)
        expectAddresses(await resolver.ask("zero.test"), one, ttl: 0)
        expectAddresses(await resolver.ask("alias.test"), try ips("192.0.2.1", "192.0.2.2"), ttl: 4)
    }

    @Test func manyNamesAtOnceWithFewInFlight() async {
        let server = ScriptedDNS { _, type in
            type == 1 ? .records(aliasTTL: nil, addresses: [[192, 0, 2, 1]], ttl: 60) : .code(0)
        }
        defer { server.stop() }
        let resolver = resolver(server.port) {
            $0.concurrentMax = 4
            $0.timeoutMs = 3000
        }
        let good = await withTaskGroup(of: Bool.self) { group in
            for i in 0..<300 {
                group.addTask {
                    if case .addresses = await resolver.ask("n\(i).test") { true } else { false }
                }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(good == 300)
    }

    @Test func resolvConfIsReadAgainWhenItChanges() async throws {
        // Two servers on one port of two loopback addresses: resolv.conf has no place for a port.
        func server(_ last: UInt8, port: UInt16) -> ScriptedDNS {
            ScriptedDNS(ip: 0x7f00_0000 + UInt32(last), port: port) { name, type in
                if last == 1, name == "pending.test" { return .silence }
                return type == 1
                    ? .records(aliasTTL: nil, addresses: [[192, 0, 2, last]], ttl: 60) : .code(0)
            }
        }
        let before = server(1, port: 0)
        let after = server(2, port: before.port)
        defer {
            before.stop()
            after.stop()
        }
        var path = Array("/tmp/weir-resolv-XXXXXX".utf8CString)
        let fd = mkstemp(&path)
        defer {
            close(fd)
            unlink(path)
        }
        func use(_ text: String) {
            ftruncate(fd, 0)
            pwrite(fd, text, text.utf8.count, 0)
        }
        use("nameserver 127.0.0.1\n")
        var settings = Resolver.Settings()
        settings.port = before.port
        settings.resolvConf = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        settings.timeoutMs = 20_000
        let resolver = Resolver(settings: settings)
        // Asked of the old server, answered by the new one.
        async let pending = resolver.ask("pending.test")
        expectAddresses(await resolver.ask("api.test"), try ips("192.0.2.1"), ttl: 60)
        // Another length: the change is seen whatever the resolution of the file's time.
        use("nameserver 127.0.0.2\n# changed\n")
        expectAddresses(await resolver.ask("api.test"), try ips("192.0.2.2"), ttl: 60)
        expectAddresses(await pending, try ips("192.0.2.2"), ttl: 60)
    }

    @Test func waitingIsBounded() async {
        let server = ScriptedDNS { _, _ in .silence }
        defer { server.stop() }
        let resolver = resolver(server.port) {
            $0.concurrentMax = 1
            $0.waitingMax = 2
        }
        let kinds = await withTaskGroup(of: ResolveFailureKind?.self) { group in
            for i in 0..<40 { group.addTask { kind(await resolver.ask("n\(i).test")) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(kinds.filter { $0 == .overloaded }.count >= 30)
        #expect(kinds.filter { $0 == .timeout }.count >= 2)
        #expect(kinds.allSatisfy { $0 == .overloaded || $0 == .timeout })
    }

    @Test func wrongServerListFailsEveryQuestionWithTheReason() async {
        var settings = Resolver.Settings()
        settings.servers = ["not an address"]
        let resolver = Resolver(settings: settings)
        for _ in 0..<3 {
            guard case .failed(let kind, let text) = await resolver.ask("api.test") else {
                Issue.record("answered")
                return
            }
            #expect(kind == .stopped && text.contains("not an address"))
        }
    }

    @Test func releaseAnswersWhatIsPending() async {
        let server = ScriptedDNS { _, _ in .silence }
        defer { server.stop() }
        let result: ResolveResult = await withCheckedContinuation { continuation in
            let resolver = resolver(server.port) { $0.timeoutMs = 50_000 }
            resolver.resolve(name: "silent.test") { continuation.resume(returning: $0) }
            // Released here.
        }
        #expect(kind(result) == .stopped)
    }
}
