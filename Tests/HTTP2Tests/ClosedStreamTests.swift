// Frames on streams that are gone: wrong, late, or more than late (RFC 9113 §5.1, §5.1.1).

import Testing

@testable import WeirHTTP2

@Suite struct ClosedStreamTests {
    @Test func numbersPassedOverAreClosed() {
        var closed = ClosedStreams()
        let opened = [1, 3, 9, 5, 9].map { closed.open($0) }
        #expect(opened == [true, true, true, false, false])
        #expect(closed.ending(5) == .unused && closed.ending(7) == .unused)
        #expect(closed.ending(3) == nil && closed.ending(9) == nil && closed.ending(11) == nil)
        var late = ClosedStreams()
        _ = late.open(5)
        #expect(late.ending(1) == .unused && late.ending(3) == .unused)
    }

    @Test func whoEndedItIsRemembered() {
        var closed = ClosedStreams()
        closed.peerEnded(1, byReset: false)
        closed.peerEnded(3, byReset: true)
        #expect(closed.ending(1) == .ended && closed.ending(3) == .reset)
        for id in 0..<32 { closed.peerEnded(Int32(2 * id + 5), byReset: false) }
        #expect(closed.ending(1) == nil && closed.ending(3) == nil && closed.ending(5) == .ended)
    }

    @Test func lateFramesAreBounded() {
        var none = ClosedStreams()
        let unearned = none.takeLateHead()
        var closed = ClosedStreams()
        closed.cut(windowBytes: 100, heads: 1)
        let data = [60, 40, 1].map { closed.takeLate(bytes: $0) }
        let heads = [closed.takeLateHead(), closed.takeLateHead()]
        #expect(!unearned && data == [true, true, false] && heads == [true, false])
    }

    /// The codes of what a server answers, GOAWAY as 1000 and more.
    private func answer(_ peer: Peer, _ bytes: [UInt8], byteByByte: Bool) -> [UInt32] {
        if byteByByte { for byte in bytes { peer.feed([byte]) } } else { peer.feed(bytes) }
        return peer.frames().filter { $0.type == 3 || $0.type == 7 }.map {
            $0.type == 7 ? 1_000 + $0.code : $0.code
        }
    }

    private func finished(_ id: Int = 1) -> Peer {
        let peer = Peer.server()
        peer.feed(Frame.headers(id, get))
        peer.respond(Int32(id), 200)
        _ = peer.output()
        peer.events()
        return peer
    }

    @Test(arguments: [false, true])
    func afterItsOwnEnd(byteByByte: Bool) {
        #expect(answer(finished(), Frame.data(1, "x"), byteByByte: byteByByte) == [1_005])
        #expect(answer(finished(), Frame.headers(1, get), byteByByte: byteByByte) == [1_005])
        // PRIORITY, WINDOW_UPDATE and RST_STREAM may cross the end.
        let late = Frame.window(1, 5) + Frame.reset(1) + Frame.frame(2, 0, 1, [0, 0, 0, 3, 10])
        #expect(answer(finished(), late, byteByByte: byteByByte) == [])
    }

    @Test(arguments: [false, true])
    func afterItsOwnReset(byteByByte: Bool) {
        for frame in [Frame.data(1, "x"), Frame.headers(1, get)] {
            let peer = Peer.server()
            let bytes = Frame.headers(1, post, end: false) + Frame.reset(1) + frame
            #expect(answer(peer, bytes, byteByByte: byteByByte) == [5])
            #expect(peer.feed(Frame.headers(3, get)).map(\.kind) == [.head])
        }
    }

    // Wherever the block of input ends: in the head, in the frame that ends the stream, in the one behind it.
    @Test func inTwoBlocks() {
        let endings: [([UInt8], UInt32)] = [
            (Frame.headers(1, post, end: false) + Frame.reset(1), 5),
            (Frame.headers(1, post, end: false) + Frame.data(1, "abc", end: true), 1_005),
            (Frame.headers(1, post), 1_005),
        ]
        for (ending, code) in endings {
            for frame in [Frame.data(1, "x"), Frame.headers(1, get)] {
                let bytes = ending + frame
                for cut in 1..<bytes.count {
                    let peer = Peer.server()
                    let codes =
                        answer(peer, Array(bytes[..<cut]), byteByByte: false)
                        + answer(peer, Array(bytes[cut...]), byteByByte: false)
                    #expect(codes == [code], "cut at \(cut) of \(bytes.count)")
                }
            }
        }
    }

