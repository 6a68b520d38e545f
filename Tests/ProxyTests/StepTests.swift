// Steps of policies that wait again once they have what they waited for: for something else, or for nothing.

import Reactor
import Testing
import WeirResilience

@testable import Proxy

/// Has an answer brought to it at once, and again; then waits as it is told, with no further ticket.
private final class WaitingOnPolicy: Policy, @unchecked Sendable {
    private let next: Waiting
    private(set) var brought: [String] = []

    init(_ next: Waiting) {
        self.next = next
        super.init("wait", "for a test", .admit)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        let ticket = worker.park(exchange, atMostMs: 1_000, else: .totalTimeout)
        ticket.bring(0)
        ticket.bring(0)
        return .wait
    }

    override func resume(_ worker: Worker, _ exchange: ExchangePointer, _ brought: Brought) -> StepResult {
        guard case .answer = brought else {
            self.brought.append("\(brought)")
            return .pass
        }
        self.brought.append("answer")
        if next != .nothing { exchange.pointee.waitsFor = next }
        return .wait
    }
}

@Suite struct StepTests {
    private static let head = "PUT /x HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\n"

    /// The ticket is spent, and the time that was given with it is over with it.
    @Test func aStepMayWaitForSomethingElse() {
        let policy = WaitingOnPolicy(.body)
        let bench = Bench(endpoints: 1, policies: [policy])
        let client = bench.connect()
        client.send(Self.head)
        bench.settle()
        bench.pass(ms: 2_000)
        bench.settle()
        #expect(policy.brought == ["answer"] && bench.lateAnswers == 1)
        #expect(client.text.isEmpty && bench.endpoints[0].requests == 0)
        client.send("hello")
        #expect(bench.turns { bench.endpoints[0].requests == 1 })
        #expect(policy.brought == ["answer", "body"])
        bench.endpoints[0].answer("taken")
        #expect(bench.turns { client.text.hasSuffix("taken") })
        #expect(bench.turns { bench.isAtRest })
    }

    /// Nobody would ever come back to it: that is seen where it is made.
    @Test func aStepThatWaitsForNothingStopsTheProgram() async {
        await #expect(processExitsWith: .failure) {
            let bench = Bench(endpoints: 1, policies: [WaitingOnPolicy(.nothing)])
            let client = bench.connect()
            client.send(StepTests.head)
            bench.settle()
            client.look()
        }
    }
}
