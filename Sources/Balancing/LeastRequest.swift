// Least request: the power of two choices.
//
// Two different endpoints are drawn by weight and the one with fewer requests in flight per unit of
// weight is taken; on a tie the first drawn, so that an idle service is shared by weight. Looking at
// two instead of all keeps workers that read the same loads from rushing to the same endpoint.

/// Weighted least-request balancing over the loads of the view.
public struct LeastRequest: BalancingMethod, Sendable {
    @usableFromInline var sampler = WeightedRandom()

    public init() {}

    /// Call it when endpoints or weights change; allocates.
    public mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(_ view: V, using random: inout R)
    {
        sampler.prepare(view, using: &random)
    }

    /// An endpoint that may be picked, outside `excluded`; nil when there is none.
    @inlinable
    public mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: Excluded, using random: inout R
    ) -> Int? {
        guard let first = sampler.pick(view, key: key, excluded: excluded, using: &random) else { return nil }
        if view.count == 1 { return first }
        guard let second = sampler.pick(view, excluded: excluded, otherThan: first, using: &random)
        else { return first }
        // load(a)/weight(a) compared without division.
        let a = UInt64(truncatingIfNeeded: max(view.load(first), 0)) &* UInt64(view.weight(second))
        let b = UInt64(truncatingIfNeeded: max(view.load(second), 0)) &* UInt64(view.weight(first))
        return b < a ? second : first
    }
}
