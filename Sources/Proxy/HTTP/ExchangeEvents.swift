// Events of an exchange itself: its turn, its clocks.

import Reactor
import WeirResilience

extension Worker {
    /// What used up its share of a loop turn goes on.
    func goOn(_ exchange: ExchangePointer) {
        exchange.pointee.awaitsTurn = false
        if exchange.pointee.isOver { return }
        if exchange.pointee.waitsFor == .body {
            resume(exchange, .time)
        } else if exchange.pointee.file != nil {
            pumpFile(exchange)
        } else if exchange.pointee.isStaged {
            pumpRequestBody(exchange.attempt)
        }
        conclude(exchange)
    }

    /// Something was brought to an exchange. What nobody waits for any more is counted, and that is all.
    func answerCame(_ ticket: Ticket, _ answer: any Sendable) {
        guard let exchange = exchanges.pointer(ticket.exchange), !exchange.isDecided,
            exchange.pointee.waitsFor == .answer, exchange.pointee.waitSerial == ticket.serial
        else {
            metrics.cell(worker: index).answerWasLate()
            return
        }
        resume(exchange, .answer(answer))
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