    // Many streams that end in one block, and one frame too many on one of them: on none of the others.
    @Test func amongManyOthers() {
        let streams = Array(stride(from: 1, through: 199, by: 2))
        let uploads = streams.flatMap {
            Frame.headers($0, post, end: false) + Frame.data($0, "abc", end: true)
        }
        let rest = Frame.headers(201, post, end: false)
        for late in [1, 3, 127, 129, 199] {
            let peer = Peer.server { $0.streamsMax = 200 }
            #expect(answer(peer, uploads + rest + Frame.data(late, "x"), byteByByte: false) == [1_005])
        }
        let peer = Peer.server { $0.streamsMax = 200 }
        let seen = peer.feed(uploads + rest + Frame.data(201, "x") + Frame.data(201, "y", end: true))
        #expect(seen.filter { $0.kind == .data }.count == 102 && peer.session.violation == .none)
    }

    @Test func answersOfAnEndpointInOneBlock() {
        for late in [1, 63, 129] {
            let peer = Peer.client { $0.streamsMax = 200 }
            let streams = (0..<66).compactMap { _ in peer.request() }.map { Int($0) }
            #expect(streams.count == 66)
            _ = peer.output()
            let answers = streams.flatMap {
                Frame.headers($0, [(":status", "200")], end: false) + Frame.data($0, "abc", end: true)
            }
            #expect(answer(peer, answers + Frame.data(late, "x"), byteByByte: false) == [1_005])
        }
    }

    @Test(arguments: [false, true])
    func lowerNumbers(byteByByte: Bool) {
        let bytes = Frame.headers(5, get) + Frame.headers(3, get)
        let peer = Peer.server()
        #expect(answer(peer, bytes, byteByByte: byteByByte) == [1_001])
        #expect(peer.session.violation == .streamNumber)
    }

    @Test func whatWasUnderWayToAStreamWeCut() {
        let peer = Peer.server()
        peer.feed(Frame.headers(1, post, end: false))
        peer.session.reset(1, .cancel)
        _ = peer.output()
        peer.events()
        // A window full, and trailers.
        let piece = String(repeating: "x", count: 16_384)
        for _ in 0..<4 { peer.feed(Frame.data(1, piece)) }
        peer.feed(Frame.headers(1, [("x-sum", "1")]))
        #expect(peer.session.violation == .none)
        peer.feed(Frame.data(1, "x"))
        #expect(peer.session.violation == .streamState)
    }

    @Test func priorityThatDependsOnItself() {
        #expect(answer(.server(), Frame.frame(2, 0, 5, [0, 0, 0, 5, 10]), byteByByte: false) == [1_001])
        #expect(answer(.server(), Frame.frame(2, 0, 5, [0x80, 0, 0, 5, 10]), byteByByte: true) == [1_001])
        #expect(answer(.server(), Frame.frame(2, 0, 5, [0, 0, 0, 3, 10]), byteByByte: true) == [])
    }

    @Test func manyNewStreamsWithBodiesInOneBlock() {
        let peer = Peer.server()
        let bytes = (0..<100).flatMap {
            Frame.headers(2 * $0 + 1, post, end: false) + Frame.data(2 * $0 + 1, "abc", end: true)
        }
        let seen = peer.feed(bytes)
        #expect(seen.filter { $0.kind == .head }.count == 100)
        #expect(seen.filter { $0.kind == .data && $0.event.endsStream }.count == 100)
        #expect(peer.session.violation == .none)
    }

    // An endpoint, seen from the client.
    @Test func endpointsHaveTheSameDuty() throws {
        let client = Peer.client()
        let id = Int(try #require(client.request()))
        _ = client.output()
        client.feed(Frame.headers(id, [(":status", "200")]))
        client.feed(Frame.data(id, "x"))
        #expect(client.session.violation == .streamState)

        let patient = Peer.client()
        let cut = Int(try #require(patient.request()))
        _ = patient.output()
        patient.session.reset(Int32(cut), .cancel)
        _ = patient.output()
        patient.events()
        patient.feed(Frame.headers(cut, [(":status", "200")], end: false) + Frame.data(cut, "late"))
        #expect(patient.session.violation == .none)
    }
}
