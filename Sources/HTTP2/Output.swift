// From queues and submitted messages to bytes for the wire.
//
//   owner ──copy──▶ stream's queue (≤ 64 KiB) ──copy──▶ the owner's output buffer ──▶ TLS or socket
//
// DATA frames are written by us straight from the stream's queue (the library's NO_COPY mode); all other
// frames are packed by the library and copied. The library decides the order: control frames, heads, then
// DATA by urgency (RFC 9218) within the peer's windows.

import CNGHTTP2
import WeirHTTPModel

extension HTTP2Session {
    /// Smallest room `output` can work with: a whole DATA frame.
    public static var outputBytesMin: Int { 16_393 }

    /// Fills `into` with as many frames as there are and fit; call until it answers 0. What it answered
    /// must reach the peer, in this order. May cause events (`closed`, `writable`, `violation`): call
    /// `nextEvent` afterwards.
    ///
    /// - Parameter capacity: at least `outputBytesMin`; frames are coalesced up to it.
    public func output(into: UnsafeMutablePointer<UInt8>, capacity: Int, nowMs: UInt64) -> Int {
        precondition(capacity >= HTTP2Session.outputBytesMin)
        s.pointee.nowMs = nowMs
        s.pointee.out = into
        s.pointee.outCapacity = capacity
        s.pointee.outCount = 0
        while !s.pointee.isDead {
            if s.pointee.restCount > 0 {
                let start = s.pointee.outCount
                copyRest()
                if !s.pointee.limitIsAnnounced { announceStreamsMax(start) }
                if s.pointee.restCount > 0 { break }
            }
            var frame: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(s.pointee.library, &frame)
            if count < 0 {
                s.pointee.isDead = true
                if s.pointee.violation == .none { s.pointee.violation = .libraryFailure }
                break
            }
            if count == 0 { break }
            s.pointee.rest = frame
            s.pointee.restCount = count
        }
        s.pointee.outTotal &+= UInt64(s.pointee.outCount)
        return s.pointee.outCount
    }

    /// Puts the number of streams we allow into our first SETTINGS frame, which has just been copied: what
    /// the library was told is that any number may be open (`submitSettings`).
    private func announceStreamsMax(_ start: Int) {
        s.pointee.limitIsAnnounced = true
        let frame = s.pointee.out + start
        let count = s.pointee.outCount &- start
        guard s.pointee.role == .server, count >= 9, frame[3] == FrameType.settings else { return }
        var at = 9
        while at &+ 6 <= count {
            if frame[at] == 0, UInt32(frame[at &+ 1]) == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue {
                let value = s.pointee.configuration.streamsMax
                for i in 0..<4 {
                    frame[at &+ 2 &+ i] = UInt8(truncatingIfNeeded: value &>> UInt32(24 - 8 * i))
                }
            }
            at &+= 6
        }
    }

    private func copyRest() {
        guard let rest = s.pointee.rest else { return }
        let count = min(s.pointee.restCount, s.pointee.outCapacity &- s.pointee.outCount)
        (s.pointee.out + s.pointee.outCount).update(from: rest, count: count)
        s.pointee.outCount &+= count
        s.pointee.rest = rest + count
        s.pointee.restCount &-= count
    }
}

/// Tells the library how much of a stream's queue the next DATA frame takes.
func offerData(
    _ s: SessionPointer, _ record: StreamPointer, _ wanted: Int, _ flags: UnsafeMutablePointer<UInt32>
) -> Int {
    let queued = record.pointee.queue.count
    if queued == 0, !record.pointee.flags.contains(.localEnded) {
        record.pointee.flags.insert(.isDeferred)
        return CallbackResult.deferred
    }
    let count = min(queued, wanted)
    if count > 0 { flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
    if count == queued, record.pointee.flags.contains(.localEnded) {
        flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
        if let trailers = record.pointee.trailers {
            flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            nghttp2_submit_trailer(
                s.pointee.library, record.pointee.id, trailers.assumingMemoryBound(to: nghttp2_nv.self),
                record.pointee.trailerCount)
            trailers.deallocate()
            record.pointee.trailers = nil
        }
    }
    return count
}

/// Writes a DATA frame: its header as the library made it, and its bytes from the queue.
func packData(
    _ s: SessionPointer, _ record: StreamPointer, _ header: UnsafePointer<UInt8>, _ count: Int
) -> CInt {
    // The stream was reset after the frame had been planned.
    guard let block = record.pointee.queue.block, record.pointee.queue.count >= count else {
        return CInt(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
    }
    if s.pointee.outCapacity &- s.pointee.outCount < 9 &+ count { return CallbackResult.wouldBlock }
    let to = s.pointee.out + s.pointee.outCount
    to.update(from: header, count: 9)
    (to + 9).update(from: block + record.pointee.queue.start, count: count)
    s.pointee.outCount &+= 9 &+ count
    record.pointee.queue.start &+= count
    s.pointee.queued &-= count
    s.pointee.progressMs = s.pointee.nowMs
    record.pointee.progressMs = s.pointee.nowMs
    s.pointee.dataEnd = s.pointee.outTotal &+ UInt64(s.pointee.outCount)
    record.pointee.dataEnd = s.pointee.dataEnd
    if record.pointee.queue.count == 0 { dropQueue(s, record) }
    if record.pointee.flags.contains(.wantsRoom),
        record.pointee.queue.count &* 2 <= queueBytesMax(s), !record.pointee.flags.contains(.localEnded)
    {
        record.pointee.flags.remove(.wantsRoom)
        enqueue(s, .writable, record)
    }
    return 0
}

/// What a stream may queue now: less when the streams of the connection together have much.
@inline(__always)
func queueBytesMax(_ s: SessionPointer) -> Int {
    s.pointee.queued < s.pointee.configuration.connectionQueueBytesMax
        ? s.pointee.configuration.streamQueueBytesMax : s.pointee.configuration.streamQueueBytesMin
}

/// Appends to a stream's queue, whose block moves to a larger one when needed.
func enqueueData(
    _ s: SessionPointer, _ record: StreamPointer, _ bytes: UnsafePointer<UInt8>, _ count: Int
) {
    var queue = record.pointee.queue
    if queue.capacity &- queue.end < count {
        let kept = queue.count
        if let block = queue.block, queue.capacity >= kept &+ count {
            block.update(from: block + queue.start, count: kept)
        } else {
            var capacity = 0
            let fresh = s.pointee.context.pointee.takeBlock(kept &+ count, &capacity)
            if let block = queue.block {
                fresh.update(from: block + queue.start, count: kept)
                s.pointee.context.pointee.give(block, capacity: queue.capacity)
            }
            queue.block = fresh
            queue.capacity = capacity
        }
        queue.start = 0
        queue.end = kept
    }
    if let block = queue.block { (block + queue.end).update(from: bytes, count: count) }
    queue.end &+= count
    if record.pointee.queue.count == 0 { record.pointee.progressMs = s.pointee.nowMs }
    if s.pointee.queued == 0 { s.pointee.progressMs = s.pointee.nowMs }
    record.pointee.queue = queue
    s.pointee.queued &+= count
}
