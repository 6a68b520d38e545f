// Batches of datagrams over real sockets of the loopback device: addresses, order, segments, refusals.

import Glibc
import Testing

@testable import Reactor

@Suite struct DatagramTests {
    private static let loopback = IPAddress(v4: 0x7f00_0001)

    private func bound(_ address: IPAddress) throws -> (socket: Socket, port: UInt16) {
        let socket = try Socket.bindDatagram(on: .ip(address, port: 0), dualStack: true).get()
        return (socket, try #require(socket.localAddress()).port)
    }

    private func connected(to port: UInt16, at address: IPAddress = loopback) throws -> Socket {
        let (socket, error) = Socket.connectDatagram(to: .ip(address, port: port))
        try #require(error == 0)
        return socket
    }

    /// Every datagram that is there, as bytes; the kernel delivers over loopback before send returns.
    private func drain(_ socket: Socket) -> [[UInt8]] {
        let batch = DatagramBatch(wantsPeers: false)
        var found: [[UInt8]] = []
        while true {
            let count = batch.receive(from: socket, at: 0, count: DatagramBatch.capacity)
            if count <= 0 { return found }
            for i in 0..<count {
                found.append(Array(UnsafeBufferPointer(start: batch.bytes(i), count: batch.count(i))))
                batch.clear(i)
            }
        }
    }

    @Test(arguments: [
        [1200, 1200, 1200], [1200, 1200, 7], [7, 1200, 1200], [5, 0, 5, 5], [0, 0], [3, 2, 1, 1, 2, 3],
        [40_000, 40_000], [1],
    ]) func listsArriveWholeAndInOrder(lengths: [Int]) throws {
        let (receiver, port) = try bound(Self.loopback)
        let socket = try connected(to: port)
        defer {
            receiver.close()
            socket.close()
        }
        let sent = lengths.enumerated().map { n, length in [UInt8](repeating: UInt8(n + 1), count: length) }
        let room = sent.map { bytes in
            let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
            copy.update(from: bytes, count: bytes.count)
            return copy
        }
        defer { for each in room { each.deallocate() } }
        for segments in [true, false] {
            var list = DatagramList()
            for (bytes, length) in zip(room, lengths) { list.append(bytes, length) }
            let sender = DatagramSender()
            sender.prepare(list, from: 0, segments: segments)
            let messages = sender.send(to: socket, from: 0)
            try #require(messages > 0)
            #expect((0..<messages).reduce(0) { $0 + sender.datagrams($1) } == lengths.count)
            if !segments { #expect(messages == lengths.count) }
            #expect(drain(receiver) == sent)
        }
    }

    @Test func equalLengthsBecomeOneMessage() throws {
        var list = DatagramList()
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 1200)
        defer { room.deallocate() }
        room.initialize(repeating: 1, count: 1200)
        for length in [1200, 1200, 1200, 300, 300, 1200, 1200] { list.append(room, length) }
        let (receiver, port) = try bound(Self.loopback)
        let socket = try connected(to: port)
        let sender = DatagramSender()
        sender.prepare(list, from: 0, segments: true)
        // A shorter one ends a run; what follows begins the next.
        #expect(sender.send(to: socket, from: 0) == 3)
        #expect((0..<3).map { sender.datagrams($0) } == [4, 1, 2])
        receiver.close()
        socket.close()
    }

    @Test(arguments: ["127.0.0.1", "127.0.0.2", "::1"])
    func answersLeaveFromTheAddressAsked(text: String) throws {
        let asked = try #require(IPAddress(text))
        let (server, port) = try bound(.unspecified)
        let client = try connected(to: port, at: asked)
        defer {
            server.close()
            client.close()
        }
        var question: [UInt8] = [1, 2, 3]
        #expect(client.send(&question, 3) == 3)
        let arrivals = DatagramBatch(wantsPeers: true)
        #expect(arrivals.receive(from: server, at: 0, count: 4) == 1)
        var overflow: UInt32 = 0
        let local = arrivals.control(0, overflow: &overflow)
        #expect(local == asked)
        #expect(overflow == 0)
        let peer = arrivals.peer(0)
        #expect(.ip(peer.address, port: peer.port) == client.localAddress())
        // A connected socket hears nothing from any other address.
        let answers = DatagramBatch(wantsPeers: false)
        arrivals.address(0, to: peer, from: local)
        #expect(arrivals.send(to: server, from: 0, count: 1) == 1)
        #expect(answers.receive(from: client, at: 0, count: 4) == 1)
        #expect(answers.count(0) == 3)
    }

    @Test func aBoundAddressNeedsNoTelling() throws {
        let (server, port) = try bound(Self.loopback)
        let client = try connected(to: port)
        var byte: UInt8 = 1
        #expect(client.send(&byte, 1) == 1)
        let batch = DatagramBatch(wantsPeers: true)
        #expect(batch.receive(from: server, at: 0, count: 1) == 1)
        var overflow: UInt32 = 0
        #expect(batch.control(0, overflow: &overflow) == .unspecified)
        server.close()
        client.close()
    }

    @Test func aRefusalIsToldToTheConnectedSocket() throws {
        let (server, port) = try bound(Self.loopback)
        server.close()
        let client = try connected(to: port)
        var byte: UInt8 = 1
        #expect(client.send(&byte, 1) == 1)
        let batch = DatagramBatch(wantsPeers: false)
        #expect(batch.receive(from: client, at: 0, count: 1) == -Int(ECONNREFUSED))
        #expect(batch.receive(from: client, at: 0, count: 1) == -Int(EAGAIN))
        client.close()
    }

    @Test func unixAddressesAreRefused() {
        #expect(Socket.connectDatagram(to: .unix(path: "/x")).error == EAFNOSUPPORT)
        guard case .failure(let error) = Socket.bindDatagram(on: .unix(path: "/x"), dualStack: false) else {
            Issue.record("bound to a path")
            return
        }
        #expect(error.code == EAFNOSUPPORT)
    }
}
