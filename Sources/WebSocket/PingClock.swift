// When a Ping is due, and when a client that does not answer has gone.
//
// Pure: now is a parameter, in milliseconds of any monotonic clock. Anything a client sends is a sign of
// life, not only the Pong (RFC 6455 §5.5.2 asks for no more). Does not send, and knows no frames.

/// One connection's clock.
public struct PingClock: Sendable, BitwiseCopyable, Equatable {
    /// What is to be done now.
    public enum Verdict: Sendable, Equatable {
        /// Nothing before this moment.
        case wait(untilMs: UInt64)
        /// The client has been silent for long enough to be asked.
        case ping
        /// It was asked, and has not said anything since.
        case silent
    }

    /// Silence before a Ping, milliseconds.
    public let intervalMs: UInt64
    /// Silence after it.
    public let patienceMs: UInt64
    private var heardMs: UInt64
    /// When the Ping that is not answered yet was sent.
    private var askedMs: UInt64 = 0
    private var isAsked = false
    /// A Ping waits for the end of a frame to stand behind.
    public private(set) var isDue = false
    /// What waited to be taken by the client when we looked last, bytes.
    private var untakenBytes = 0

    public init(intervalMs: UInt64, patienceMs: UInt64, nowMs: UInt64) {
        self.intervalMs = intervalMs
        self.patienceMs = patienceMs
        heardMs = nowMs
    }

    /// The client has sent something.
    ///
    /// - Returns: whether what is to be done next may now come sooner than it did before.
    @discardableResult
    public mutating func heard(nowMs: UInt64) -> Bool {
        let wasWaiting = isAsked || isDue
        heardMs = nowMs
        isAsked = false
        isDue = false
        return wasWaiting
    }

    public func verdict(nowMs: UInt64) -> Verdict {
        let dueMs = isAsked ? askedMs &+ patienceMs : heardMs &+ intervalMs
        if nowMs < dueMs { return .wait(untilMs: dueMs) }
        return isAsked ? .silent : .ping
    }

    /// A Ping cannot be sent now, and is to be as soon as it can.
    public mutating func becameDue() { isDue = true }

    /// A Ping was sent.
    ///
    /// - Parameter untakenBytes: what the client has not taken yet, the Ping included.
    public mutating func asked(nowMs: UInt64, untakenBytes: Int) {
        askedMs = nowMs
        isAsked = true
        isDue = false
        self.untakenBytes = untakenBytes
    }

    /// Whether a client that has not answered may still be working its way to our Ping: something waits
    /// for it, and not what waited when we looked last. If so its time begins anew.
    public mutating func isStillTaking(_ untakenBytes: Int, nowMs: UInt64) -> Bool {
        if untakenBytes == 0 || untakenBytes == self.untakenBytes { return false }
        self.untakenBytes = untakenBytes
        askedMs = nowMs
        return true
    }
}
