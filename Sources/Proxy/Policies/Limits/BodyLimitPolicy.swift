// limits.body: how long a request's body may be, by the route's word or the listener's. One that says it is longer is
// refused unread; one that turns out to be, where it passes the limit (Exchanges/RequestBodies.swift).

import WeirResilience

public final class BodyLimitPolicy: Policy, @unchecked Sendable {
    private let bytesMax: UInt64?

    /// - Parameter bytesMax: nil: what the listener says.
    public init(bytesMax: UInt64?) {
        self.bytesMax = bytesMax
        let text = bytesMax.map { $0 == .max ? "none" : "\($0) bytes" } ?? "of the listener"
        super.init("limits.body", text, .admit, for: .body)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        let countMax = bytesMax ?? exchange.pointee.listener.bodyBytesMax
        exchange.pointee.requestBody.countMax = countMax
        if exchange.pointee.requestBody.framing == .length,
            exchange.pointee.requestBody.remaining > countMax
        {
            return .refuse(Failure(.requestBodyTooLarge, phase: .admit))
        }
        return .pass
    }
}
