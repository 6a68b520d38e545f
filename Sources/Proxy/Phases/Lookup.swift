// lookup: answers that need no endpoint: redirects and fixed responses.

import HTTPModel
import Resilience
import Routing

extension Worker {
    func lookup(_ exchange: ExchangePointer) -> PhaseResult {
        guard let route = exchange.pointee.route else { return .finish }
        switch route.action {
        case .forward:
            if exchange.pointee.request.wantsUpgrade {
                // Bringing protocols over an upgraded connection comes with a later version: refused
                // before anything is sent as if it were accepted.
                fail(exchange, Failure(.upgradeNotSupported, phase: .lookup))
                return .finish
            }
            return .next
        case .redirect(let template, let status):
            answer(exchange, status: status, location: template, contentType: nil, body: nil)
        case .respond(let status, let contentType, let body):
            answer(exchange, status: status, location: nil, contentType: contentType, body: body)
        }
        return .finish
    }
}
