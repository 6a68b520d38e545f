// Looks at the header of every frame before the library does.
//
//   input   [ … frame | frame | DATA on a stream not known | … ]
//            given to the library ──▶│ stops here until the library is done with what is before
//
// The library passes over much that RFC 9113 does not allow (frames on closed streams, PRIORITY that depends on
// itself) and that costs it something all the same (types nobody knows); it shows nothing of either. Here each
// frame is charged to its flood budget and, where its stream is not open, judged. A frame is only judged wrong
// when all before it have been decoded: until then it is held back. Nine bytes are read for each frame, thirteen
// for PRIORITY; payloads are passed over.

import WeirHTTPModel

/// Where the next frame begins, across the blocks in which bytes come.
struct FrameWatch: BitwiseCopyable {
    /// Bytes until the next frame header: rest of a payload, or the preface.
    var skip: Int
    /// A header of which the first part has come.
    var held = InlineArray<13, UInt8>(repeating: 0)
    var heldCount = 0
    /// CONTINUATION frames since the last HEADERS.
    var continuations = 0
    /// Streams that what the library has not decoded yet may close: a bit each, shared by every 64th.
    var mayClose: UInt64 = 0
    /// Streams above this number begin in what has not been decoded.
    var decodedHighest: Int32 = 0

    init(role: HTTP2Role) { skip = role == .server ? FrameWatch.prefaceBytes : 0 }

    private static var prefaceBytes: Int { 24 }

    /// The bit of a stream in `mayClose`.
    @inline(__always)
    static func bit(_ stream: Int32) -> UInt64 { 1 &<< UInt64(truncatingIfNeeded: stream &>> 1) }
}

/// The header of a frame, and of PRIORITY what it depends on.
struct FrameHeader: BitwiseCopyable {
    var length = 0
    var type: UInt8 = 0
    var flags: UInt8 = 0
    var stream: Int32 = 0
    var dependency: Int32 = -1

    static var bytes: Int { 9 }

    /// Bytes to be seen for a frame that begins like this.
    @inline(__always)
    static func bytesWanted(type: UInt8) -> Int { type == FrameType.priority ? 13 : 9 }

    @inline(__always)
    init(_ at: UnsafePointer<UInt8>) {
        length = Int(at[0]) &<< 16 | Int(at[1]) &<< 8 | Int(at[2])
        type = at[3]
        flags = at[4]
        stream = FrameHeader.number(at + 5)
        if type == FrameType.priority, length == 5 { dependency = FrameHeader.number(at + 9) }
    }

    @inline(__always)
    private static func number(_ at: UnsafePointer<UInt8>) -> Int32 {
        Int32(at[0] & 0x7f) &<< 24 | Int32(at[1]) &<< 16 | Int32(at[2]) &<< 8 | Int32(at[3])
    }
}

private enum Verdict {
    case pass
    /// Wrong, unless what is before it makes it right.
    case wrong(HTTP2Violation)
    /// Depends on what is before it.
    case unclear
}

/// How many bytes of the input the library may be given now. 0 only at the end of the input or after a violation.
func watchFrames(_ s: SessionPointer) -> Int {
    var at = s.pointee.inputWatched
    if at == 0 {
        // A frame whose payload goes on in this block has done nothing yet.
        if s.pointee.watch.skip == 0 { s.pointee.watch.mayClose = 0 }
        s.pointee.watch.decodedHighest = s.pointee.closed.highest
    }
    let count = s.pointee.inputCount
    while at < count {
        if s.pointee.watch.skip > 0 {
            let passed = min(s.pointee.watch.skip, count &- at)
            s.pointee.watch.skip &-= passed
            at &+= passed
            continue
        }
        let start = s.pointee.input + at
        let held = s.pointee.watch.heldCount
        if held > 0 || count &- at < FrameHeader.bytes
            || count &- at < FrameHeader.bytesWanted(type: start[3])
        {
            // Rare: the header comes in pieces. Those held are with the library, and all before them.
            s.pointee.watch.held[held] = start[0]
            s.pointee.watch.heldCount = held &+ 1
            let wanted = FrameHeader.bytesWanted(type: held < 3 ? 0 : s.pointee.watch.held[3])
            if held &+ 1 < wanted {
                at &+= 1
                continue
            }
            let frame = withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 13) { copy in
                for i in 0..<13 { copy[i] = s.pointee.watch.held[i] }
                return FrameHeader(UnsafePointer(copy.baseAddress ?? UnsafeMutablePointer(mutating: start)))
            }
            // What the library was given before, it has decoded when this block's bytes are its next.
            if case .wrong(let violation) = judge(s, frame, isExact: true) {
                s.pointee.inputWatched = at
                violate(s, violation)
                return 0
            }
            s.pointee.watch.heldCount = 0
            s.pointee.watch.skip = frame.length &- (wanted &- FrameHeader.bytes)
            at &+= 1
            continue
        }
        let frame = FrameHeader(start)
        switch judge(s, frame, isExact: at == 0) {
        case .pass:
            s.pointee.watch.skip = frame.length
            at &+= FrameHeader.bytes
        case .wrong(let violation) where at == 0:
            violate(s, violation)
            return 0
        case .wrong, .unclear:
            s.pointee.inputWatched = at
            return at
        }
    }
    s.pointee.inputWatched = at
    return at
}

