// select: which endpoint gets this attempt.
//
// Endpoints already tried are excluded while another is left. Nothing here touches a socket.

import Balancing
import HTTPModel
import Resilience
import Routing

extension Worker {
    func select(_ exchange: ExchangePointer) -> PhaseResult {
        guard let service = exchange.pointee.lentService else { return .finish }
        return service { select(exchange, $0) }
    }

    private func select(_ exchange: ExchangePointer, _ service: ServicePlan) -> PhaseResult {
        guard let i = pick(service, excluded: &exchange.pointee.excluded) else {
            // A service has an endpoint from the start unless all it has are names, none of them known yet.
            exchange.fail(Failure(.nameUnresolved, phase: .select))
            return .finish
        }
        exchange.pointee.excluded.insert(i)
        exchange.pointee.lentEndpoint = service.lentEndpoints[i]
        return .next
    }

    /// Picks an endpoint; when all have been tried they are all candidates again.
    func pick(_ service: ServicePlan, excluded: inout Excluded) -> Int? {
        if service.endpointCount == 1 { return 0 }
        let endpoints = ServiceEndpoints(plan: service)
        if let i = serviceStates[service.id].balancer.pick(endpoints, excluded: excluded, using: &random) {
            return i
        }
        guard !excluded.isEmpty else { return nil }
        excluded = Excluded()
        return serviceStates[service.id].balancer.pick(endpoints, excluded: excluded, using: &random)
    }
}
