// Flow control in both directions, queues and their bounds, stalls, priorities (RFC 9113 §5.2, RFC 9218).

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Testing

@Suite struct FlowTests {
    // The peer may send what is left of the window and no more, until we say `consumed`.
    @Test func windowOpensWhenTheOwnerIsRidOfTheBytes() throws {
        let peer = Peer.server()
        peer.consumes = false
        let piece = String(repeating: "x", count: 16_384)
        let seen = peer.feed(
            Frame.headers(1, post, end: false) + (0..<3).flatMap { _ in Frame.data(1, piece) })
        #expect(seen.filter { $0.kind == .data }.count == 3)
        #expect(!peer.frames().contains { $0.type == 8 })
        peer.session.consumed(1, 3 * 16_384)
        let updates = peer.frames().filter { $0.type == 8 }
        #expect(updates.contains { $0.stream == 1 })
        // More than was delivered is not believed.
        peer.session.consumed(1, 1_000_000)
        #expect(peer.frames().isEmpty)
    }

    @Test func dataBeyondTheWindowIsAnError() throws {
        let peer = Peer.server()
        peer.consumes = false
        let piece = String(repeating: "x", count: 16_384)
        peer.feed(Frame.headers(1, post, end: false) + (0..<5).flatMap { _ in Frame.data(1, piece) })
        let frames = peer.frames()
        #expect(frames.contains { ($0.type == 3 || $0.type == 7) && $0.code == 3 })
    }

    // A stream whose bytes nobody takes does not hold up the others.
    @Test func aBlockedStreamBlocksItself() throws {
        let peer = Peer.server()
        peer.consumes = false
        let piece = String(repeating: "x", count: 16_384)
        peer.feed(Frame.headers(1, post, end: false) + (0..<4).flatMap { _ in Frame.data(1, piece) })
        for round in 0..<100 {
            let stream = 3 + 2 * round
            let seen = peer.feed(
                Frame.headers(stream, post, end: false) + Frame.data(stream, piece)
                    + Frame.data(stream, "", end: true))
            #expect(seen.map(\.kind) == [.head, .data])
            #expect(seen.last?.event.endsStream == true)
            peer.session.consumed(Int32(stream), 16_384)
            peer.respond(Int32(stream), 200)
            _ = peer.output()
            peer.events()
        }
        #expect(peer.session.violation == .none)
        #expect(peer.session.streamsOpen == 1)
    }

    // Bytes of a stream that was cut off come back to the connection without `consumed`.
    @Test func windowOfAStreamThatEndsIsGivenBack() throws {
        let peer = Peer.server { $0.connectionWindowBytes = 131_072 }
        peer.consumes = false
        let piece = String(repeating: "x", count: 16_384)
        for round in 0..<50 {
            let stream = 1 + 2 * round
            peer.feed(
                Frame.headers(stream, post, end: false) + Frame.data(stream, piece) + Frame.reset(stream))
            _ = peer.output()
        }
        #expect(peer.session.violation == .none)
    }

    @Test func queueHasABoundAndSaysWhenThereIsRoom() throws {
        let peer = Peer.server(settings: [(4, 1_000)])
        peer.feed(Frame.headers(1, get))
        peer.respond(1, 200, end: false)
        #expect(peer.session.room(1) == 65_536)
        #expect(peer.send(1, String(repeating: "a", count: 100_000)) == 65_536)
        #expect(peer.session.room(1) == 0)
        #expect(peer.send(1, "b") == 0)
        // The window lets 1,000 bytes out, and no more.
        #expect(peer.frames().filter { $0.type == 0 }.map(\.payload.count) == [1_000])
        #expect(peer.events().isEmpty)
        #expect(peer.session.queuedBytes(1) == 64_536)
        peer.feed(Frame.window(1, 40_000))
        let sent = peer.frames().filter { $0.type == 0 }
        #expect(sent.map(\.payload.count).reduce(0, +) == 40_000)
        #expect(peer.events().map(\.kind) == [.writable])
        #expect(peer.session.room(1) == 65_536 - 24_536)
        #expect(peer.send(1, "more") == 4)
    }

    @Test func allStreamsTogetherHaveABound() throws {
        let peer = Peer.server(settings: [(4, 0)])
        let text = String(repeating: "a", count: 65_536)
        var total = 0
        for index in 0..<100 {
            peer.feed(Frame.headers(2 * index + 1, get))
            peer.respond(Int32(2 * index + 1), 200, end: false)
            total += peer.send(Int32(2 * index + 1), text)
        }
        #expect(total == 16 * 65_536 + 84 * 16_384)
        _ = peer.output()
        #expect(peer.session.waitingSinceMs() == 1_000_000)
    }

