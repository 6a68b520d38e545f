// A small, fast generator that starts from a seed, so that every random decision can be replayed.

/// SplitMix64. Not for secrets.
public struct SeededRandom: RandomNumberGenerator, Sendable, BitwiseCopyable {
    @usableFromInline var state: UInt64

    @inlinable
    public init(seed: UInt64) { state = seed }

    @inlinable
    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return StableHash.mixed(state)
    }
}

extension RandomNumberGenerator {
    /// An index 0..<count by multiplication; the bias is below count / 2^64.
    @inlinable @inline(__always)
    mutating func index(below count: UInt64) -> Int {
        Int(truncatingIfNeeded: next().multipliedFullWidth(by: count).high)
    }
}
