import Testing
import WeirWebSocket

@Suite struct FrameFollowerTests {
    /// A frame as a peer would send it.
    private func frame(_ length: Int, masked: Bool) -> [UInt8] {
        var bytes: [UInt8] = [0x82]
        let mask: UInt8 = masked ? 0x80 : 0
        if length < 126 {
            bytes.append(mask | UInt8(length))
        } else if length < 65_536 {
            bytes += [mask | 126, UInt8(length >> 8), UInt8(length & 0xff)]
        } else {
            bytes.append(mask | 127)
            bytes += (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * $0)) }
        }
        if masked { bytes += [1, 2, 3, 4] }
        return bytes + [UInt8](repeating: 0x88, count: length)
    }

    @Test(arguments: [0, 1, 125, 126, 127, 65_535, 65_536], [false, true])
    func boundariesAreWhereFramesEnd(length: Int, masked: Bool) {
        let bytes = frame(length, masked: masked) + frame(3, masked: masked)
        let first = frame(length, masked: masked).count
        for size in [1, 2, 3, 7, 1_000, bytes.count] {
            var frames = FrameFollower()
            var at = 0
            while at < bytes.count {
                let step = min(size, bytes.count - at)
                bytes.withUnsafeBufferPointer {
                    if let base = $0.baseAddress { frames.passed(base + at, step) }
                }
                at += step
                #expect(frames.isAtBoundary == (at == first || at == bytes.count), "after \(at) of \(first)")
            }
        }
    }

    @Test func beginsAtABoundary() {
        #expect(FrameFollower().isAtBoundary)
    }

    @Test func tellsWhenACloseFrameHasPassed() {
        var frames = FrameFollower()
        passed(&frames, [0x89, 0x00])
        #expect(frames.takesFrame)
        passed(&frames, [0x88])
        #expect(!frames.isClosing && !frames.takesFrame)
        passed(&frames, [0x02, 0x03, 0xe8])
        #expect(frames.isClosing && frames.isAtBoundary && !frames.takesFrame)
    }

    @Test func findsTheNextPlaceForAFrame() {
        var frames = FrameFollower()
        let text: [UInt8] = [0x81, 0x02, 0x68, 0x69]
        #expect(frames.bytesBeforeFrame(text, text.count) == 0)
        passed(&frames, [0x81])
        let rest: [UInt8] = [0x02, 0x68, 0x69, 0x81, 0x00]
        #expect(frames.bytesBeforeFrame(rest, rest.count) == 3)
        #expect(frames.bytesBeforeFrame(rest, 3) == 3)
        #expect(frames.bytesBeforeFrame(rest, 2) == nil)
        #expect(!frames.isAtBoundary, "only looked ahead")
    }

    @Test func thereIsNoPlaceBehindAClose() {
        var frames = FrameFollower()
        passed(&frames, [0x88])
        let rest: [UInt8] = [0x00, 0x81, 0x00]
        #expect(frames.bytesBeforeFrame(rest, rest.count) == nil)
        passed(&frames, rest)
        #expect(frames.bytesBeforeFrame(rest, rest.count) == nil)
    }

    private func passed(_ frames: inout FrameFollower, _ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer {
            if let base = $0.baseAddress { frames.passed(base, $0.count) }
        }
    }
}