/// What comes of a frame with this header.
private func judge(_ s: SessionPointer, _ frame: FrameHeader, isExact: Bool) -> Verdict {
    switch frame.type {
    case FrameType.data:
        let verdict = judgeStream(s, frame, isExact: isExact)
        if case .pass = verdict {
            if frame.flags & FrameFlag.endStream != 0 {
                s.pointee.watch.mayClose |= FrameWatch.bit(frame.stream)
            }
            // A frame that holds only the length of its padding carries nothing either.
            let framing = frame.flags & FrameFlag.padded != 0 ? 1 : 0
            if frame.length > framing || frame.flags & FrameFlag.endStream != 0 { return .pass }
            return charge(s, .emptyFrameFlood)
        }
        return verdict
    case FrameType.headers:
        s.pointee.watch.continuations = 0
        if frame.length == 0, case .wrong(let violation) = charge(s, .emptyFrameFlood) {
            return .wrong(violation)
        }
        return judgeStream(s, frame, isExact: isExact)
    case FrameType.continuation:
        s.pointee.watch.continuations &+= 1
        if s.pointee.watch.continuations > HTTP2Configuration.continuationsMax {
            if !isExact { s.pointee.watch.continuations &-= 1 }
            return .wrong(.continuationFlood)
        }
        return frame.length > 0 ? .pass : charge(s, .emptyFrameFlood)
    case FrameType.ping:
        if frame.flags & FrameFlag.acknowledgement != 0, s.pointee.pingsUnanswered > 0 {
            s.pointee.pingsUnanswered &-= 1
            return .pass
        }
        return charge(s, .pingFlood)
    case FrameType.settings:
        return frame.flags & FrameFlag.acknowledgement != 0 ? .pass : charge(s, .settingsFlood)
    case FrameType.priority:
        // RFC 9113 §6.3 and RFC 7540 §5.3.1; the library passes over both. What depends on itself would be a
        // stream error, but the stream it names need not exist, and nothing that works sends it.
        if frame.stream == 0 || frame.dependency == frame.stream { return .wrong(.frameInvalid) }
        return charge(s, .priorityFlood)
    case FrameType.priorityUpdate:
        return charge(s, .priorityFlood)
    case FrameType.resetStream:
        s.pointee.watch.mayClose |= FrameWatch.bit(frame.stream)
        return .pass
    case FrameType.windowUpdate, FrameType.pushPromise:
        return .pass
    case FrameType.goaway:
        s.pointee.watch.mayClose = .max
        return charge(s, .emptyFrameFlood)
    default:
        // Types nobody knows: whatever they hold, nothing comes of it.
        return charge(s, .emptyFrameFlood)
    }
}

private func charge(_ s: SessionPointer, _ kind: HTTP2Violation) -> Verdict {
    s.pointee.budget.take(kind, nowMs: s.pointee.nowMs) ? .pass : .wrong(kind)
}

/// DATA and HEADERS: whether their stream is, or was, in a state that allows them. What is wrong with
/// streams that are open or were never opened, the library says.
private func judgeStream(_ s: SessionPointer, _ frame: FrameHeader, isExact: Bool) -> Verdict {
    let id = frame.stream
    // Streams are the client's, with odd numbers: there is no push.
    if id & 1 == 0 || id > s.pointee.goawayLastSent { return .pass }
    let isHead = frame.type == FrameType.headers
    let ends = isHead && frame.flags & FrameFlag.endStream != 0
    if id > s.pointee.closed.highest {
        if isHead, s.pointee.role == .server {
            _ = s.pointee.closed.open(id)
            if ends { s.pointee.watch.mayClose |= FrameWatch.bit(id) }
        }
        return .pass
    }
    if !isExact, s.pointee.watch.mayClose & FrameWatch.bit(id) != 0 { return .unclear }
    // The newest stream may have its head in the same block.
    let isNew = id > s.pointee.watch.decodedHighest && id == s.pointee.closed.highest
    if s.pointee.streams.find(id).map({ !$0.pointee.flags.contains(.isClosed) }) ?? isNew {
        if ends { s.pointee.watch.mayClose |= FrameWatch.bit(id) }
        return .pass
    }
    if !isExact { return .unclear }
    switch s.pointee.closed.ending(id) {
    case .unused: return .wrong(.streamNumber)
    case .ended: return .wrong(.streamState)
    case .reset:
        // A stream error: passed over, but told, and charged as a reset that the peer provoked.
        submitReset(s, id, .streamClosed)
        return .pass
    case nil:
        let fits =
            frame.type == FrameType.headers
            ? s.pointee.closed.takeLateHead() : s.pointee.closed.takeLate(bytes: frame.length)
        return fits ? .pass : .wrong(.streamState)
    }
}
