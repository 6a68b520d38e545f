// Several attempts of one exchange at once: who is heard, what becomes of the others, and who is blamed.

import Reactor
import Testing
import WeirResilience
import WeirRouting

@testable import Proxy

@Suite struct AttemptTests {
    private static let request = "GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n"

    /// A request whose first endpoint has it and has not answered. Which endpoint that is, is told.
    private func begin(_ bench: Bench, _ request: String = request) -> (client: Peer, first: Int) {
        let client = bench.connect()
        client.send(request)
        #expect(bench.turns { bench.endpoints.contains { $0.requests == 1 } })
        return (client, bench.endpoints.firstIndex { $0.requests == 1 } ?? 0)
    }

    /// A hedge beside it, which has reached its endpoint.
    private func hedge(_ bench: Bench, beside first: Int) -> Int {
        guard let exchange = bench.exchange else {
            Issue.record("an exchange is under way")
            return 1 - first
        }
        #expect(bench.worker.hedge(exchange))
        #expect(bench.turns { bench.endpoints[1 - first].requests == 1 })
        return 1 - first
    }

    @Test func theHedgeAnswersFirst() {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        #expect(bench.worker.attempts.count == 1)
        bench.endpoints[second].answer("second")
        #expect(bench.turns { client.text.hasSuffix("second") })
        // The other has been let go of, and nobody blames it.
        #expect(
            bench.turns { bench.endpoints[first].hasLost(0) })
        #expect(bench.failures(first).isEmpty && bench.failures(second).isEmpty)
        #expect(bench.values(first)?.attempts == 1 && bench.values(second)?.attempts == 1)
        #expect(bench.isAtRest)
        // Its connection goes on: nothing of the other is in the way.
        client.send(Self.request)
        #expect(bench.turns { bench.endpoints.reduce(0) { $0 + $1.requests } == 3 })
        let next = bench.endpoints[second].requests == 2 ? second : first
        bench.endpoints[next].answer("third")
        #expect(bench.turns { client.text.hasSuffix("third") })
        #expect(bench.isAtRest)
    }

    @Test func theFirstAnswersAfterAll() {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        bench.endpoints[first].answer("first")
        #expect(bench.turns { client.text.hasSuffix("first") })
        #expect(
            bench.turns { bench.endpoints[second].hasLost(0) })
        #expect(bench.failures(first).isEmpty && bench.failures(second).isEmpty)
        #expect(bench.isAtRest)
    }

    /// Bytes of a hedge that comes too late are nobody's.
    @Test func bothAnswerInOneTurn() {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        bench.endpoints[first].answer("first")
        bench.endpoints[second].answer("second")
        #expect(bench.turns { client.text.hasSuffix("first") || client.text.hasSuffix("second") })
        bench.settle()
        #expect(client.text.components(separatedBy: "HTTP/1.1 ").count == 2)
        #expect(bench.isAtRest)
    }

    @Test(arguments: [true, false])
    func oneFailsAndTheOtherAnswers(firstFails: Bool) {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        let (failing, answering) = firstFails ? (first, second) : (second, first)
        bench.endpoints[failing].connections[0].socket.shutdownWrite()
        bench.settle()
        #expect(client.text.isEmpty && bench.exchange != nil)
        #expect(bench.failures(failing) == [.upstreamClosed])
        bench.endpoints[answering].answer("fine")
        #expect(bench.turns { client.text.hasSuffix("fine") })
        #expect(client.text.hasPrefix("HTTP/1.1 200 OK"))
        #expect(bench.failures(answering).isEmpty)
        #expect(bench.isAtRest)
    }

    @Test func bothFail() {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        for endpoint in bench.endpoints {
            endpoint.connections[0].send("HTTP/1.1 no status\r\n\r\n")
        }
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 502 ") })
        bench.settle()
        #expect(client.text.components(separatedBy: "HTTP/1.1 ").count == 2)
        #expect(bench.failures(first) == [.upstreamMalformedHead])
        #expect(bench.failures(second) == [.upstreamMalformedHead])
        #expect(bench.isAtRest)
    }

    /// Both are gone before an answer; the rule that decides about another attempt has counted both.
    @Test func bothAreLostAndTheThirdIsAsked() {
        let bench = Bench(endpoints: 3, retry: RetryPolicy(attemptsMax: 3, backoff: Backoff(baseMs: 0)))
        let (client, first) = begin(bench)
        guard let exchange = bench.exchange else { return }
        #expect(bench.worker.hedge(exchange))
        #expect(bench.turns { bench.endpoints.filter { $0.requests == 1 }.count == 2 })
        for endpoint in bench.endpoints where endpoint.requests == 1 {
            endpoint.connections[0].socket.shutdownWrite()
        }
        #expect(bench.turns { bench.endpoints.allSatisfy { $0.requests == 1 } })
        let third = bench.endpoints.indices.first { bench.failures($0).isEmpty } ?? first
        bench.endpoints[third].answer("third")
        #expect(bench.turns { client.text.hasSuffix("third") })
        #expect(bench.isAtRest)
    }

    /// Nobody has looked between two failures: each is counted for its own reason, and one attempt more is made for both.
    @Test(arguments: [0, 200] as [UInt32]) func bothFailAtOnce(backoffMs: UInt32) throws {
        let bench = Bench(
            endpoints: 3, retry: RetryPolicy(attemptsMax: 3, backoff: Backoff(baseMs: backoffMs)))
        let (client, first) = begin(bench)
        let exchange = try #require(bench.exchange)
        #expect(bench.worker.hedge(exchange))
        #expect(bench.turns { bench.endpoints.filter { $0.requests == 1 }.count == 2 })
        let second = try #require(
            bench.endpoints.indices.first { $0 != first && bench.endpoints[$0].requests == 1 })
        let hedge = try #require(exchange.pointee.others)
        func budget() -> Int { bench.worker.serviceStates[0].budget.remaining(at: bench.worker.nowMs) }
        let before = budget()
        exchange.primary.fail(Failure(.upstreamReset, phase: .forward))
        hedge.fail(Failure(.upstreamClosed, phase: .forward))
        bench.worker.conclude(exchange)
        #expect(bench.failures(first) == [.upstreamReset] && bench.failures(second) == [.upstreamClosed])
        #expect(budget() == before - 1)
        bench.pass(ms: 300)
        let third = 3 - first - second
        #expect(bench.turns { bench.endpoints[third].requests == 1 })
        bench.endpoints[third].answer("third")
        #expect(bench.turns { client.text.hasSuffix("third") })
        #expect(bench.endpoints.allSatisfy { $0.requests == 1 } && bench.failures(third).isEmpty)
        #expect(bench.isAtRest)
    }

    /// The exchange fails for a reason of its own, which is nobody's fault, and an attempt for its own.
    @Test func anAttemptKeepsItsFailure() throws {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        let exchange = try #require(bench.exchange)
        exchange.fail(Failure(.totalTimeout, phase: .forward))
        exchange.pointee.others?.fail(Failure(.upstreamReset, phase: .forward))
        bench.worker.conclude(exchange)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 504 ") })
        #expect(bench.failures(first).isEmpty && bench.failures(second) == [.upstreamReset])
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func theClientLeavesMeanwhile() {
        let bench = Bench()
        do {
            let (client, first) = begin(bench)
            _ = hedge(bench, beside: first)
            client.look()
        }
        #expect(bench.turns { bench.isAtRest })
        #expect(bench.failures(0).isEmpty && bench.failures(1).isEmpty)
        for endpoint in bench.endpoints {
            #expect(
                bench.turns { endpoint.hasLost(0) })
        }
    }

    /// Each attempt has its own time to answer in.
    @Test func eachHasItsOwnDeadline() {
        let bench = Bench(headTimeoutMs: 1_000)
        let (client, first) = begin(bench)
        bench.pass(ms: 600)
        let second = hedge(bench, beside: first)
        bench.pass(ms: 600)
        bench.settle()
        #expect(bench.failures(first) == [.upstreamHeadTimeout])
        #expect(client.text.isEmpty && bench.exchange != nil)
        bench.pass(ms: 600)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 504 ") })
        #expect(bench.failures(second) == [.upstreamHeadTimeout])
        #expect(bench.isAtRest)
    }

    /// A status the route would have tried elsewhere is no answer while somebody else is being asked.
    @Test func aStatusThatWouldBeTriedElsewhereIsLeftToTheOther() {
        let bench = Bench(retry: RetryPolicy(statuses: StatusSet([503])))
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        bench.endpoints[first].answer("busy", status: "503 Busy")
        bench.settle()
        #expect(client.text.isEmpty)
        bench.endpoints[second].answer("fine")
        #expect(bench.turns { client.text.hasSuffix("fine") })
        #expect(bench.isAtRest)
    }

    /// Nobody knows yet whose answer follows.
    @Test func interimAnswersWaitForNobody() {
        let bench = Bench()
        let (client, first) = begin(bench)
        let second = hedge(bench, beside: first)
        bench.endpoints[first].connections[0].send("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        bench.settle()
        #expect(client.text.isEmpty)
        bench.endpoints[second].answer("second")
        #expect(bench.turns { client.text.hasSuffix("second") })
        #expect(!client.text.contains("103"))
    }

    /// Templates speak of the endpoint that is asked, not of the one that was asked before.
    @Test func eachIsAskedInItsOwnName() throws {
        let template = try Template.parse("{endpoint}")
        let rules = FieldRules(
            set: [FieldRules.Rule(name: "x-asked", value: template)], add: [], remove: [], direction: .request
        )
        let bench = Bench(requestRules: rules)
        let (client, first) = begin(bench)
        defer { client.look() }
        _ = hedge(bench, beside: first)
        for (i, endpoint) in bench.endpoints.enumerated() {
            #expect(endpoint.connections[0].text.contains("x-asked: endpoint-\(i)\r\n"))
        }
    }

    @Test func aHedgeSendsWhatIsHeldOfTheBody() {
        let bench = Bench()
        let (client, first) = begin(
            bench, "PUT /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nhello")
        let second = hedge(bench, beside: first)
        #expect(bench.endpoints[second].connections[0].text.hasSuffix("\r\n\r\nhello"))
        bench.endpoints[second].answer("taken")
        #expect(bench.turns { client.text.hasSuffix("taken") })
        #expect(bench.values(first)?.bytesSent == 5 && bench.values(second)?.bytesSent == 5)
        #expect(bench.isAtRest)
    }

    // MARK: when there is none

    @Test func requestsThatMustNotBeRepeatedAreNotHedged() throws {
        let bench = Bench()
        let (client, first) = begin(bench, "POST /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 1\r\n\r\nx")
        #expect(!bench.worker.hedge(try #require(bench.exchange)))
        #expect(bench.endpoints[1 - first].requests == 0 && client.text.isEmpty)
    }

    @Test func nobodyIsAskedTwiceAtOnce() throws {
        let bench = Bench()
        let (client, first) = begin(bench)
        defer { client.look() }
        _ = hedge(bench, beside: first)
        #expect(!bench.worker.hedge(try #require(bench.exchange)))
        #expect(bench.worker.attempts.count == 1)
    }

    @Test func hedgesAreTakenFromTheBudget() throws {
        let bench = Bench(budget: RetryBudget(perMille: 0, floorPerSecond: 0))
        let (client, _) = begin(bench)
        defer { client.look() }
        #expect(!bench.worker.hedge(try #require(bench.exchange)))
        #expect(bench.worker.attempts.count == 0)
    }

    @Test func thereIsNoHedgeOnceAnAnswerHasBegun() throws {
        let bench = Bench()
        let (client, first) = begin(bench)
        bench.endpoints[first].connections[0].send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nbeg")
        #expect(bench.turns { client.text.hasSuffix("beg") })
        #expect(!bench.worker.hedge(try #require(bench.exchange)))
    }

    /// What fails while the hedge begins is the hedge's own.
    @Test func aHedgeThatReachesNobodyChangesNothing() throws {
        let bench = Bench()
        let (client, first) = begin(bench)
        let gone = bench.worker.snapshot.services[0]?.endpoints[1 - first]
        let exchange = try #require(bench.exchange)
        bench.endpoints[1 - first].stop()
        #expect(bench.worker.hedge(exchange))
        bench.worker.conclude(exchange)
        bench.settle()
        #expect(bench.failures(1 - first) == [.connectRefused])
        #expect(gone?.load.load(ordering: .relaxed) == 0)
        bench.endpoints[first].answer("first")
        #expect(bench.turns { client.text.hasSuffix("first") })
        #expect(bench.isAtRest)
    }
}
