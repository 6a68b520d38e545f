// How long to wait before another attempt.
//
// Exponential with full jitter: the wait is drawn evenly from 0 to the current ceiling, so that
// requests which failed together do not come back together.

/// Back-off between attempts. Pure: the randomness is a parameter.
public struct Backoff: Sendable, Equatable, BitwiseCopyable {
    /// Ceiling of the first wait, milliseconds.
    public var baseMs: UInt32
    /// Largest ceiling, milliseconds.
    public var capMs: UInt32

    @inlinable
    public init(baseMs: UInt32 = 25, capMs: UInt32 = 250) {
        self.baseMs = baseMs
        self.capMs = capMs
    }

    /// The largest wait before retry number `retry` (1 is the first): min(cap, base × 2^(retry−1)).
    @inlinable
    public func ceilingMs(retry: Int) -> UInt32 {
        let doublings = min(max(retry, 1) - 1, 31)
        let raised = UInt64(baseMs) << UInt64(doublings)
        return UInt32(truncatingIfNeeded: min(raised, UInt64(capMs)))
    }

    /// The wait before retry number `retry` (1 is the first), 0…`ceilingMs(retry:)` inclusive.
    @inlinable
    public func delayMs<R: RandomNumberGenerator>(retry: Int, using random: inout R) -> UInt32 {
        let ceiling = UInt64(ceilingMs(retry: retry))
        return UInt32(truncatingIfNeeded: random.next(upperBound: ceiling + 1))
    }
}
