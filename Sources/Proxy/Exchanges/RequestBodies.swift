// A request's body that is not as it should be: broken, too long, or too slow.

import Reactor
import WeirHTTP1
import WeirResilience

extension Worker {
    /// A body that breaks its framing: nothing behind it can be trusted.
    func refuseBody(_ exchange: ExchangePointer, _ error: (violation: Violation, at: Int)) {
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.fail(
            Failure(
                .requestBodyMalformed, phase: exchange.pointee.phase,
                position: Int32(truncatingIfNeeded: error.at),
                detail: Detail(error.violation)))
    }

    /// Whether a body without a length has passed its bound; it is refused then.
    func refuseTooLong(_ exchange: ExchangePointer) -> Bool {
        guard exchange.pointee.requestBody.isTooLong else { return false }
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.pointee.client.pointee.mustLinger = true
        exchange.fail(Failure(.requestBodyTooLarge, phase: exchange.pointee.phase))
        return true
    }

    /// Counts bytes a client sent; false (and the exchange ended) when it owes a body and is slower with it
    /// than allowed.
    func clientProgressed(_ exchange: ExchangePointer, _ count: Int) -> Bool {
        let client = exchange.pointee.client
        touch(client, exchange)
        guard client.pointee.deadline == .body, exchange.pointee.listener.bytesPerSecondMin > 0 else {
            return true
        }
        exchange.pointee.meter.progressed(bytes: count)
        if exchange.pointee.meter.verdict(at: nowMs) != .tooSlow { return true }
        bodyDeadlinePassed(exchange)
        return false
    }

    func bodyDeadlinePassed(_ exchange: ExchangePointer) {
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.fail(Failure(.requestBodyTimeout, phase: exchange.pointee.phase))
    }
}
