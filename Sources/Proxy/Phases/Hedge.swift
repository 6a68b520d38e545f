// Asking another endpoint while one has not answered yet.
//
// A hedge is one attempt more than there are requests, so it costs the service's retry budget what a retry costs
// (law 7), and is made under the same conditions: all of the request is held, and may be repeated.

import WeirHTTPModel
import WeirResilience

extension Worker {
    /// Asks another endpoint beside the one that is asked. False: it may not, or there is none that was not asked yet.
    func hedge(_ exchange: ExchangePointer) -> Bool {
        guard mayHedge(exchange), let service = exchange.service else { return false }
        var tried = exchange.pointee.excluded
        // Once all have been tried a balancer begins anew: there is nobody else then.
        guard let i = pick(service, excluded: &tried), !exchange.pointee.excluded.contains(i),
            let endpoint = service.lentEndpoints[i], takeFromBudget(service),
            let attempt = addAttempt(exchange, .hedge)
        else { return false }
        exchange.pointee.excluded.insert(i)
        attempt.pointee.lentEndpoint = endpoint
        endpoint { begin(attempt, $0, service) }
        return true
    }

    private func mayHedge(_ exchange: ExchangePointer) -> Bool {
        !exchange.isDecided && exchange.pointee.phase == .forward && exchange.pointee.waitsFor == .nothing
            && exchange.attempt.pointee.account.isOpen && !exchange.pointee.responseStarted
            && exchange.pointee.upgrade == .none && exchange.pointee.request.method.isIdempotent
            && exchange.requestIsComplete && exchange.pointee.isReplayable
            && exchange.pointee.requestStages?.holdsAll ?? true
    }
}
