// The road of a request, phase by phase.
//
//   accept → handshake → read → route → admit → lookup → select → forward → respond → record
//
// accept and read happen before there is an exchange (Phases/Accept.swift, Phases/Read.swift); from
// route on, `run` walks the phases. A phase says what comes next; one that waits for a client, an
// endpoint or a timer returns, and whoever is woken by the event enters `run` again where it left.
// No phase knows which HTTP version the client or the endpoint speaks.

import HTTPModel
import Reactor
import Resilience

/// What a phase answers.
enum PhaseResult {
    /// The next phase.
    case next
    /// Something has to happen first; the event that brings it goes on.
    case wait
    /// The exchange has its response, or has ended.
    case finish
}

extension Worker {
    /// Walks the phases from `phase` until one waits or finishes.
    func run(_ exchange: ExchangePointer, from phase: Phase) {
        var phase = phase
        while true {
            exchange.pointee.phase = phase
            switch phase {
            case .route:
                guard route(exchange) == .next else { return }
                phase = .admit
            case .admit:
                guard admit(exchange) == .next else { return }
                phase = .lookup
            case .lookup:
                guard lookup(exchange) == .next else { return }
                phase = .select
            case .select:
                guard select(exchange) == .next else { return }
                phase = .forward
            case .forward:
                // The response head brings the exchange to respond (Phases/Respond.swift).
                _ = forward(exchange)
                return
            case .accept, .handshake, .read, .respond, .record:
                return
            }
        }
    }

    /// The exchange's own timer: back-off before another attempt, the hold's patience, or a WebSocket's Pings.
    func setTimer(_ exchange: ExchangePointer, _ purpose: ExchangeTimer, afterMs: UInt64) {
        if exchange.pointee.timer < 0 {
            exchange.pointee.timer = timers.create(
                Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
        }
        exchange.pointee.timerPurpose = purpose
        timers.arm(exchange.pointee.timer, atMs: nowMs &+ afterMs)
    }

    func clearTimer(_ exchange: ExchangePointer) {
        guard exchange.pointee.timerPurpose != .none else { return }
        exchange.pointee.timerPurpose = .none
        timers.disarm(exchange.pointee.timer)
    }

    func exchangeTimerFired(_ exchange: ExchangePointer) {
        let purpose = exchange.pointee.timerPurpose
        exchange.pointee.timerPurpose = .none
        switch purpose {
        case .none: break
        case .backoff: run(exchange, from: .select)
        case .hold: endHold(exchange)
        case .ping: pingClockRang(exchange)
        }
    }

    func setTotalDeadline(_ exchange: ExchangePointer, afterMs: UInt64) {
        if exchange.pointee.totalTimer < 0 {
            exchange.pointee.totalTimer = timers.create(
                Token(kind: TokenKind.exchangeTotal, handle: exchange.pointee.handle))
        }
        timers.arm(exchange.pointee.totalTimer, atMs: nowMs &+ afterMs)
    }

    func totalDeadlinePassed(_ exchange: ExchangePointer) {
        fail(exchange, Failure(.totalTimeout, phase: exchange.pointee.phase))
    }

    /// What header rules, redirects and logs may ask about a request.
    func view(_ exchange: ExchangePointer) -> RequestView? {
        guard let head = exchange.pointee.head, let fields = exchange.pointee.fields else { return nil }
        let request = UnsafeRawPointer(exchange).advanced(by: requestOffset).assumingMemoryBound(
            to: RequestHead.self)
        return RequestView(bytes: UnsafePointer(head.base), head: request, fields: UnsafePointer(fields))
    }
}
