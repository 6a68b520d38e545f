// Events of an exchange itself: its turn, its clocks.

import Reactor
import WeirResilience

extension Worker {
    /// What used up its share of a loop turn goes on.
    func goOn(_ exchange: ExchangePointer) {
        exchange.pointee.awaitsTurn = false
        if exchange.pointee.isOver { return }
        if exchange.pointee.waitsFor == .body {
            endHold(exchange)
        } else if exchange.pointee.fileBody != nil {
            pumpFile(exchange)
        } else if exchange.pointee.isDecoding {
            pumpRequestBody(exchange.attempt)
        }
        conclude(exchange)
    }

    func exchangeTimerFired(_ exchange: ExchangePointer) {
        goOnAfterTimer(exchange)
        conclude(exchange)
    }

    func totalDeadlinePassed(_ exchange: ExchangePointer) {
        exchange.fail(Failure(.totalTimeout, phase: exchange.pointee.phase))
        conclude(exchange)
    }
}
