// select: which endpoint gets this attempt.
//
// Endpoints already tried are excluded while another is left; HTTP, TCP and UDP choose here, by the same states.
// Nothing here touches a socket.

import WeirBalancing
import WeirHTTPModel
import WeirResilience
import WeirRouting

extension Worker {
    func select(_ exchange: ExchangePointer) -> PhaseResult {
        guard let service = exchange.pointee.lentService else { return .finish }
        return service { select(exchange, $0) }
    }

    private func select(_ exchange: ExchangePointer, _ service: ServicePlan) -> PhaseResult {
        guard let i = pick(service, excluded: &exchange.pointee.excluded) else {
            exchange.fail(noEndpoint(service))
            return .finish
        }
        exchange.pointee.excluded.insert(i)
        exchange.attempt.pointee.lentEndpoint = service.lentEndpoints[i]
        return .next
    }

    /// Picks an endpoint; nil: the operator has taken all out, or there is none.
    func pick(_ service: ServicePlan, excluded: inout Excluded) -> Int? {
        serviceStates[service.id].balancer.choose(
            ServiceEndpoints(plan: service, nowMs: nowMs), excluded: &excluded, using: &random)
    }

    /// Why there is nobody to pick.
    func noEndpoint(_ service: ServicePlan) -> Failure {
        // A service has an endpoint from the start unless all it has are names, none of them known yet.
        Failure(service.endpointCount == 0 ? .nameUnresolved : .noEndpoint, phase: .select)
    }
}
