// Poller: the properties of edge-triggered epoll that the event loop is built on. Each is a sentence
// that the data path takes for granted.

import Glibc
import Testing

@testable import Reactor

private let token = Token(kind: 3, handle: Handle(index: 77, generation: 5))

extension Poller {
    /// The readiness reported for one token, nil when none is.
    fileprivate func ready(_ token: Token, timeoutMs: Int32 = 0) -> Readiness? {
        var found: Readiness?
        for i in 0..<wait(timeoutMs: timeoutMs) {
            let event = event(i)
            if event.token == token { found = (found ?? []).union(event.readiness) }
        }
        return found
    }
}

@Suite struct PollerTests {
    @Test func anEdgeIsToldOnce() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(pair.near.fd, token) == 0)
        #expect(poller.ready(token) == .writable)
        #expect(poller.ready(token) == nil)
        #expect(pair.far.sendText("x") == 1)
        #expect(poller.ready(token)?.contains(.readable) == true)
        // Unread, and yet not told again: whoever does not read to the end must remember it.
        #expect(poller.ready(token) == nil)
    }

    @Test func registeringAReadySocketTellsSo() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(pair.far.sendText("x") == 1)
        #expect(poller.register(pair.near.fd, token) == 0)
        #expect(poller.ready(token) == [.readable, .writable])
    }

    @Test func newBytesAreANewEdgeThoughOldOnesAreUnread() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(pair.near.fd, token) == 0)
        _ = poller.ready(token)
        for _ in 0..<3 {
            #expect(pair.far.sendText("x") == 1)
            #expect(poller.ready(token)?.contains(.readable) == true)
            #expect(poller.ready(token) == nil)
        }
    }

    /// A receive that gets less than it asked for has emptied the socket: the next byte is an edge, so
    /// the receive that would only say EAGAIN is saved.
    @Test func anEdgeFollowsAShortReceive() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(pair.near.fd, token) == 0)
        _ = poller.ready(token)
        #expect(pair.far.sendText("abc") == 3)
        #expect(poller.ready(token)?.contains(.readable) == true)
        #expect(pair.near.receiveOnce(64).result == 3)
        #expect(pair.far.sendText("d") == 1)
        #expect(poller.ready(token)?.contains(.readable) == true)
    }

    /// After a send that was short or refused, room is an edge; this is what an outbox waits for.
    @Test func roomIsAnEdgeAfterAFullSend() {
        let poller = Poller()
        let pair = SocketPair(sendBytes: 4096)
        #expect(poller.register(pair.near.fd, token) == 0)
        _ = poller.ready(token)
        #expect(pair.near.fillUp() > 0)
        #expect(poller.ready(token) == nil)
        #expect(!pair.far.receiveAll().isEmpty)
        #expect(poller.ready(token)?.contains(.writable) == true)
    }

    @Test func aShortSendAloneIsEnoughForThatEdge() {
        let poller = Poller()
        let pair = SocketPair(sendBytes: 4096)
        #expect(poller.register(pair.near.fd, token) == 0)
        _ = poller.ready(token)
        let bytes = [UInt8](repeating: 1, count: 1 << 20)
        let sent = bytes.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { pair.near.send($0, bytes.count) } ?? 0
        }
        #expect(sent > 0 && sent < bytes.count)
        #expect(poller.ready(token) == nil)
        #expect(pair.far.receiveAll().count == sent)
        #expect(poller.ready(token)?.contains(.writable) == true)
    }

    @Test func halfCloseAndCloseAreToldApart() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(pair.near.fd, token) == 0)
        _ = poller.ready(token)
        pair.far.shutdownWrite()
        let half = poller.ready(token)
        #expect(half?.contains(.readHangUp) == true)
        #expect(half?.contains(.hangUp) == false)
        pair.closeFar()
        #expect(poller.ready(token)?.contains([.readHangUp, .hangUp]) == true)
    }

    /// TCP: both the end of connecting, and its failure, are events.
    @Test func connectEndsWithAnEvent() throws {
        let address = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 0)
        let listener = try Socket.listen(on: address, dualStack: false).get()
        let local = try #require(listener.localAddress())
        let poller = Poller()
        let (client, error) = Socket.connect(to: local)
        defer { client.close() }
        #expect(error == 0 || error == EINPROGRESS)
        #expect(poller.register(client.fd, token) == 0)
        #expect(poller.ready(token, timeoutMs: 5000)?.contains(.writable) == true)
        #expect(client.pendingError() == 0)
        let (server, _, _) = listener.accept()
        server.closeWithReset()
        let reset = poller.ready(token, timeoutMs: 5000)
        #expect(reset?.contains([.error, .hangUp, .readHangUp]) == true)
        listener.close()

        let (refused, refusal) = Socket.connect(to: local)
        guard refusal == EINPROGRESS else {
            #expect(refusal == ECONNREFUSED)
            return
        }
        defer { refused.close() }
        let other = Token(raw: 42)
        #expect(poller.register(refused.fd, other) == 0)
        #expect(poller.ready(other, timeoutMs: 5000)?.contains([.error, .hangUp]) == true)
        #expect(refused.pendingError() == ECONNREFUSED)
    }

    @Test func closingEndsTheRegistration() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(pair.near.fd, token) == 0)
        #expect(pair.far.sendText("x") == 1)
        pair.closeNear()
        #expect(poller.wait(timeoutMs: 0) == 0)
    }

    @Test func listenersStayReadyUntilAccepted() throws {
        let address = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 0)
        let listener = try Socket.listen(on: address, dualStack: false).get()
        defer { listener.close() }
        let local = try #require(listener.localAddress())
        let poller = Poller()
        #expect(poller.registerReadable(listener.fd, token, exclusive: true) == 0)
        let (client, _) = Socket.connect(to: local)
        defer { client.close() }
        #expect(poller.ready(token, timeoutMs: 5000) == .readable)
        #expect(poller.ready(token) == .readable)
        let (server, _, _) = listener.accept()
        defer { server.close() }
        #expect(poller.ready(token) == nil)
        poller.deregister(listener.fd)
        let (second, _) = Socket.connect(to: local)
        defer { second.close() }
        #expect(awaitReady(listener))
        #expect(poller.ready(token) == nil)
    }

    @Test func watchAddsAndChanges() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.watch(pair.near.fd, token, .writable) == 0)
        #expect(poller.ready(token) == .writable)
        #expect(poller.ready(token) == .writable)
        #expect(poller.watch(pair.near.fd, token, .readable) == 0)
        #expect(poller.ready(token) == nil)
        #expect(pair.far.sendText("x") == 1)
        #expect(poller.ready(token) == .readable)
    }

    @Test func errorsAreValues() {
        let poller = Poller()
        let pair = SocketPair()
        #expect(poller.register(-1, token) == EBADF)
        #expect(poller.watch(-1, token, .readable) == EBADF)
        #expect(poller.register(pair.near.fd, token) == 0)
        #expect(poller.register(pair.near.fd, token) == EEXIST)
    }

    /// More descriptors ready than one call returns: the rest comes with the next, none is forgotten.
    @Test func moreEventsThanOneCallReturns() {
        let poller = Poller()
        let pairs = (0..<300).map { _ in SocketPair() }
        for (i, pair) in pairs.enumerated() {
            #expect(poller.register(pair.near.fd, Token(raw: UInt64(i))) == 0)
        }
        var seen: Set<UInt64> = []
        while true {
            let count = poller.wait(timeoutMs: 0)
            if count == 0 { break }
            for i in 0..<count { seen.insert(poller.event(i).token.raw) }
        }
        #expect(seen.count == 300)
    }
}
