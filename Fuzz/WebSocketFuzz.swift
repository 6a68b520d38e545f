// A WebSocket client's bytes with answers to our Pings among them: what comes through is the same however
// the bytes are split, it is what was sent without those answers, and a place for a frame of ours is where
// a frame ends.

import WeirWebSocket

private let payload: UInt64 = 0x7765_6972_0000_0001

/// What comes through of the bytes, given in pieces.
private func sieved(_ bytes: [UInt8], piece: Int) -> [UInt8] {
    var sieve = PongSieve(payload: payload)
    var passed: [UInt8] = []
    var at = 0
    while at < bytes.count {
        let step = min(piece, bytes.count - at)
        var block = [UInt8](repeating: 0, count: sieve.heldBytes)
        block.withUnsafeMutableBufferPointer { if let base = $0.baseAddress { sieve.putBack(base) } }
        block += bytes[at..<at + step]
        block.withUnsafeBufferPointer { room in
            guard let start = room.baseAddress else { return }
            withExact(start, room.count) { base in
                var from = 0
                while from < room.count {
                    let (pass, drop) = sieve.next(base + from, room.count - from)
                    require(pass + drop > 0 && from + pass + drop <= room.count, "beyond the block")
                    passed += UnsafeBufferPointer(start: base + from, count: pass)
                    from += pass + drop
                }
            }
        }
        require(sieve.heldBytes < 14, "too much is held back")
        at += step
    }
    return passed
}

/// The same, read whole and frame by frame; nil when the last frame is not complete.
private func expected(_ bytes: [UInt8]) -> [UInt8]? {
    var passed: [UInt8] = []
    var at = 0
    while at < bytes.count {
        guard at + 2 <= bytes.count else { return nil }
        let short = Int(bytes[at + 1] & 0x7f)
        let extra = short == 126 ? 2 : short == 127 ? 8 : 0
        let isMasked = bytes[at + 1] & 0x80 != 0
        let header = 2 + extra + (isMasked ? 4 : 0)
        guard at + header <= bytes.count else { return nil }
        var length = UInt64(short)
        if extra > 0 { length = bytes[at + 2..<at + 2 + extra].reduce(0) { $0 << 8 | UInt64($1) } }
        guard length <= UInt64(bytes.count - at - header) else { return nil }
        let end = at + header + Int(length)
        var isOurs = bytes[at] == 0x8a && isMasked && short == 8
        for i in 0..<8 where isOurs {
            let byte = bytes[at + 6 + i] ^ bytes[at + 2 + i % 4]
            isOurs = byte == UInt8(truncatingIfNeeded: payload >> UInt64(56 - 8 * i))
        }
        if !isOurs { passed += bytes[at..<end] }
        at = end
    }
    return passed
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: input, count: count))
    let whole = sieved(bytes, piece: max(1, count))
    for piece in [1, 3, 13, 14] { require(sieved(bytes, piece: piece) == whole, "other bytes when split") }
    if let expected = expected(bytes) { require(whole == expected, "not what was sent without the answers") }

    withExact(input, count) { base in
        var inOne = FrameFollower()
        inOne.passed(base, count)
        var inPieces = FrameFollower()
        for at in 0..<count {
            let ahead = inPieces.bytesBeforeFrame(base + at, count - at)
            var copy = inPieces
            if let ahead {
                copy.passed(base + at, ahead)
                require(copy.takesFrame, "no place for a frame where there was said to be one")
            }
            inPieces.passed(base + at, 1)
        }
        require(inOne == inPieces, "another place when split")
    }
    return 0
}
