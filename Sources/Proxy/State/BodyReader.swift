// Which part of a body is left to read, whatever its framing.

import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirWebSocket

/// Which part of a body is left to read, whatever its framing.
struct BodyReader {
    var framing = BodyFraming.none
    var isDone = true
    /// Payload bytes left, for `.length`.
    var remaining: UInt64 = 0
    /// Payload bytes seen.
    var count: UInt64 = 0
    /// More of them than this are not taken.
    var countMax = UInt64.max
    /// Not done before its stream is: one frame more may show that its length was wrong (RFC 9113 §8.1.1).
    var endsWithStream = false
    var chunked = ChunkedDecoder()
    /// Follows WebSocket frames, so that we know where one of ours may stand.
    var frames: FrameFollower?
    /// A WebSocket client's direction: the answers to our Pings are taken out of it.
    var pings: PingsPointer?
    /// Trailers that came with the end of a stream, as lines; the reader's to give back.
    var trailers: BufferPointer?
    /// The bytes go on in another coding: digests of those that came do not (RFC 9530 §3).
    var dropsDigests = false

    var hasTrailers: Bool { framing == .chunked ? chunked.hasTrailers : trailers != nil }

    mutating func begin(_ framing: BodyFraming, length: UInt64, endsWithStream: Bool = false) {
        self.framing = framing
        self.endsWithStream = endsWithStream
        remaining = length
        count = 0
        countMax = .max
        isDone = framing == .none || (framing == .length && length == 0 && !endsWithStream)
        if framing == .chunked { chunked = ChunkedDecoder() }
    }

    var isTooLong: Bool { count > countMax }

    /// Payload bytes of a `.length` body have passed.
    mutating func took(_ byteCount: Int) {
        remaining -= UInt64(byteCount)
        count += UInt64(byteCount)
        if remaining == 0 && !endsWithStream { isDone = true }
    }
}

typealias PingsPointer = UnsafeMutablePointer<Pings>

/// One WebSocket's Pings; lives as long as its exchange.
struct Pings {
    var clock: PingClock
    var sieve: PongSieve
}