    // RFC 9113 §10.5: a peer that opens streams and gives no window.
    @Test func stalls() throws {
        let peer = Peer.server(settings: [(4, 10)])
        peer.feed(Frame.headers(1, get) + Frame.headers(3, get))
        #expect(!peer.session.isWaiting && peer.session.waitingSinceMs() == nil)
        peer.respond(1, 200, end: false)
        peer.respond(3, 200, end: false)
        peer.send(1, String(repeating: "a", count: 100))
        _ = peer.output()
        peer.nowMs += 5_000
        peer.feed([])
        peer.send(3, String(repeating: "b", count: 5))
        _ = peer.output()
        #expect(peer.session.isWaiting && peer.session.waitingSinceMs() == 1_000_000)
        #expect(peer.session.firstStalled(since: 999_999, isDrained: true) == nil)
        #expect(peer.session.firstStalled(since: 1_000_000, isDrained: true) == 1)
        // Stream 3 waits for nothing.
        #expect(!peer.session.isStalled(since: 1_000_000))
        peer.nowMs += 5_000
        peer.feed(Frame.window(1, 10))
        _ = peer.output()
        #expect(peer.session.waitingSinceMs() == 1_010_000)
        #expect(peer.session.firstStalled(since: 1_009_999, isDrained: true) == nil)
        peer.feed(Frame.window(1, 1_000))
        _ = peer.output()
        #expect(!peer.session.isWaiting && peer.session.waitingSinceMs() == nil)
        #expect(peer.session.firstStalled(since: 2_000_000, isDrained: true) == nil)
    }

    // A peer cannot give a window for bytes that lie unread in the kernel.
    @Test func bytesUnderWay() throws {
        let peer = Peer.server(settings: [(4, 1_000)])
        for stream in [1, 3] as [Int32] {
            peer.feed(Frame.headers(Int(stream), get))
            peer.respond(stream, 200, end: false)
            peer.send(stream, String(repeating: "a", count: 5_000))
            _ = peer.output()
        }
        peer.nowMs += 5_000
        let sinceMs = peer.nowMs - 5_000
        #expect(peer.session.isStalled(since: sinceMs))
        // The last bytes are those of stream 3.
        let before = peer.session.taken(3, untaken: 1_000)
        peer.session.areUnderWay(1_000, nowMs: peer.nowMs)
        #expect(!peer.session.isStalled(since: sinceMs))
        #expect(peer.session.firstStalled(since: sinceMs, isDrained: true) == 1)
        #expect(peer.session.taken(3, untaken: 500) == before + 500)
        #expect(peer.session.taken(1, untaken: 500) == peer.session.taken(1, untaken: 1_000))
        // They arrive, and its time begins.
        peer.nowMs += 4_999
        peer.session.areUnderWay(0, nowMs: peer.nowMs)
        #expect(!peer.session.isStalled(since: peer.nowMs - 5_000))
        peer.nowMs += 1
        #expect(peer.session.isStalled(since: peer.nowMs - 5_000))
        // Nothing is known of who has not been heard.
        peer.session.areUnderWay(.max, nowMs: peer.nowMs)
        #expect(peer.session.firstStalled(since: peer.nowMs - 1, isDrained: true) == nil)
    }

    // Of twenty streams one is read, bit by bit: the others stand still, and the connection does not.
    @Test func streamsStandStillWhileAnotherMoves() throws {
        let peer = Peer.server(settings: [(4, 0)])
        let streams = Array(stride(from: 1, through: 41, by: 2)).map { Int32($0) }
        for stream in streams {
            peer.feed(Frame.headers(Int(stream), get))
            peer.respond(stream, 200, end: false)
            peer.send(stream, String(repeating: "a", count: 10_000))
            peer.session.submitEnd(stream)
        }
        _ = peer.output()
        for _ in 0..<10 {
            peer.nowMs += 1_000
            peer.feed(Frame.window(21, 100))
            _ = peer.output()
        }
        let sinceMs = peer.nowMs - 5_000
        #expect(!peer.session.isStalled(since: sinceMs))
        var stalled: [Int32] = []
        while let stream = peer.session.firstStalled(since: sinceMs, isDrained: false) {
            stalled.append(stream)
            peer.session.reset(stream, .enhanceYourCalm)
        }
        #expect(stalled.sorted() == streams.filter { $0 != 21 })
        let resets = peer.frames()
        #expect(resets.count == 20 && resets.allSatisfy { $0.type == 3 && $0.code == 11 })
        peer.events()
        #expect(peer.session.waitingSinceMs() == peer.nowMs)
        #expect(peer.session.violation == .none && peer.session.streamsOpen == 1)
        // Now that one stands still as well.
        peer.nowMs += 5_000
        #expect(peer.session.isStalled(since: peer.nowMs - 5_000))
        peer.feed(Frame.window(21, 10_000))
        #expect(peer.frames().contains { $0.stream == 21 && $0.flags & 1 == 1 })
    }

