// The one table of balancing methods.
//
// A new method is a file of its own with a type that is a `BalancingMethod`, a case with its word, and a row in the
// switch. The configuration, its schema and reference, `weir explain` and the status read the words from here.

/// How the endpoint of an attempt is chosen. A value per worker and service: what it remembers is nobody else's.
public protocol BalancingMethod {
    init()

    /// Adopts the endpoints and weights of the view. Called whenever either changes; may allocate.
    mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(_ view: V, using random: inout R)

    /// An endpoint that may be picked, outside `excluded`; nil when there is none. Allocates nothing.
    /// - Parameter key: what the choice may depend on (a client, a session), hashed; nil: nothing.
    mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: Excluded, using random: inout R
    ) -> Int?
}

/// The methods by their words in the configuration (`balance:`), in the order in which documents name them.
public enum BalancingMethodName: String, Sendable, CaseIterable, BitwiseCopyable {
    case leastRequest = "least-request"
    case roundRobin = "round-robin"
    case random

    /// The type behind the word, for somebody who needs it while compiling.
    @inlinable @inline(__always)
    func open<Use: BalancingMethodUse>(_ use: borrowing Use) -> Use.Result {
        switch self {
        case .leastRequest: use.with(LeastRequest.self)
        case .roundRobin: use.with(RoundRobin.self)
        case .random: use.with(WeightedRandom.self)
        }
    }
}

/// What is done with a method once its type is known.
@usableFromInline
protocol BalancingMethodUse {
    associatedtype Result
    func with<Method: BalancingMethod>(_ method: Method.Type) -> Result
}
