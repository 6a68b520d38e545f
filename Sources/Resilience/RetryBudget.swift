// The retry budget: retries never amplify an outage.
//
// Retries are allowed in proportion to requests that completed, over a sliding window, plus a small
// floor so that a quiet service can still retry. It is fed by completed originals and charged at the
// decision to retry, before any back-off: counting requests in flight would shrink the budget exactly
// when originals start to fail and leave it unclear whether a waiting retry counts.
// It does not know about services or workers: whoever keeps one budget per worker divides the floor.

/// How many retries a service may make. Plain data, fixed size, time is a parameter.
///
/// Invariant: within the last ten tenths of the window (the current, unfinished tenth included),
/// retries ≤ `perMille` ‰ of completed requests + `floorPerSecond` × window.
public struct RetryBudget: Sendable, BitwiseCopyable {
    @usableFromInline
    struct Slice: BitwiseCopyable, Sendable {
        var completed: UInt32 = 0
        var charged: UInt32 = 0
    }

    @usableFromInline static let sliceCount = 10

    private var slices = InlineArray<10, Slice>(repeating: Slice())
    private let sliceMs: UInt64
    private var slice: UInt64 = 0
    private var completedInWindow: UInt64 = 0
    private var chargedInWindow: UInt64 = 0
    private var perMille: UInt64
    /// Floor of the whole window in thousandths of a retry, so that fractions of 1/s survive.
    private var floorThousandths: UInt64

    /// - Parameters:
    ///   - perMille: share of completed requests that may be retried, 0…10,000.
    ///   - floorPerSecond: retries per second allowed without any completed request, 0…1,000,000.
    ///   - windowMs: length of the window in milliseconds, 10…3,600,000.
    /// Values outside their range are brought to its nearest end.
    public init(perMille: Int = 200, floorPerSecond: Double = 3, windowMs: UInt64 = 10_000) {
        let window = min(max(windowMs, 10), 3_600_000)
        self.perMille = UInt64(min(max(perMille, 0), 10_000))
        self.sliceMs = window / UInt64(Self.sliceCount)
        let floor = floorPerSecond.isFinite ? min(max(floorPerSecond, 0), 1_000_000) : 0
        self.floorThousandths = UInt64(floor * Double(window))
    }

    /// Allows what another budget of the same window allows, and goes on with what it has counted.
    public mutating func follow(_ other: RetryBudget) {
        perMille = other.perMille
        floorThousandths = other.floorThousandths
    }

    /// A request (not a retry of one) got a response that was not retried.
    public mutating func completed(at nowMs: UInt64) {
        advance(to: nowMs)
        slices[Int(slice % 10)].completed &+= 1
        completedInWindow &+= 1
    }

    /// Takes one retry from the budget. Call it when the decision to retry is made.
    /// - Returns: false when the budget is spent; nothing is charged then.
    public mutating func tryCharge(at nowMs: UInt64) -> Bool {
        advance(to: nowMs)
        guard (chargedInWindow &+ 1) &* 1_000 <= allowanceThousandths else { return false }
        slices[Int(slice % 10)].charged &+= 1
        chargedInWindow &+= 1
        return true
    }

    /// Retries that could be charged now, for status views.
    public mutating func remaining(at nowMs: UInt64) -> Int {
        advance(to: nowMs)
        let allowed = allowanceThousandths / 1_000
        return allowed > chargedInWindow ? Int(allowed &- chargedInWindow) : 0
    }

    private var allowanceThousandths: UInt64 { completedInWindow &* perMille &+ floorThousandths }

    /// Drops slices that left the window. Time that goes backwards counts into the current slice.
    private mutating func advance(to nowMs: UInt64) {
        let target = nowMs / sliceMs
        guard target > slice else { return }
        var dropped = min(target &- slice, UInt64(Self.sliceCount))
        // Only the last ten slices before the target can hold anything, so a long silence costs ten steps.
        var next = target &- dropped
        while dropped > 0 {
            next &+= 1
            let index = Int(next % 10)
            completedInWindow &-= UInt64(slices[index].completed)
            chargedInWindow &-= UInt64(slices[index].charged)
            slices[index] = Slice()
            dropped &-= 1
        }
        slice = target
    }
}