    // A stream that has a window, and waits because others use up the connection's, is not at fault.
    @Test func windowOfTheConnection() throws {
        let peer = Peer.server(settings: [(4, 1 << 20)])
        peer.feed(
            Frame.headers(1, get + [("priority", "u=0")]) + Frame.headers(3, get + [("priority", "u=7")]))
        for stream in [1, 3] as [Int32] {
            peer.respond(stream, 200, end: false)
            peer.send(stream, String(repeating: "a", count: 65_536))
        }
        _ = peer.output()
        peer.send(1, String(repeating: "a", count: 60_000))
        for _ in 0..<10 {
            peer.nowMs += 1_000
            peer.feed(Frame.window(0, 1_000))
            #expect(peer.frames().map(\.stream) == [1])
        }
        #expect(peer.session.waitingSinceMs() == 1_000_000)
        #expect(peer.session.firstStalled(since: peer.nowMs - 5_000, isDrained: true) == nil)
        // Nothing leaves any more: not the fault of windows as long as the connection itself takes nothing.
        peer.nowMs += 5_000
        #expect(peer.session.firstStalled(since: peer.nowMs - 5_000, isDrained: false) == nil)
        #expect(peer.session.firstStalled(since: peer.nowMs - 5_000, isDrained: true) != nil)
        #expect(peer.session.isStalled(since: peer.nowMs - 5_000))
    }

    // Any capacity from the least on yields the same bytes.
    @Test func outputInSmallPieces() throws {
        func conversation(_ capacity: Int) -> [UInt8] {
            let peer = Peer.server()
            peer.feed(Frame.headers(1, get) + Frame.headers(3, get))
            peer.respond(1, 200, [("x", String(repeating: "y", count: 30_000))], end: false)
            peer.respond(3, 200, end: false)
            peer.send(1, String(repeating: "a", count: 30_000))
            peer.send(3, String(repeating: "b", count: 20_000))
            peer.session.submitEnd(1)
            peer.session.submitEnd(3)
            return peer.output(capacity: capacity)
        }
        let large = conversation(262_144)
        #expect(
            Written.parse(large).filter { $0.type == 0 && $0.stream == 1 }.map(\.payload.count).reduce(0, +)
                == 30_000)
        for capacity in [16_393, 16_394, 20_000, 40_000] {
            #expect(conversation(capacity) == large, "capacity \(capacity)")
        }
    }

    @Test func largeBodyBetweenSessions() throws {
        let pair = Pair()
        let stream = try #require(pair.client.request())
        pair.run()
        _ = pair.take()
        pair.server.respond(stream, 200, end: false)
        let text = String((0..<300_000).map { Character(UnicodeScalar(UInt8(97 + $0 % 26))) })
        let bytes = Array(text.utf8)
        var sent = 0
        var received = ""
        while true {
            if sent < bytes.count {
                sent += bytes[sent...].withUnsafeBufferPointer { buffer in
                    buffer.baseAddress.map {
                        pair.server.session.submitData(stream, $0, count: buffer.count)
                    } ?? 0
                }
                if sent == bytes.count { pair.server.session.submitEnd(stream) }
            }
            pair.run()
            let seen = pair.take()
            received += seen.client.filter { $0.kind == .data }.map(\.text).joined()
            if seen.client.contains(where: { $0.kind == .closed }) { break }
            try #require(seen.server.contains { $0.kind == .writable || $0.kind == .closed })
        }
        #expect(received == text)
    }

    // MARK: Priorities

    @Test func priorityField() throws {
        let peer = Peer.server()
        let seen = peer.feed(
            Frame.headers(1, get + [("priority", "u=1, i")]) + Frame.headers(3, get)
                + Frame.headers(5, get + [("priority", "u=9;x, i=?0, y")]))
        #expect(seen.map(\.event.urgency) == [1, 3, 3])
        #expect(seen.map(\.event.isIncremental) == [true, false, false])
    }

    @Test func priorityUpdateFrame() throws {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, get))
        let seen = peer.feed(Frame.priorityUpdate(1, "u=0,i"))
        #expect(seen.map(\.kind) == [.priority])
        #expect(seen.first?.event.urgency == 0 && seen.first?.event.isIncremental == true)
    }

    @Test func urgentStreamsGoFirst() throws {
        let peer = Peer.server()
        peer.feed(
            Frame.headers(1, get + [("priority", "u=7")]) + Frame.headers(3, get + [("priority", "u=0")])
                + Frame.headers(5, get))
        for stream in [1, 3, 5] as [Int32] {
            peer.respond(stream, 200, end: false)
            peer.send(stream, String(repeating: "x", count: 10_000))
            peer.session.submitEnd(stream)
        }
        #expect(peer.frames().filter { $0.type == 0 }.map(\.stream) == [3, 5, 1])
    }

    @Test func incrementalStreamsShare() throws {
        let peer = Peer.server()
        peer.feed(
            Frame.headers(1, get + [("priority", "i")]) + Frame.headers(3, get + [("priority", "i")]))
        for stream in [1, 3] as [Int32] {
            peer.respond(stream, 200, end: false)
            peer.send(stream, String(repeating: "x", count: 30_000))
        }
        let order = peer.frames().filter { $0.type == 0 }.map(\.stream)
        #expect(order.prefix(2).sorted() == [1, 3])
    }
}
