// The road of a request, phase by phase.
//
//   accept → handshake → read → route → admit → lookup → select → forward → respond → record
//
// accept and read happen before there is an exchange (HTTP/Accept.swift, Phases/Read.swift); from
// route on, `run` walks the phases. A phase says what comes next; one that waits for a client, an
// endpoint or a timer returns, and whoever is woken by the event enters `run` again where it left.
// No phase knows which HTTP version the client or the endpoint speaks. What a phase, or anything below it,
// decides about an exchange is noted (State/Verdict.swift) and done here, in `settle`.

import WeirHTTPModel
import Reactor
import WeirResilience

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
    ///
    /// - Parameter step: where in the chain of policies the phase goes on; nil: the phase is entered, at its beginning or,
    ///   for another attempt, behind its policies.
    func run(_ exchange: ExchangePointer, from phase: Phase, step: Int? = nil) {
        var phase = phase
        var step = step
        while true {
            exchange.pointee.phase = phase
            switch phase {
            case .route:
                guard route(exchange) == .next else { return }
                phase = .admit
            case .admit:
                guard pass(exchange, .admit, from: step ?? 0) else { return }
                phase = .lookup
                step = nil
            case .lookup:
                guard pass(exchange, .lookup, from: step ?? 0) else { return }
                guard lookup(exchange) == .next else { return }
                phase = .select
                step = 0
            case .select:
                if let step {
                    guard pass(exchange, .select, from: step) else { return }
                }
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

    /// Does what was decided about an exchange, until nothing is left to do. Only when nothing of it is on the stack.
    func settle(_ exchange: ExchangePointer) {
        while !exchange.pointee.isOver {
            let verdict = exchange.pointee.verdict
            let failure = exchange.pointee.noted
            exchange.pointee.verdict = .none
            switch verdict {
            case .none: return
            case .attemptFailed: tryElsewhere(exchange)
            case .failed: answerFailure(exchange, failure)
            case .finished: complete(exchange)
            case .ended: cut(exchange, failure)
            }
        }
    }

    /// What the exchange waited for has not come, or it is time.
    func goOnAfterTimer(_ exchange: ExchangePointer) {
        exchange.pointee.timerRuns = false
        switch exchange.pointee.waitsFor {
        case .body: resume(exchange, .time)
        case .answer: exchange.fail(Failure(exchange.pointee.waitReason, phase: exchange.pointee.phase))
        case .backoff:
            exchange.pointee.waitsFor = .nothing
            run(exchange, from: .select)
        case .nothing: pingClockRang(exchange)
        }
    }
}
