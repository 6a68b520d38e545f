// The balancer of a service: one algorithm, chosen by configuration.

/// A tag and the state of the algorithms side by side: mutating the payload of an enum in place would
/// copy it. One per worker and service.
public struct Balancer: Sendable {
    public enum Algorithm: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        case roundRobin, random, leastRequest

        /// The word in the configuration (`balance:`).
        public var name: StaticString {
            switch self {
            case .roundRobin: "round-robin"
            case .random: "random"
            case .leastRequest: "least-request"
            }
        }

        public init?(_ name: String) {
            for algorithm in Self.allCases where algorithm.name.description == name {
                self = algorithm
                return
            }
            return nil
        }
    }

    public let algorithm: Algorithm
    @usableFromInline var roundRobin = RoundRobin()
    @usableFromInline var random = WeightedRandom()
    @usableFromInline var leastRequest = LeastRequest()

    public init(_ algorithm: Algorithm) { self.algorithm = algorithm }

    /// Adopts the endpoints and weights of the view. Call it whenever either changes; allocates.
    public mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, using generator: inout R
    ) {
        switch algorithm {
        case .roundRobin: roundRobin.prepare(view, using: &generator)
        case .random: random.prepare(view)
        case .leastRequest: leastRequest.prepare(view)
        }
    }

    /// An available endpoint outside `excluded`; nil when there is none, and then the caller decides
    /// (try an excluded one again, panic, 503).
    @inlinable
    public mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, excluded: Excluded, using generator: inout R
    ) -> Int? {
        switch algorithm {
        case .roundRobin: roundRobin.pick(view, excluded: excluded, using: &generator)
        case .random: random.pick(view, excluded: excluded, using: &generator)
        case .leastRequest: leastRequest.pick(view, excluded: excluded, using: &generator)
        }
    }
}
