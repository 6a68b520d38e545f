// Calls: what Weir asks a service itself, while an exchange waits for it. The exchange belongs to a policy that asks who
// may pass, as one for authorisation would.

import Reactor
import Synchronization
import Testing
import WeirResilience

@testable import Proxy

/// Lets those pass of whom a service says 200.
private final class AskingPolicy: Policy, @unchecked Sendable {
    private let request: CallRequest
    private(set) var answers: [CallAnswer] = []

    init(_ request: CallRequest) {
        self.request = request
        super.init("ask", "for a test", .admit)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        worker.ask(request, worker.park(exchange, atMostMs: 5_000, else: .totalTimeout))
        return .wait
    }

    override func resume(_ worker: Worker, _ exchange: ExchangePointer, _ brought: Brought) -> StepResult {
        guard case .answer(let brought) = brought, let answer = brought as? CallAnswer else { return .wait }
        answers.append(answer)
        return answer.status == 200 ? .pass : .refuse(Failure(.upgradeNotAllowed, phase: .admit))
    }
}

@Suite struct CallTests {
    private static let request = "GET /x HTTP/1.1\r\nhost: a.test\r\n\r\n"

    private static func call(
        _ head: String = "GET /check?a=1 HTTP/1.1\r\nhost: auth.test\r\nx-for: me\r\n\r\n", body: String = "",
        bodyBytesMax: Int = 1_000, totalMs: UInt64 = 3_000
    ) -> CallRequest {
        CallRequest(
            serviceID: 1, head: Array(head.utf8), body: Array(body.utf8), bodyBytesMax: bodyBytesMax,
            totalMs: totalMs, retry: RetryPolicy(backoff: Backoff(baseMs: 0)))
    }

    /// A client whose request waits for a call that has reached the service.
    private func begin(_ call: CallRequest, callees: Int = 1) -> (Bench, AskingPolicy, Peer) {
        let policy = AskingPolicy(call)
        let bench = Bench(endpoints: 1, callees: callees, policies: [policy])
        let client = bench.connect()
        client.send(Self.request)
        #expect(bench.turns { bench.callees.contains { $0.requests == 1 } })
        #expect(bench.endpoints[0].requests == 0)
        return (bench, policy, client)
    }

    /// The request goes on, and is answered.
    private func expectToPass(_ bench: Bench, _ client: Peer) {
        #expect(bench.turns { bench.endpoints[0].requests == 1 })
        bench.endpoints[0].answer("served")
        #expect(bench.turns { client.text.hasSuffix("served") })
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func theAnswerIsBrought() {
        let (bench, policy, client) = begin(Self.call())
        #expect(
            bench.callees[0].connections[0].text
                == "GET /check?a=1 HTTP/1.1\r\nhost: auth.test\r\nx-for: me\r\n\r\n")
        bench.callees[0].connections[0].send(
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nx-user: bob\r\ntransfer-encoding: chunked\r\n\r\n"
                + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
        expectToPass(bench, client)
        #expect(policy.answers.count == 1)
        let answer = policy.answers[0]
        #expect(answer.reason == .none && answer.status == 200 && !answer.isCut)
        #expect(String(decoding: answer.body, as: UTF8.self) == "hello")
        let lines = String(decoding: answer.lines, as: UTF8.self)
        #expect(lines.contains("x-user: bob\r\n") && !lines.contains("chunked"))
        // Kept for the next one.
        #expect(!bench.callees[0].hasLost(0))
    }

    @Test func whatTheServiceSaysDecides() {
        let (bench, policy, client) = begin(Self.call())
        bench.callees[0].answer("no", status: "401 Unauthorized")
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers.map(\.status) == [401])
        #expect(bench.endpoints[0].requests == 0)
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func aBodyGoesWithIt() {
        let (bench, _, client) = begin(
            Self.call("POST /check HTTP/1.1\r\nhost: auth.test\r\n\r\n", body: "token=1"))
        #expect(
            bench.callees[0].connections[0].text
                == "POST /check HTTP/1.1\r\nhost: auth.test\r\ncontent-length: 7\r\n\r\ntoken=1")
        bench.callees[0].answer("")
        expectToPass(bench, client)
    }

    @Test func noMoreOfABodyIsTakenThanWasAskedFor() {
        let (bench, policy, client) = begin(Self.call(bodyBytesMax: 4))
        let connection = bench.callees[0].connections.first
        connection?.send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n123456")
        // The next bytes find nobody.
        bench.settle()
        connection?.send("789")
        expectToPass(bench, client)
        #expect(policy.answers.map(\.isCut) == [true])
        #expect(policy.answers.map(\.body) == [Array("1234".utf8)])
        #expect(bench.turns { bench.callees[0].hasLost(0) })
    }

