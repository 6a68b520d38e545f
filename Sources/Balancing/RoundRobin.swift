// Weighted round robin, smoothly interleaved.
//
// The order is computed once, when endpoints or weights change: endpoint i with weight w stands at the
// positions (k + ½)/w, all positions sorted. Weights 5:1:1 give a a b a c a a, never a a a a a b c.
// A pick reads the next slot; slots of endpoints that cannot be chosen are consumed, so the others keep
// their proportions among themselves. The cost is one slot when all endpoints may be picked, and at
// worst one round of the schedule.

/// Weighted round robin over a precomputed schedule. One per worker and service; plain state.
public struct RoundRobin: BalancingMethod, Sendable {
    /// Slots of a schedule, unless there are more endpoints: larger sums of weights are scaled down to
    /// this, each positive weight keeping at least one slot.
    public static let slotsMax = 4096

    @usableFromInline var schedule: [UInt32] = []
    @usableFromInline var cursor = 0
    /// Number of endpoints the schedule was made for.
    @usableFromInline var endpointCount = -1

    public init() {}

    /// Makes the schedule anew. Call it when endpoints or weights change; allocates.
    /// Starts at a random slot, so that several workers do not all begin with the same endpoint; a schedule
    /// made before goes on where it was, at the same part of its round when its length has changed.
    public mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, using random: inout R
    ) {
        prepare(weights: (0..<view.count).map { view.weight($0) }, using: &random)
    }

    public mutating func prepare<R: RandomNumberGenerator>(weights: [UInt32], using random: inout R) {
        let before = schedule.count
        schedule = Self.schedule(weights: weights)
        endpointCount = weights.count
        if before > 0 {
            cursor = cursor &* schedule.count / before
        } else {
            cursor = schedule.isEmpty ? 0 : random.index(below: UInt64(schedule.count))
        }
    }

    /// The next endpoint that may be picked, outside `excluded`; nil when there is none.
    @inlinable
    public mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: Excluded, using random: inout R
    ) -> Int? {
        if endpointCount != view.count { prepare(view, using: &random) }
        let count = schedule.count
        var tried = 0
        while tried < count {
            let index = Int(schedule[cursor])
            cursor &+= 1
            if cursor == count { cursor = 0 }
            if view.isEligible(index, excluded) { return index }
            tried &+= 1
        }
        return nil
    }

    static func schedule(weights: [UInt32]) -> [UInt32] {
        let slots = slotCounts(weights)
        if slots.allSatisfy({ $0 <= 1 }) {
            return slots.indices.filter { slots[$0] == 1 }.map { UInt32($0) }
        }
        var placed: [(position: Double, index: UInt32)] = []
        for (index, count) in slots.enumerated() {
            for k in 0..<count { placed.append(((Double(k) + 0.5) / Double(count), UInt32(index))) }
        }
        placed.sort { $0.position != $1.position ? $0.position < $1.position : $0.index < $1.index }
        return placed.map { $0.index }
    }

    /// Slots per endpoint: weights divided by their common divisor, scaled to `slotsMax` if need be.
    private static func slotCounts(_ weights: [UInt32]) -> [Int] {
        var divisor: UInt32 = 0
        for weight in weights {
            var (a, b) = (divisor, weight)
            while b != 0 { (a, b) = (b, a % b) }
            divisor = a
        }
        guard divisor > 0 else { return weights.map { _ in 0 } }
        let reduced = weights.map { Int($0 / divisor) }
        let total = reduced.reduce(0, +)
        let limit = max(slotsMax, weights.count)
        guard total > limit else { return reduced }
        return reduced.map { weight in
            weight == 0 ? 0 : max(1, Int((Double(weight) * Double(limit) / Double(total)).rounded()))
        }
    }
}
