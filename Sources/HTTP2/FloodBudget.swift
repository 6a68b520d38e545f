// Budgets for what a peer can do without end and without using anything of value: each kind has a
// token bucket, filled by time and by useful work, so that a client that gets answers may also cancel,
// ping and update windows often.
//
// Defends against rapid reset (CVE-2023-44487), resets that the peer provokes instead of sending them
// (CVE-2025-8671), floods of PING, SETTINGS, empty frames, PRIORITY and tiny WINDOW_UPDATE frames
// (CVE-2019-9511 to 9518, RFC 9113 §10.5). Pure: now is a parameter. Does not bound heads and
// CONTINUATION frames (HeadBuilder) and acknowledgements that the peer does not read (the library does).

/// A bucket of tokens that fills with time.
public struct TokenBucket: Sendable, BitwiseCopyable, Equatable {
    /// Most tokens it holds, and how many it starts with.
    public let burst: UInt32
    /// Tokens that come back per second.
    public let perSecond: UInt32
    /// Thousandths of tokens left.
    private var level: UInt64
    private var lastMs: UInt64

    public init(burst: UInt32, perSecond: UInt32, startingAt nowMs: UInt64 = 0) {
        self.burst = burst
        self.perSecond = perSecond
        level = UInt64(burst) &* 1_000
        lastMs = nowMs
    }

    /// Takes one token; false when there is none.
    public mutating func take(nowMs: UInt64) -> Bool {
        refill(nowMs)
        if level < 1_000 { return false }
        level &-= 1_000
        return true
    }

    /// Gives tokens back, up to the burst.
    public mutating func credit(_ tokens: UInt32) {
        level = min(level &+ UInt64(tokens) &* 1_000, UInt64(burst) &* 1_000)
    }

    private mutating func refill(_ nowMs: UInt64) {
        guard nowMs > lastMs else { return }
        let elapsed = min(nowMs &- lastMs, 3_600_000)
        lastMs = nowMs
        level = min(level &+ elapsed &* UInt64(perSecond), UInt64(burst) &* 1_000)
    }
}

/// What one peer may still do; one value per connection.
public struct FloodBudget: Sendable, BitwiseCopyable {
    /// Burst and rate of each kind of flood.
    public struct Limits: Sendable, BitwiseCopyable {
        /// Streams that the peer resets before they are done. A stream that ends well gives one back.
        public var resets = TokenBucket(burst: 256, perSecond: 32)
        /// Streams that we reset because of what the peer sent on them, or refuse because it has too many.
        public var provokedResets = TokenBucket(burst: 100, perSecond: 10)
        /// PING frames that want an answer. A DATA frame that we send gives one back: peers measure
        /// the bandwidth-delay product that way.
        public var pings = TokenBucket(burst: 100, perSecond: 10)
        /// SETTINGS frames that want an acknowledgement.
        public var settings = TokenBucket(burst: 32, perSecond: 1)
        /// DATA without data and without the end of the stream, header frames without a fragment, and
        /// frames of unknown types. A stream that ends well gives one back: some clients send a frame of
        /// a reserved type beside each request.
        public var emptyFrames = TokenBucket(burst: 128, perSecond: 16)
        /// PRIORITY and PRIORITY_UPDATE frames. A stream that ends well gives one back.
        public var priorities = TokenBucket(burst: 256, perSecond: 32)
        /// WINDOW_UPDATE frames of fewer than `tinyIncrementBytes`. A DATA frame that we send gives two
        /// back (one for the stream, one for the connection).
        public var tinyWindowUpdates = TokenBucket(burst: 256, perSecond: 32)

        public init() {}
    }

    /// Window increments below this are tiny.
    public static var tinyIncrementBytes: UInt32 { 1_024 }

    private var left: Limits

    public init(_ limits: Limits = Limits()) { left = limits }

    /// Charges a flood of this kind; false when the budget is used up. Violations that are no floods of
    /// frames have no budget and are never over it.
    public mutating func take(_ kind: HTTP2Violation, nowMs: UInt64) -> Bool {
        switch kind {
        case .resetFlood: left.resets.take(nowMs: nowMs)
        case .provokedResetFlood: left.provokedResets.take(nowMs: nowMs)
        case .pingFlood: left.pings.take(nowMs: nowMs)
        case .settingsFlood: left.settings.take(nowMs: nowMs)
        case .emptyFrameFlood: left.emptyFrames.take(nowMs: nowMs)
        case .priorityFlood: left.priorities.take(nowMs: nowMs)
        case .windowUpdateFlood: left.tinyWindowUpdates.take(nowMs: nowMs)
        default: true
        }
    }

    /// A stream ended well.
    public mutating func streamCompleted() {
        left.resets.credit(1)
        left.priorities.credit(1)
        left.emptyFrames.credit(1)
    }

    /// We sent a DATA frame.
    public mutating func dataSent() {
        left.pings.credit(1)
        left.tinyWindowUpdates.credit(2)
    }
}
