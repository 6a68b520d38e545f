import Testing
import WeirWebSocket

@Suite struct PongSieveTests {
    private static let payload: UInt64 = 0x7765_6972_0102_0304
    private static let ours: [UInt8] = [0x77, 0x65, 0x69, 0x72, 1, 2, 3, 4]

    private static func masked(
        _ first: UInt8, _ payload: [UInt8], key: [UInt8] = [9, 8, 7, 6]
    ) -> [UInt8] {
        [first, 0x80 | UInt8(payload.count)] + key + payload.enumerated().map { $1 ^ key[$0 % 4] }
    }

    /// What comes through, the bytes given in blocks of this size.
    private func sieved(_ bytes: [UInt8], by size: Int) -> (passed: [UInt8], held: Int) {
        var sieve = PongSieve(payload: Self.payload)
        var passed: [UInt8] = []
        var at = 0
        while at < bytes.count {
            let step = min(size, bytes.count - at)
            let held = sieve.heldBytes
            var block = [UInt8](repeating: 0, count: held) + bytes[at..<at + step]
            block.withUnsafeMutableBufferPointer { room in
                guard let base = room.baseAddress else { return }
                sieve.putBack(base)
                var from = 0
                while from < room.count {
                    let (pass, drop) = sieve.next(base + from, room.count - from)
                    #expect(pass >= 0 && drop >= 0 && pass + drop > 0 && from + pass + drop <= room.count)
                    passed += room[from..<from + pass]
                    from += pass + drop
                }
            }
            #expect(sieve.heldBytes < 14)
            at += step
        }
        return (passed, sieve.heldBytes)
    }

    private static let sizes = [1, 2, 3, 5, 7, 13, 14, 15, 1_000_000]

    @Test(arguments: sizes)
    func takesTheAnswerAndNothingElse(size: Int) {
        let before = Self.masked(0x01, Array("hal".utf8))
        let after = Self.masked(0x80, Array("lo".utf8)) + Self.masked(0x82, [])
        let pong = Self.masked(0x8a, Self.ours)
        let (passed, held) = sieved(before + pong + after + pong + pong, by: size)
        #expect(passed == before + after)
        #expect(held == 0)
    }

    @Test(arguments: sizes)
    func passesWhatOnlyLooksLikeIt(size: Int) {
        var other = Self.ours
        other[7] = 5
        let frames: [[UInt8]] = [
            Self.masked(0x8a, other),
            Self.masked(0x8a, []),
            Self.masked(0x8a, Array(Self.ours.prefix(7))),
            Self.masked(0x8a, Self.ours + [0]),
            // A Ping, a reserved bit, a Pong in pieces, no mask, a length in a longer form.
            Self.masked(0x89, Self.ours),
            Self.masked(0xca, Self.ours),
            Self.masked(0x0a, Self.ours),
            [0x8a, 0x08] + Self.ours,
            [0x8a, 0xfe, 0, 8, 0, 0, 0, 0] + Self.ours,
            // The answer as the payload of a message.
            Self.masked(0x82, Self.masked(0x8a, Self.ours)),
            Self.masked(0x82, Self.masked(0x8a, Self.ours), key: [0, 0, 0, 0]),
        ]
        let bytes = frames.flatMap { $0 }
        let (passed, held) = sieved(bytes, by: size)
        #expect(passed == bytes)
        #expect(held == 0)
    }

    @Test func holdsBackOnlyWhatMayBeAnAnswer() {
        let pong = Self.masked(0x8a, Self.ours)
        #expect(sieved(Array(pong.prefix(1)), by: 1).held == 1)
        #expect(sieved(Array(pong.prefix(13)), by: 4).held == 13)
        #expect(sieved([0x8a, 0x81], by: 1).passed == [0x8a, 0x81])
        #expect(sieved([0x82, 0x88, 1], by: 1).passed == [0x82, 0x88, 1])
    }

    @Test func messagesOf64KiBAndMoreAreFollowed() {
        let key: [UInt8] = [0, 0, 0, 0]
        let large = [UInt8](repeating: 0x8a, count: 70_000)
        let message: [UInt8] = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x70] + key + large
        let pong = Self.masked(0x8a, Self.ours, key: key)
        #expect(sieved(message + pong + message, by: 4_096).passed == message + message)
    }
}

