// The one place where Reactor reads a clock. Decisions get time as a parameter.

import Glibc

/// Monotonic and wall time. Everything that decides takes `nowNs` or `nowMs` as a parameter and never calls this.
public enum Clock {
    /// Nanoseconds on CLOCK_MONOTONIC.
    @inline(__always)
    public static func monotonicNs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// Microseconds since 1970 on CLOCK_REALTIME, for logs, dates and certificates only.
    public static func wallUs() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return UInt64(time.tv_sec) &* 1_000_000 &+ UInt64(time.tv_nsec) / 1_000
    }
}
