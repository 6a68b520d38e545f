// Slow peers, measured by progress.
//
// Defends against clients that keep a connection busy with a byte now and then (slow head, slow body,
// slow reading) without cutting long transfers that do move: what counts is the number of bytes per
// window, never the total time. It has no timer of its own; the caller asks when the time it was
// told has come.

/// A minimum byte rate over consecutive windows. Plain data, time is a parameter.
public struct ProgressMeter: Sendable, BitwiseCopyable {
    public enum Verdict: Sendable, Equatable, BitwiseCopyable {
        /// Nothing to do; ask again at this time (milliseconds).
        case wait(untilMs: UInt64)
        /// Fewer bytes than required moved in a whole window.
        case tooSlow
    }

    /// Bytes that must move in each window.
    public let bytesPerWindowMin: UInt64
    public let windowMs: UInt64
    private var windowStartMs: UInt64
    private var bytes: UInt64 = 0
    private var pausedAtMs: UInt64 = 0
    public private(set) var isPaused: Bool

    /// - Parameters:
    ///   - bytesPerSecondMin: required rate, at least 1. Brought to at least one byte per window.
    ///   - windowMs: length of a window, at least 1; also the grace a peer has at the start.
    ///   - isPaused: nothing is asked of the peer yet: the clock starts with `resume`.
    public init(
        bytesPerSecondMin: UInt64, windowMs: UInt64, startingAt nowMs: UInt64, isPaused: Bool = false
    ) {
        let window = max(windowMs, 1)
        let (product, overflow) = bytesPerSecondMin.multipliedReportingOverflow(by: window)
        self.windowMs = window
        self.bytesPerWindowMin = max(overflow ? UInt64.max / 1_000 : product / 1_000, 1)
        self.windowStartMs = nowMs
        self.isPaused = isPaused
        pausedAtMs = nowMs
    }

    /// Bytes moved.
    public mutating func progressed(bytes count: Int) {
        if count > 0 { bytes &+= UInt64(count) }
    }

    /// Stops the clock while nothing is asked of the peer: Weir itself does not read (back-pressure), or
    /// somebody else has to speak first.
    public mutating func pause(at nowMs: UInt64) {
        guard !isPaused else { return }
        isPaused = true
        pausedAtMs = nowMs
    }

    public mutating func resume(at nowMs: UInt64) {
        guard isPaused else { return }
        isPaused = false
        if nowMs > pausedAtMs { windowStartMs &+= nowMs &- pausedAtMs }
    }

    /// Judges the window when it is over, and begins the next one. Asking late is harmless: the bytes
    /// are then those of the longer time, and the requirement is still that of one window.
    public mutating func verdict(at nowMs: UInt64) -> Verdict {
        if isPaused { return .wait(untilMs: nowMs &+ windowMs) }
        let endMs = windowStartMs &+ windowMs
        guard nowMs >= endMs else { return .wait(untilMs: endMs) }
        guard bytes >= bytesPerWindowMin else { return .tooSlow }
        bytes = 0
        windowStartMs = nowMs
        return .wait(untilMs: nowMs &+ windowMs)
    }
}
