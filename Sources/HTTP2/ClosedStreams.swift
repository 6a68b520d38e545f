// What is known of streams that are gone: whether a frame that comes on one of them is late or wrong
// (RFC 9113 §5.1, §5.1.1).
//
// A stream that the peer itself has ended is not used by it again: whoever does has lost count. A stream
// that we cut may still carry what was under way, and no more than its window allowed. Numbers that were passed
// over are closed unused. Only the latest of each are remembered; about older ones nothing can be said, and
// what comes on them draws on the same allowance. Pure; fixed size.

/// The closed streams of one connection, as far as they are remembered.
struct ClosedStreams: BitwiseCopyable {
    /// How a stream ended that the peer did not expect us to cut.
    enum Ending: Equatable {
        /// With END_STREAM of the peer's: a connection error of type STREAM_CLOSED.
        case ended
        /// With RST_STREAM of the peer's: a stream error of type STREAM_CLOSED.
        case reset
        /// Never opened, and never to be: a connection error of type PROTOCOL_ERROR.
        case unused
    }

    /// The highest number in use so far.
    private(set) var highest: Int32 = 0
    /// Numbers that the peer ended, its resets negative; the oldest is overwritten.
    private var ended = InlineArray<32, Int32>(repeating: 0)
    private var endedNext = 0
    /// First and last numbers of gaps.
    private var gapFirst = InlineArray<8, Int32>(repeating: 0)
    private var gapLast = InlineArray<8, Int32>(repeating: 0)
    private var gapNext = 0
    /// What may still come on streams that we cut.
    private var lateBytes = 0
    private var lateHeads = 0

    /// Whether this is the number of a new stream; those passed over are closed with it.
    mutating func open(_ id: Int32) -> Bool {
        guard id > highest else { return false }
        let first = highest == 0 ? 2 - id & 1 : highest &+ 2
        highest = id
        if first < id {
            gapFirst[gapNext] = first
            gapLast[gapNext] = id &- 2
            gapNext = (gapNext &+ 1) % 8
        }
        return true
    }

    /// The peer has ended the stream, by END_STREAM or by RST_STREAM.
    mutating func peerEnded(_ id: Int32, byReset: Bool) {
        ended[endedNext] = byReset ? -id : id
        endedNext = (endedNext &+ 1) % 32
    }

    /// We have cut the stream before the peer had ended it.
    mutating func cut(windowBytes: Int, heads: Int) {
        lateBytes = min(lateBytes &+ windowBytes, 1 << 40)
        lateHeads = min(lateHeads &+ heads, 1 << 40)
    }

    /// How this stream ended, nil when it is not known or was cut by us.
    func ending(_ id: Int32) -> Ending? {
        for i in 0..<32 {
            if ended[i] == id { return .ended }
            if ended[i] == -id { return .reset }
        }
        for i in 0..<8 where id >= gapFirst[i] && id <= gapLast[i] { return .unused }
        return nil
    }

    /// Takes DATA of this length that came late; false: more than can have been under way.
    mutating func takeLate(bytes: Int) -> Bool {
        lateBytes &-= bytes
        return lateBytes >= 0
    }

    /// The same for a field section.
    mutating func takeLateHead() -> Bool {
        lateHeads &-= 1
        return lateHeads >= 0
    }
}
