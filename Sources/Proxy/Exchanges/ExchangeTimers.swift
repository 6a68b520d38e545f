// An exchange's own clocks, one for what it waits for and one for all of it, and its turn.

import Reactor
import WeirResilience

extension Worker {
    /// A file on its way, or a body being decoded, goes on in the next turn of the loop. Once, however many events
    /// come meanwhile: each would bring a share of its own.
    func goOnNextTurn(_ exchange: ExchangePointer) {
        exchange.pointee.awaitsTurn = true
        goOnNextTurn(Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
        armDeadlines(exchange)
    }

    /// The exchange's own timer: what it waits for has a time, or a WebSocket its Pings. What it is for follows from what
    /// is waited for.
    func setTimer(_ exchange: ExchangePointer, afterMs: UInt64) {
        if exchange.pointee.timer < 0 {
            exchange.pointee.timer = timers.create(
                Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
        }
        exchange.pointee.timerRuns = true
        timers.arm(exchange.pointee.timer, atMs: nowMs &+ afterMs)
    }

    func clearTimer(_ exchange: ExchangePointer) {
        guard exchange.pointee.timerRuns else { return }
        exchange.pointee.timerRuns = false
        timers.disarm(exchange.pointee.timer)
    }

    /// The exchange waits for what the holder of the ticket brings. For a step that then answers *wait*.
    ///
    /// - Parameter reason: what it fails with when nothing has come in time.
    func park(_ exchange: ExchangePointer, atMostMs: UInt64, else reason: Reason) -> Ticket {
        exchange.pointee.waitsFor = .answer
        exchange.pointee.waitReason = reason
        exchange.pointee.waitSerial &+= 1
        setTimer(exchange, afterMs: atMostMs)
        return Ticket(
            mailbox: mailbox, exchange: exchange.pointee.handle, serial: exchange.pointee.waitSerial)
    }

    func setTotalDeadline(_ exchange: ExchangePointer, afterMs: UInt64) {
        if exchange.pointee.totalTimer < 0 {
            exchange.pointee.totalTimer = timers.create(
                Token(kind: TokenKind.exchangeTotal, handle: exchange.pointee.handle))
        }
        timers.arm(exchange.pointee.totalTimer, atMs: nowMs &+ afterMs)
    }
}
