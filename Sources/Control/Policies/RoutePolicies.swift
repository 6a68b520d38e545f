// Which policies a route has, compiled from its configuration. Their order is fixed by the product, at every hook, and
// it is the order of this list; `weir explain` shows it.

import Configuration
import Proxy
import Reactor
import WeirRouting

/// What a policy is compiled from.
struct PolicyInput {
    let route: Route
    let compiled: CompiledRoutes.Compiled
    /// Clients in these blocks are believed about whom they speak for.
    let trusted: [AddressBlock]
}

enum RoutePolicies {
    /// One line each: its name, and what makes it of a route, or nil where the route does not have it.
    private static let inOrder: [@Sendable (PolicyInput) -> Policy?] = [
        ClientAddressPolicy.make,
        TotalTimeoutPolicy.make,
        BodyLimitPolicy.make,
        GRPCWebPolicy.make,
        DecompressRequestsPolicy.make,
        HoldPolicy.make,
        DecodeHeldPolicy.make,
        UpgradesPolicy.make,
        CompressionPolicy.make,
        LocationPolicy.make,
        CookiesPolicy.make,
        HeadersPolicy.make,
    ]

    /// The policies of a route, in order.
    static func of(_ input: PolicyInput) -> [Policy] {
        // Whoever gets no answer is not waited for, nor told why.
        if case .close = input.route.action {
            return ClientAddressPolicy.make(input).map { [$0] } ?? []
        }
        return inOrder.compactMap { $0(input) }
    }
}

extension Route {
    /// Whether requests may go to an endpoint.
    var isForwarded: Bool { if case .service = action { true } else { false } }
}
