// The one place where Reactor reads a clock, and what a loop reads instead when its time is not the machine's.
// Decisions get time as a parameter.

import Glibc

/// Monotonic and wall time. Everything that decides takes `nowNs` or `nowMs` as a parameter and never calls this.
public enum Clock {
    /// Nanoseconds on CLOCK_MONOTONIC.
    @inline(__always)
    public static func monotonicNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        // Neither is negative; asking costs as much as the source of the time does.
        return UInt64(truncatingIfNeeded: time.tv_sec) &* 1_000_000_000
            &+ UInt64(truncatingIfNeeded: time.tv_nsec)
    }

    /// Microseconds since 1970 on CLOCK_REALTIME, for logs, dates and certificates only.
    public static func wallUs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1_000
    }
}

/// Where a loop has its time from: the machine's clocks, or a hand that somebody moves. Asking costs one branch more
/// than reading the clock.
public struct TimeSource: @unchecked Sendable {
    fileprivate struct Hand {
        var nowNs: UInt64
        var epochUs: UInt64
    }

    /// nil: the machine's.
    fileprivate let hand: UnsafeMutablePointer<Hand>?

    public static var machine: TimeSource { TimeSource(hand: nil) }

    /// Nanoseconds that never go back.
    @inline(__always)
    public func monotonicNs() -> UInt64 {
        guard let hand else { return Clock.monotonicNs() }
        return hand.pointee.nowNs
    }

    /// Microseconds since 1970, for logs and dates only.
    public func wallUs() -> UInt64 {
        guard let hand else { return Clock.wallUs() }
        return hand.pointee.epochUs &+ hand.pointee.nowNs / 1_000
    }
}

/// A hand: time that passes when it is moved, for simulations. Belongs to one thread, and outlives what goes by it.
public final class VirtualTime: @unchecked Sendable {
    private let hand: UnsafeMutablePointer<TimeSource.Hand>

    /// - Parameter epochUs: what the wall clock shows at 0, microseconds since 1970.
    public init(nowNs: UInt64, epochUs: UInt64) {
        hand = .allocate(capacity: 1)
        hand.initialize(to: TimeSource.Hand(nowNs: nowNs, epochUs: epochUs))
    }

    deinit { hand.deallocate() }

    public var source: TimeSource { TimeSource(hand: hand) }

    public var nowNs: UInt64 { hand.pointee.nowNs }

    /// Later, or as late as it is.
    public func move(toNs nowNs: UInt64) { hand.pointee.nowNs = max(hand.pointee.nowNs, nowNs) }
}
