// Whether a peer takes anything of what waits for it.
//
// A slow reader's kernel and ours hold megabytes between them, and the event loop hears of room only when a third
// of them is free again: minutes, at the pace of a bad line. So the kernel is asked how many bytes the peer
// has taken in total, and two answers are compared. It is asked when a timer rings and never else, a few times
// within the time a peer has: there is no answer from the beginning to compare the first one with.
//
// Pure: now is a parameter, in milliseconds of any monotonic clock.

/// One connection's clock.
public struct TakingClock: Sendable, BitwiseCopyable {
    /// The total when it was last asked for, and since when it has been that.
    private var taken: UInt64 = 0
    private var sinceMs: UInt64 = 0

    public init() {}

    /// Looks within the time a peer has: it is cut no sooner, and later by no more than one of them.
    private static let looksPerTimeout: UInt64 = 4

    /// How long until the next look.
    public static func pauseMs(timeoutMs: UInt64) -> UInt64 { max(timeoutMs / looksPerTimeout, 1) }

    /// Something begins to wait for the peer, or the peer has been seen taking.
    public mutating func begin(at nowMs: UInt64) { sinceMs = nowMs }

    /// Whether the peer has taken something within the last `timeoutMs`, or has not had that long.
    ///
    /// - Parameter taken: a total that is another when the peer has taken something.
    public mutating func isTaking(_ taken: UInt64, nowMs: UInt64, timeoutMs: UInt64) -> Bool {
        if taken != self.taken {
            self.taken = taken
            sinceMs = nowMs
            return true
        }
        return nowMs < sinceMs &+ timeoutMs
    }
}
