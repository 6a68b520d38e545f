// An exchange's own clocks, one for what it waits for and one for all of it, and its turn.

import Reactor

extension Worker {
    /// A file on its way, or a body being decoded, goes on in the next turn of the loop. Once, however many events
    /// come meanwhile: each would bring a share of its own.
    func goOnNextTurn(_ exchange: ExchangePointer) {
        exchange.pointee.awaitsTurn = true
        goOnNextTurn(Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
        armDeadlines(exchange)
    }

    /// The exchange's own timer: back-off before another attempt, the hold's patience, or a WebSocket's Pings. What
    /// it is for follows from what is waited for.
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

    func setTotalDeadline(_ exchange: ExchangePointer, afterMs: UInt64) {
        if exchange.pointee.totalTimer < 0 {
            exchange.pointee.totalTimer = timers.create(
                Token(kind: TokenKind.exchangeTotal, handle: exchange.pointee.handle))
        }
        timers.arm(exchange.pointee.totalTimer, atMs: nowMs &+ afterMs)
    }
}
