// timeout.total: how long the whole exchange may take: by the route's word, by the client's (a gRPC call says when it
// stops waiting), or both.

import WeirResilience

public final class TotalTimeoutPolicy: Policy, @unchecked Sendable {
    private let totalMs: UInt64

    /// - Parameter totalMs: 0: only calls have a deadline, their own.
    public init(totalMs: UInt64) {
        self.totalMs = totalMs
        super.init(
            "timeout.total", totalMs == 0 ? "what gRPC calls say" : "\(totalMs)ms", .admit,
            for: totalMs == 0 ? .call : [])
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        if totalMs > 0 { worker.setTotalDeadline(exchange, afterMs: totalMs) }
        if exchange.pointee.traits.contains(.call) { worker.keepCallDeadline(exchange) }
        return .pass
    }
}
