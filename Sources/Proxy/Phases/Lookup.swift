// lookup: answers that need no endpoint: files, redirects and fixed responses. Where there is no file,
// another service may have the answer.

import WeirHTTPModel
import WeirResilience
import WeirRouting

extension Worker {
    func lookup(_ exchange: ExchangePointer) -> PhaseResult {
        guard let route = exchange.pointee.lentRoute else { return .finish }
        return route { lookup(exchange, $0) }
    }

    private func lookup(_ exchange: ExchangePointer, _ route: RoutePlan) -> PhaseResult {
        switch route.action {
        case .forward:
            return prepareForward(exchange)
        case .files(_, let otherwise):
            if answerFile(exchange) { return .finish }
            // Requests that no file answers have been passed on by `route`.
            if exchange.service?.files != nil, let otherwise { pass(exchange, to: otherwise) }
            return prepareForward(exchange)
        case .redirect(let template, let status):
            answer(exchange, status: status, location: template, contentType: nil, body: nil, coded: nil)
        case .respond(let status, let contentType, let body, let coded):
            answer(
                exchange, status: status, location: nil, contentType: contentType, body: body, coded: coded)
        case .close:
            exchange.end(Failure(.closedByRoute, phase: .lookup))
        }
        return .finish
    }

    private func prepareForward(_ exchange: ExchangePointer) -> PhaseResult {
        if exchange.pointee.request.method.countsHops && answeredAsLastHop(exchange) { return .finish }
        return .next
    }
}

extension RequestView {
    /// An offer to go on in HTTP/2 may be ignored (RFC 9110 §7.8): the request is served as it is.
    public var asksForH2C: Bool {
        guard let value = field(named: "upgrade"), let base = value.baseAddress else { return false }
        return equals(base, value.count, lowercase: "h2c")
    }
}