    /// Nothing more has to come for that.
    @Test func aCallAboveItsBoundEndsAtOnce() {
        let (bench, policy, client) = begin(Self.call(bodyBytesMax: 4))
        bench.callees[0].connections[0].send("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n123456")
        expectToPass(bench, client)
        #expect(policy.answers.map(\.isCut) == [true])
        #expect(bench.turns { bench.callees[0].hasLost(0) })
    }

    /// However long it may take, it is no shorter for that.
    @Test func aCallWithoutABoundInTimeWaits() {
        let (bench, _, client) = begin(Self.call(totalMs: .max))
        bench.pass(ms: 4_000)
        bench.settle()
        bench.callees[0].answer("")
        expectToPass(bench, client)
    }

    @Test func aCallHasItsDeadline() {
        let (bench, policy, client) = begin(Self.call(bodyBytesMax: 4, totalMs: 1_000))
        bench.pass(ms: 1_100)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers == [CallAnswer(reason: .totalTimeout)])
        #expect(bench.turns { bench.callees[0].hasLost(0) })
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func silenceHasADeadlineOfItsOwn() {
        var call = Self.call()
        call.idleMs = 500
        let (bench, policy, client) = begin(call)
        bench.pass(ms: 600)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers == [CallAnswer(reason: .upstreamHeadTimeout)])
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func anotherEndpointIsAsked() {
        let (bench, _, client) = begin(Self.call(), callees: 2)
        let first = bench.callees.firstIndex { $0.requests == 1 } ?? 0
        bench.callees[first].connections[0].socket.shutdownWrite()
        #expect(bench.turns { bench.callees[1 - first].requests == 1 })
        bench.callees[1 - first].answer("")
        expectToPass(bench, client)
    }

    @Test func anAnswerThatIsNotWholeIsNone() {
        let (bench, policy, client) = begin(Self.call())
        bench.callees[0].connections[0].send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        bench.settle()
        bench.callees[0].connections[0].socket.shutdownWrite()
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers == [CallAnswer(reason: .upstreamClosedMidBody)])
        #expect(bench.turns { bench.isAtRest })
    }

    @Test func nobodyListens() {
        let policy = AskingPolicy(Self.call())
        let bench = Bench(endpoints: 1, callees: 1, policies: [policy])
        bench.callees[0].stop()
        let client = bench.connect()
        client.send(Self.request)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers == [CallAnswer(reason: .connectRefused)])
        #expect(bench.turns { bench.isAtRest })
    }

    /// The call goes on to its end, and brings its answer to nobody.
    @Test func theClientLeavesMeanwhile() {
        let policy: AskingPolicy
        let bench: Bench
        do {
            let client: Peer
            (bench, policy, client) = begin(Self.call())
            client.look()
        }
        #expect(bench.turns { bench.worker.exchanges.count == 1 })
        bench.callees[0].answer("")
        #expect(bench.turns { bench.isAtRest && bench.lateAnswers == 1 })
        #expect(policy.answers.isEmpty && bench.endpoints[0].requests == 0)
    }

    @Test func aDrainWaitsForIt() {
        let (bench, _, client) = begin(Self.call())
        bench.worker.mailbox.send(.drain)
        for _ in 0..<5 { bench.pass(ms: 100) }
        #expect(!bench.worker.isStopping)
        bench.callees[0].answer("")
        expectToPass(bench, client)
        for _ in 0..<30 where !bench.worker.isStopping { bench.pass(ms: 100) }
        #expect(bench.worker.isStopping)
    }

    /// What is under way ends as it began; what begins finds what there is.
    @Test func theServiceGoesWithAReload() {
        let (bench, policy, client) = begin(Self.call())
        bench.publishWithoutCallees()
        bench.settle()
        bench.callees[0].answer("")
        expectToPass(bench, client)
        #expect(policy.answers.map(\.status) == [200])
        #expect(bench.worker.oldLeases == 0)
        // The route asks still, of a service there is no more.
        client.send(Self.request)
        #expect(bench.turns { client.text.contains("HTTP/1.1 403 ") })
        #expect(policy.answers.map(\.reason) == [.none, .noEndpoint])
        #expect(bench.turns { bench.isAtRest })
    }

    @Test(arguments: [
        "GET /check HTTP/1.1\r\n\r\n", "GET /check HTTP/1.1\r\nhost: a\r\n",
        "GET /check HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\n",
        "GET /check HTTP/1.1\r\nhost: a\r\n\r\nGET /more HTTP/1.1\r\nhost: a\r\n\r\n", "",
        "CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n",
    ])
    func aHeadThatIsNoneIsNotSent(head: String) {
        let policy = AskingPolicy(Self.call(head))
        let bench = Bench(endpoints: 1, callees: 1, policies: [policy])
        let client = bench.connect()
        client.send(Self.request)
        #expect(bench.turns { client.text.hasPrefix("HTTP/1.1 403 ") })
        #expect(policy.answers == [CallAnswer(reason: .requestMalformed)])
        #expect(bench.callees[0].connections.isEmpty)
        #expect(bench.turns { bench.isAtRest })
    }
}