@Suite struct PingClockTests {
    @Test func asksAfterSilenceAndGivesUpAfterMore() {
        var clock = PingClock(intervalMs: 100, patienceMs: 30, nowMs: 1_000)
        #expect(clock.verdict(nowMs: 1_099) == .wait(untilMs: 1_100))
        #expect(clock.verdict(nowMs: 1_100) == .ping)
        clock.asked(nowMs: 1_105, untakenBytes: 10)
        #expect(clock.verdict(nowMs: 1_105) == .wait(untilMs: 1_135))
        #expect(clock.verdict(nowMs: 1_135) == .silent)
    }

    @Test func anythingHeardBeginsAnew() {
        var clock = PingClock(intervalMs: 100, patienceMs: 30, nowMs: 0)
        let first = clock.heard(nowMs: 60)
        #expect(!first, "a timer may go on running: it comes too early, not too late")
        #expect(clock.verdict(nowMs: 100) == .wait(untilMs: 160))
        clock.asked(nowMs: 160, untakenBytes: 10)
        let second = clock.heard(nowMs: 170)
        #expect(second, "a timer set for the end of patience would come too late")
        #expect(clock.verdict(nowMs: 200) == .wait(untilMs: 270))
    }

    @Test func whatCouldNotBeSentStaysDue() {
        var clock = PingClock(intervalMs: 100, patienceMs: 30, nowMs: 0)
        clock.becameDue()
        #expect(clock.isDue && clock.verdict(nowMs: 130) == .ping)
        clock.asked(nowMs: 140, untakenBytes: 0)
        #expect(!clock.isDue)
        clock.becameDue()
        clock.heard(nowMs: 150)
        #expect(!clock.isDue)
    }

    @Test func aSlowReaderIsWaitedForAsLongAsItReads() {
        var clock = PingClock(intervalMs: 100, patienceMs: 30, nowMs: 0)
        clock.asked(nowMs: 100, untakenBytes: 5_000)
        let someWasTaken = clock.isStillTaking(3_000, nowMs: 130)
        #expect(someWasTaken)
        #expect(clock.verdict(nowMs: 130) == .wait(untilMs: 160))
        let nothingMoved = clock.isStillTaking(3_000, nowMs: 160)
        let allArrived = clock.isStillTaking(0, nowMs: 160)
        #expect(!nothingMoved && !allArrived)
    }
}

@Suite struct HandshakeTests {
    private func bytes(_ count: Int, _ body: (UnsafeMutablePointer<UInt8>) -> Int) -> [UInt8] {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { room.deallocate() }
        return Array(UnsafeBufferPointer(start: room, count: body(room)))
    }

    @Test func controlFrames() {
        let most = ControlFrame.bytesMax
        #expect(
            bytes(most) { ControlFrame.writeClose($0, code: 1001, isMasked: false) } == [0x88, 2, 3, 0xe9])
        #expect(
            bytes(most) { ControlFrame.writeClose($0, code: 1001, isMasked: true) }
                == [0x88, 0x82, 0, 0, 0, 0, 3, 0xe9])
        #expect(
            bytes(most) { ControlFrame.writePing($0, payload: 0x0102_0304_0506_0708) }
                == [0x89, 8, 1, 2, 3, 4, 5, 6, 7, 8])
    }

    // The example of RFC 6455 §1.3; the digest in between is SHA-1's.
    @Test func acceptance() {
        let key = Array("dGhlIHNhbXBsZSBub25jZQ==".utf8)
        let proof = key.withUnsafeBufferPointer { HandshakeKey.proof(of: $0) }
        #expect(
            String(decoding: proof, as: UTF8.self)
                == "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        let digest: [UInt8] = [
            0xb3, 0x7a, 0x4f, 0x2c, 0xc0, 0x62, 0x4f, 0x16, 0x90, 0xf6, 0x46, 0x06, 0xcf, 0x38, 0x59, 0x45,
            0xb2, 0xbe, 0xc4, 0xea,
        ]
        #expect(
            String(decoding: HandshakeKey.acceptance(digest: digest), as: UTF8.self)
                == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        #expect(HandshakeKey.text(1, 2).count == 24)
    }
}
