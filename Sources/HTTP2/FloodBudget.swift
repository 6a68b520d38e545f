// Budgets for what a peer can do without end and without using anything of value: each kind has a
// token bucket, filled by time and by what we sent or offered, so that who is answered may also cancel,
// ping and update windows often.
//
// Frames come late and all at once when the machine stands still, and an honest peer must not look like
// a flood then. So nothing that was earned is lost to a bound that is near: what a frame of ours earns
// stays earned until its answers come, and a bucket holds a minute of what time earns.
//
// Defends against rapid reset (CVE-2023-44487), resets that the peer provokes instead of sending them
// (CVE-2025-8671), floods of PING, SETTINGS, empty frames, PRIORITY and tiny WINDOW_UPDATE frames
// (CVE-2019-9511 to 9518, RFC 9113 §10.5). Pure: now is a parameter. Does not bound heads and
// CONTINUATION frames (HeadBuilder, FrameWatch), frames on closed streams (ClosedStreams) and
// acknowledgements that the peer does not read (the library does).

/// A bucket of tokens that fills with time and with work.
public struct TokenBucket: Sendable, BitwiseCopyable, Equatable {
    /// How many tokens it starts with.
    public let burst: UInt32
    /// Tokens that come back per second, until there are a minute's more than the burst.
    public let perSecond: UInt32
    /// Thousandths of tokens left.
    private var level: UInt64
    private var lastMs: UInt64

    /// Earned tokens are kept up to this many.
    public static var earnedMax: UInt32 { 65_536 }
    private static var secondsKept: UInt64 { 60 }

    public init(burst: UInt32, perSecond: UInt32, startingAt nowMs: UInt64 = 0) {
        self.burst = burst
        self.perSecond = perSecond
        level = UInt64(burst) &* 1_000
        lastMs = nowMs
    }

    /// The same, beginning at this time.
    func starting(atMs nowMs: UInt64) -> TokenBucket {
        TokenBucket(burst: burst, perSecond: perSecond, startingAt: nowMs)
    }

    /// Takes tokens; false, and nothing taken, when there are too few.
    public mutating func take(_ tokens: UInt32 = 1, nowMs: UInt64) -> Bool {
        refill(nowMs)
        let wanted = UInt64(tokens) &* 1_000
        if level < wanted { return false }
        level &-= wanted
        return true
    }

    /// Adds what was earned.
    public mutating func credit(_ tokens: UInt32) {
        let most = UInt64(TokenBucket.earnedMax) &* 1_000
        if level < most { level = min(level &+ UInt64(tokens) &* 1_000, most) }
    }

    private mutating func refill(_ nowMs: UInt64) {
        guard nowMs > lastMs else { return }
        let elapsed = min(nowMs &- lastMs, TokenBucket.secondsKept &* 1_000)
        lastMs = nowMs
        let most = (UInt64(burst) &+ TokenBucket.secondsKept &* UInt64(perSecond)) &* 1_000
        if level < most { level = min(level &+ elapsed &* UInt64(perSecond), most) }
    }
}

/// What one peer may still do; one value per connection. docs/http2.md names the honest peer that comes
/// nearest to each bound.
public struct FloodBudget: Sendable, BitwiseCopyable {
    /// Burst and rate of each kind of flood.
    public struct Limits: Sendable, BitwiseCopyable {
        /// Streams that a client resets: see `resetCost`. A stream that ends well earns 32.
        public var resets = TokenBucket(burst: 256, perSecond: 128)
        /// Streams that we reset because of what the peer sent on them, or refuse because it has too many.
        public var provokedResets = TokenBucket(burst: 100, perSecond: 10)
        /// PING frames that want an answer, and answers to PING frames we did not send. A DATA frame that
        /// we send earns one: peers measure the bandwidth-delay product that way.
        public var pings = TokenBucket(burst: 100, perSecond: 10)
        /// SETTINGS frames that want an acknowledgement.
        public var settings = TokenBucket(burst: 32, perSecond: 1)
        /// DATA without data and without the end of the stream, header frames without a fragment, and
        /// frames of unknown types. A stream that ends well earns one: some clients send a frame of
        /// a reserved type beside each request.
        public var emptyFrames = TokenBucket(burst: 128, perSecond: 16)
        /// PRIORITY and PRIORITY_UPDATE frames. A stream that ends well earns four: browsers change their
        /// mind about an image when they know where it stands.
        public var priorities = TokenBucket(burst: 256, perSecond: 32)
        /// WINDOW_UPDATE frames of fewer than `tinyIncrementBytes`. A DATA frame that we send earns two
        /// (one for the stream, one for the connection), and two more for every 256 bytes in it: who reads
        /// in small pieces may say so for each.
        public var tinyWindowUpdates = TokenBucket(burst: 256, perSecond: 32)

        public init() {}
    }

    /// Window increments below this are tiny.
    public static var tinyIncrementBytes: UInt32 { 1_024 }

    private var left: Limits

    public init(_ limits: Limits = Limits(), nowMs: UInt64) {
        left = limits
        left.resets = limits.resets.starting(atMs: nowMs)
        left.provokedResets = limits.provokedResets.starting(atMs: nowMs)
        left.pings = limits.pings.starting(atMs: nowMs)
        left.settings = limits.settings.starting(atMs: nowMs)
        left.emptyFrames = limits.emptyFrames.starting(atMs: nowMs)
        left.priorities = limits.priorities.starting(atMs: nowMs)
        left.tinyWindowUpdates = limits.tinyWindowUpdates.starting(atMs: nowMs)
    }

    /// Charges a flood of this kind; false when the budget is used up. Violations that are no floods of
    /// frames have no budget and are never over it.
    public mutating func take(_ kind: HTTP2Violation, _ tokens: UInt32 = 1, nowMs: UInt64) -> Bool {
        switch kind {
        case .resetFlood: left.resets.take(tokens, nowMs: nowMs)
        case .provokedResetFlood: left.provokedResets.take(nowMs: nowMs)
        case .pingFlood: left.pings.take(nowMs: nowMs)
        case .settingsFlood: left.settings.take(nowMs: nowMs)
        case .emptyFrameFlood: left.emptyFrames.take(nowMs: nowMs)
        case .priorityFlood: left.priorities.take(nowMs: nowMs)
        case .windowUpdateFlood: left.tinyWindowUpdates.take(nowMs: nowMs)
        default: true
        }
    }

    /// What the reset of a client's stream costs. The bound on open streams bounds requests only as
    /// long as they last, so a reset is the dearer the sooner it comes; after a second it is free: no more than
    /// `streamsMax` can come each second.
    ///
    /// - Parameter ageMs: since the request was handed on; nil: it never was, and only its head was decoded.
    public static func resetCost(ageMs: UInt64?) -> UInt32 {
        guard let ageMs else { return 1 }
        return ageMs < 10 ? 8 : ageMs < 100 ? 2 : ageMs < 1_000 ? 1 : 0
    }

    /// A stream ended well.
    public mutating func streamCompleted() {
        left.resets.credit(32)
        left.priorities.credit(4)
        left.emptyFrames.credit(1)
    }

    /// We sent a DATA frame.
    public mutating func dataSent(bytes: Int) {
        left.pings.credit(1)
        left.tinyWindowUpdates.credit(2 &+ UInt32(truncatingIfNeeded: bytes / 128))
    }
}
