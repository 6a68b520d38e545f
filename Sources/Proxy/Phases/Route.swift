// route: which route serves this request.

import WeirHTTP1
import WeirHTTPModel
import WeirResilience
import WeirRouting

extension Worker {
    @inline(__always)
    private func match(_ exchange: ExchangePointer, _ view: RequestView, _ router: Router) -> Bool {
        guard router.asksForContext else {
            return router.match(view, scratch: routeScratch, into: &exchange.pointee.match)
        }
        return matchInContext(exchange, view, router)
    }

    @inline(never)
    private func matchInContext(_ exchange: ExchangePointer, _ view: RequestView, _ router: Router) -> Bool {
        exchange.pointee.listener.clientAddress?.identifyClient(of: exchange, self)
        var match = RouteMatch()
        let isFound = withContext(
            exchange, view, time: router.asksForTime, certificate: router.asksForCertificates
        ) {
            context in
            // There is no route yet.
            context.match = nil
            return withUnsafePointer(to: context) {
                router.match(view, scratch: routeScratch, context: $0, into: &match)
            }
        }
        exchange.pointee.match = match
        return isFound
    }

    func route(_ exchange: ExchangePointer) -> PhaseResult {
        guard let view = view(exchange) else { return .finish }
        let plan = exchange.pointee.listener
        guard plan.lentRouter({ match(exchange, view, $0) }) else {
            if exchange.pointee.request.method == .connect {
                return prepareConnect(exchange) ? .next : .finish
            }
            if exchange.pointee.match.isAmbiguous {
                exchange.fail(
                    Failure(
                        .requestMalformed, phase: .route,
                        position: Int32(exchange.pointee.request.target.offset),
                        detail: Detail(Violation.pathAmbiguous)))
                return .finish
            }
            // A regular expression that hit its limits says neither yes nor no: no route is guessed.
            let isMismatch = exchange.pointee.match.methodMismatch
            exchange.fail(
                exchange.pointee.match.expressionFailed
                    ? .limit(.expression, phase: .route)
                    : Failure(isMismatch ? .methodNotAllowed : .routeNotFound, phase: .route))
            return .finish
        }
        let routeIndex = Int(plan.routeIndexes[Int(exchange.pointee.match.route)])
        exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef { snapshot in
            exchange.pointee.lentRoute = snapshot.lentRoutes[routeIndex]
            exchange.pointee.lentRoute? { adopt(exchange, $0, snapshot) }
        }
        if exchange.pointee.request.method == .connect && !prepareConnect(exchange) { return .finish }
        return .next
    }

    private func adopt(_ exchange: ExchangePointer, _ route: RoutePlan, _ snapshot: Snapshot) {
        exchange.pointee.counters = route.counters[index]
        exchange.pointee.headTimeoutMs = route.headTimeoutMs
        exchange.pointee.idleTimeoutMs = route.idleTimeoutMs
        adopt(exchange, route.policies)
        switch route.action {
        case .files(_, let otherwise?) where !exchange.pointee.request.method.readsFiles:
            // Judged as a request to the service that gets it, from its body on.
            pass(exchange, to: otherwise)
        case .forward(let serviceID), .files(let serviceID, _):
            exchange.pointee.lentService = snapshot.lentServices[serviceID]
            exchange.pointee.serviceID = serviceID
        case .redirect, .respond, .close: break
        }
    }

    /// The steps of the policies that concern this request.
    @inline(__always)
    private func adopt(_ exchange: ExchangePointer, _ chain: PolicyChain) {
        let traits = traits(exchange)
        exchange.pointee.traits = traits
        exchange.pointee.hooks = traits.isEmpty ? chain.plainHooks : chain.hooks
    }

    /// The request goes to another service than the route names first, as if it were that one's from the start.
    func pass(_ exchange: ExchangePointer, to next: NextService) {
        exchange.pointee.counters = next.counters[index]
        exchange.pointee.serviceID = next.serviceID
        exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef {
            exchange.pointee.lentService = $0.lentServices[next.serviceID]
        }
    }
}

extension Method {
    /// Whether files can answer it.
    var readsFiles: Bool { self == .get || self == .head }
}
