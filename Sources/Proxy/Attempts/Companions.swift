// Several attempts of one exchange at once: others beside the one it has, until one of them answers or none is left.
//
// Nothing the client sees tells how many there were. Whoever answers first is heard, and the others end without a
// word about their endpoints, unless they had failed by then: to be slower than somebody else is no failure.

import Reactor
import WeirResilience

extension TokenKind {
    /// Buried only: an attempt has no events of its own.
    static let attempt: UInt8 = 18
}

extension Worker {
    /// Room for another attempt of this exchange; nil: there is none.
    func addAttempt(_ exchange: ExchangePointer, _ role: AttemptRole) -> AttemptPointer? {
        guard let (attempt, handle) = attempts.allocate() else { return nil }
        attempt.initialize(to: Attempt(exchange: exchange, handle: handle, next: exchange.pointee.others))
        attempt.pointee.account.role = role
        exchange.pointee.others = attempt
        return attempt
    }

    /// An attempt has ended without an answer. True: another one is under way, or has failed and is dealt with next, and
    /// the exchange goes on with that.
    func goesOn(without attempt: AttemptPointer) -> Bool {
        let exchange = attempt.exchange
        guard exchange.pointee.others != nil,
            let other = exchange.attemptUnderWay ?? exchange.failedAttempt
        else { return false }
        if attempt.isAnswering { exchange.pointee.answering = other }
        freeSlot(of: attempt)
        armDeadlines(exchange)
        return true
    }

    /// Whether somebody else than this attempt may still answer.
    func hasCompanion(_ attempt: AttemptPointer) -> Bool {
        guard attempt.exchange.pointee.others != nil else { return false }
        var found = false
        attempt.exchange.eachAttempt {
            if $0 != attempt && $0.isUnderWay { found = true }
        }
        return found
    }

    /// From here on the exchange has this attempt alone.
    func leaveOnly(_ attempt: AttemptPointer) {
        let exchange = attempt.exchange
        exchange.pointee.answering = attempt
        exchange.eachAttempt {
            if $0 == attempt { return }
            abandon($0, .none)
            freeSlot(of: $0)
        }
    }

    /// Frees what stands in the slab; all of it has ended.
    func freeAttempts(_ exchange: ExchangePointer) {
        while let attempt = exchange.pointee.others {
            dropUpstream(attempt)
            freeSlot(of: attempt)
        }
    }

    /// Takes an attempt out of its exchange. The primary stays, to be taken again.
    private func freeSlot(of attempt: AttemptPointer) {
        guard attempt.pointee.handle != .none else { return }
        let exchange = attempt.exchange
        if exchange.pointee.others == attempt {
            exchange.pointee.others = attempt.pointee.next
        } else {
            var previous = exchange.pointee.others
            while let here = previous, here.pointee.next != attempt { previous = here.pointee.next }
            previous?.pointee.next = attempt.pointee.next
        }
        bury(TokenKind.attempt, attempt.pointee.handle)
    }
}
