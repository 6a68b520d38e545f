// Weighted random choice in constant time (Walker's alias method, Vose's construction).
//
// Barred and excluded endpoints are handled by drawing again a few times and then by one pass over
// the endpoints; both give each eligible endpoint its exact share among the eligible ones.

/// Weighted random balancing, and the sampler of `LeastRequest`.
public struct WeightedRandom: BalancingMethod, Sendable {
    /// Draws before falling back to a pass over all endpoints.
    @usableFromInline static let drawsMax = 4

    /// Column i yields i when a 32-bit draw is below its threshold (2^32 = always), else its alias.
    @usableFromInline var thresholds: [UInt64] = []
    @usableFromInline var aliases: [UInt32] = []
    @usableFromInline var endpointCount = -1
    @usableFromInline var hasWeight = false

    public init() {}

    /// Makes the table anew. Call it when endpoints or weights change; allocates.
    public mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(_ view: V, using random: inout R)
    {
        prepare(weights: (0..<view.count).map { view.weight($0) })
    }

    public mutating func prepare(weights: [UInt32]) {
        let count = weights.count
        let total = weights.reduce(0.0) { $0 + Double($1) }
        endpointCount = count
        hasWeight = total > 0
        thresholds = [UInt64](repeating: 1 << 32, count: count)
        aliases = (0..<count).map { UInt32($0) }
        guard total > 0 else { return }
        var scaled = weights.map { Double($0) * Double(count) / total }
        var small = scaled.indices.filter { scaled[$0] < 1 }
        var large = scaled.indices.filter { scaled[$0] >= 1 }
        while let s = small.popLast() {
            guard let l = large.last else {
                // Rounding left a column without partner: it is 1 within an ulp, unless its weight is 0.
                if weights[s] == 0, let heaviest = weights.indices.max(by: { weights[$0] < weights[$1] }) {
                    thresholds[s] = 0
                    aliases[s] = UInt32(heaviest)
                }
                continue
            }
            thresholds[s] = UInt64(scaled[s] * 4_294_967_296)
            aliases[s] = UInt32(l)
            scaled[l] -= 1 - scaled[s]
            if scaled[l] < 1 {
                large.removeLast()
                small.append(l)
            }
        }
    }

    /// An endpoint that may be picked, outside `excluded`, by weight; nil when there is none.
    @inlinable
    public mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: Excluded, using random: inout R
    ) -> Int? {
        pick(view, excluded: excluded, otherThan: -1, using: &random)
    }

    @inlinable
    mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, excluded: Excluded, otherThan avoided: Int, using random: inout R
    ) -> Int? {
        if endpointCount != view.count { prepare(view, using: &random) }
        guard hasWeight else { return nil }
        var draws = 0
        while draws < Self.drawsMax {
            let bits = random.next()
            let column = Int((bits >> 32 &* UInt64(thresholds.count)) >> 32)
            let index = bits & 0xffff_ffff < thresholds[column] ? column : Int(aliases[column])
            if index != avoided, view.isEligible(index, excluded) { return index }
            draws &+= 1
        }
        return scan(view, excluded: excluded, otherThan: avoided, using: &random)
    }

    @inlinable
    func scan<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, excluded: Excluded, otherThan avoided: Int, using random: inout R
    ) -> Int? {
        var total: UInt64 = 0
        var i = 0
        while i < view.count {
            if i != avoided, view.isEligible(i, excluded) { total &+= UInt64(view.weight(i)) }
            i &+= 1
        }
        guard total > 0 else { return nil }
        var rest = UInt64(random.index(below: total))
        i = 0
        var last: Int?
        while i < view.count {
            if i != avoided, view.isEligible(i, excluded) {
                let weight = UInt64(view.weight(i))
                if rest < weight { return i }
                rest &-= weight
                last = i
            }
            i &+= 1
        }
        // The view may change between the passes (it reads atomics): the last eligible one then.
        return last
    }
}
