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
    /// What the service it names serves, if that is a folder.
    let files: ServedFiles?

    /// Whether requests may go to an endpoint: of the service it names, or where its files end.
    var mayForward: Bool {
        guard case .service = route.action else { return false }
        guard let files else { return true }
        if case .service = files.otherwise { return true }
        return false
    }
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

extension PolicyExplanation {
    init(_ policy: Policy) {
        self.init(
            name: policy.name.description,
            hooks: Hooks.names.filter { policy.hooks.contains($0.hook) }.map(\.name), text: policy.text,
            concerns: Traits.names.filter { policy.traits.contains($0.trait) }.map(\.name))
    }
}
