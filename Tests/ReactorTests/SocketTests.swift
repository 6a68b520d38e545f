// Socket over loopback TCP and Unix sockets: what a connection's life looks like from here.

import Glibc
import Testing

@testable import Reactor

private let loopback4 = IPAddress(v4: 0x7f00_0001)
private let loopback6 = IPAddress(high: 0, low: 1)

/// A listener, its address, and what to remove when done.
private final class Listener {
    let socket: Socket
    let address: SocketAddress
    private let path: String?

    init(_ address: SocketAddress, backlog: Int32 = 16) throws {
        socket = try Socket.listen(on: address, dualStack: false, backlog: backlog).get()
        self.address = try #require(socket.localAddress())
        if case .unix(let path) = address { self.path = path } else { self.path = nil }
    }

    /// Tests run at once: each has its own name.
    static func unix(_ name: String, backlog: Int32 = 16) throws -> Listener {
        let path = "/tmp/weir-socket-test-\(getpid())-\(name)"
        unlink(path)
        return try Listener(.unix(path: path), backlog: backlog)
    }

    static func make(_ kind: Kind, _ name: String) throws -> Listener {
        switch kind {
        case .v4: try Listener(.ip(loopback4, port: 0))
        case .v6: try Listener(.ip(loopback6, port: 0))
        case .unix: try unix(name)
        }
    }

    /// A connection through it: near is the client's end.
    func connection() throws -> SocketPair {
        let (client, error) = Socket.connect(to: address)
        try #require(error == 0 || error == EINPROGRESS)
        try #require(awaitReady(socket))
        let (server, _, _) = socket.accept()
        let pair = SocketPair(client, server)
        try #require(server.fd >= 0)
        try #require(awaitReady(client, POLLOUT))
        try #require(client.pendingError() == 0)
        return pair
    }

    deinit {
        socket.close()
        if let path { unlink(path) }
    }
}

enum Kind: String, CaseIterable { case v4, v6, unix }

@Suite struct SocketTests {
    @Test(arguments: Kind.allCases)
    func connectAcceptExchange(_ kind: Kind) throws {
        let listener = try Listener.make(kind, "exchange")
        #expect(listener.socket.accept().socket.fd == -EAGAIN)
        let pair = try listener.connection()
        #expect(pair.near.receiveOnce().result == -Int(EAGAIN))
        #expect(pair.near.peek() == -Int(EAGAIN))

        #expect(pair.near.sendText("hello") == 5)
        try #require(awaitReady(pair.far))
        #expect(pair.far.peek() > 0)
        #expect(pair.far.receiveOnce().bytes == Array("hello".utf8))

        var first = Array("a-b".utf8)
        var second = Array("-c".utf8)
        let sent = first.withUnsafeMutableBytes { first in
            second.withUnsafeMutableBytes { second in
                var parts = [
                    iovec(iov_base: first.baseAddress, iov_len: first.count),
                    iovec(iov_base: second.baseAddress, iov_len: second.count),
                ]
                return pair.far.send(&parts, count: 2)
            }
        }
        #expect(sent == 5)
        try #require(awaitReady(pair.near))
        #expect(pair.near.receiveOnce().bytes == Array("a-b-c".utf8))
    }

    @Test func acceptTellsThePeer() throws {
        for address in [loopback4, loopback6] {
            let listener = try Listener(.ip(address, port: 0))
            let (client, error) = Socket.connect(to: listener.address)
            defer { client.close() }
            #expect(error == 0 || error == EINPROGRESS)
            try #require(awaitReady(listener.socket))
            let (server, peer, port) = listener.socket.accept()
            defer { server.close() }
            #expect(peer == address && port != 0)
            #expect(client.localAddress() == .ip(address, port: port))
            #expect(server.localAddress() == listener.address)
            // Accepted sockets do not block, do not leak into children, and do not wait to fill segments.
            #expect(fcntl(server.fd, F_GETFL) & Int32(O_NONBLOCK) != 0)
            #expect(fcntl(server.fd, F_GETFD) & FD_CLOEXEC != 0)
            var noDelay: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            #expect(getsockopt(server.fd, Int32(IPPROTO_TCP), TCP_NODELAY, &noDelay, &size) == 0)
            #expect(noDelay != 0)
        }
    }

    @Test func unixPeersHaveOneAddress() throws {
        let listener = try Listener.unix("peer")
        let (client, error) = Socket.connect(to: listener.address)
        defer { client.close() }
        #expect(error == 0)
        let (server, peer, port) = listener.socket.accept()
        defer { server.close() }
        #expect(server.fd >= 0 && peer == .unix && port == 0)
    }

    /// One direction ends, the other goes on: a request whose sender has said everything.
    @Test(arguments: Kind.allCases)
    func halfClose(_ kind: Kind) throws {
        let pair = try Listener.make(kind, "half").connection()
        #expect(pair.near.sendText("last") == 4)
        pair.near.shutdownWrite()
        try #require(awaitReady(pair.far))
        #expect(pair.far.receiveAll() == Array("last".utf8))
        #expect(pair.far.receiveOnce().result == 0)
        #expect(pair.far.peek() == 0)
        #expect(pair.far.sendText("answer") == 6)
        try #require(awaitReady(pair.near))
        #expect(pair.near.receiveOnce().bytes == Array("answer".utf8))
        // We have said we send no more: an error as a value, and no SIGPIPE.
        #expect(pair.near.sendText("more") == -Int(EPIPE))
    }

    @Test(arguments: [Kind.v4, .v6])
    func resetIsNotAnEnd(_ kind: Kind) throws {
        let pair = try Listener.make(kind, "reset").connection()
        pair.resetFar()
        try #require(awaitReady(pair.near))
        #expect(pair.near.pendingError() == ECONNRESET)
        // Asking took the error; what is left is the end, and nothing can be sent.
        #expect(pair.near.receiveOnce().result == 0)
        #expect(pair.near.sendText("x") == -Int(EPIPE))

        let other = try Listener.make(kind, "reset").connection()
        other.resetFar()
        try #require(awaitReady(other.near))
        #expect(other.near.receiveOnce().result == -Int(ECONNRESET))
    }

    /// Unix sockets have no reset of their own: the peer sees one only for what it sent in vain.
    @Test func resetOnUnixNeedsUnreadBytes() throws {
        let listener = try Listener.unix("reset")
        let quiet = try listener.connection()
        quiet.resetFar()
        #expect(quiet.near.receiveOnce().result == 0)
        let unread = try listener.connection()
        #expect(unread.near.sendText("in vain") == 7)
        unread.resetFar()
        #expect(unread.near.receiveOnce().result == -Int(ECONNRESET))
    }

    @Test func refusedConnections() throws {
        // A port that was bound a moment ago, and whose listener is gone.
        var address = SocketAddress.ip(loopback4, port: 0)
        do { address = try Listener(address).address }
        let (socket, error) = Socket.connect(to: address)
        if error == EINPROGRESS {
            defer { socket.close() }
            try #require(awaitReady(socket, POLLOUT))
            #expect(socket.pendingError() == ECONNREFUSED)
        } else {
            #expect(error == ECONNREFUSED && socket == .none)
        }
        let missing = Socket.connect(to: .unix(path: "/tmp/weir-socket-test-none-\(getpid())"))
        #expect(missing.error == ENOENT && missing.socket == .none)
    }

    /// A Unix listener's full backlog starts nothing: it must not look like a connect under way.
    @Test func fullUnixBacklog() throws {
        let listener = try Listener.unix("backlog", backlog: 0)
        let first = Socket.connect(to: listener.address)
        defer { first.socket.close() }
        #expect(first.error == 0)
        let second = Socket.connect(to: listener.address)
        #expect(second.error == EAGAIN && second.socket == .none)
    }

    @Test func listenFailuresAreValues() throws {
        let listener = try Listener.unix("taken")
        guard case .failure(let error) = Socket.listen(on: listener.address, dualStack: false) else {
            Issue.record("a path in use was bound twice")
            return
        }
        #expect(error.code == EADDRINUSE && "\(error)".hasPrefix("bind: "))
        // 192.0.2.0/24 is for documentation: no interface has it.
        let foreign = SocketAddress.ip(IPAddress(v4: 0xc000_0201), port: 0)
        guard case .failure(let other) = Socket.listen(on: foreign, dualStack: false) else {
            Issue.record("a foreign address was bound")
            return
        }
        #expect(other.code == EADDRNOTAVAIL)
    }

    @Test func reusePortSharesAndItsAbsenceDoesNot() throws {
        let first = try Listener(.ip(loopback4, port: 0))
        let second = try Listener(first.address)
        #expect(second.address == first.address)
        guard case .failure(let error) = Socket.listen(on: first.address, dualStack: false, reusePort: false)
        else {
            Issue.record("bound without SO_REUSEPORT beside others")
            return
        }
        #expect(error.code == EADDRINUSE)
    }

    @Test func dualStackListenerSeesIPv4AsIPv4() throws {
        let any = SocketAddress.ip(IPAddress(high: 0, low: 0), port: 0)
        let socket = try Socket.listen(on: any, dualStack: true).get()
        defer { socket.close() }
        let port = try #require(socket.localAddress()).port
        let (client, _) = Socket.connect(to: .ip(loopback4, port: port))
        defer { client.close() }
        try #require(awaitReady(socket))
        let (server, peer, _) = socket.accept()
        defer { server.close() }
        #expect(peer == loopback4)
        // And without dualStack, IPv4 is not served there.
        let only6 = try Socket.listen(on: any, dualStack: false).get()
        defer { only6.close() }
        let port6 = try #require(only6.localAddress()).port
        let (refused, error) = Socket.connect(to: .ip(loopback4, port: port6))
        if error == EINPROGRESS {
            defer { refused.close() }
            try #require(awaitReady(refused, POLLOUT))
            #expect(refused.pendingError() == ECONNREFUSED)
        } else {
            #expect(error == ECONNREFUSED)
        }
    }

    @Test func aClosedDescriptorIsAnErrorEverywhere() {
        let gone = Socket.none
        #expect(gone.receiveOnce().result == -Int(EBADF))
        #expect(gone.sendText("x") == -Int(EBADF))
        #expect(gone.peek() == -Int(EBADF))
        // 0 would say: connected.
        #expect(gone.pendingError() == EBADF)
        #expect(gone.accept().socket.fd == -EBADF)
        #expect(gone.localAddress() == nil)
        #expect(!gone.set(SOL_SOCKET, SO_KEEPALIVE, 1))
    }

    @Test func shortWriteAndThenNone() throws {
        let pair = SocketPair(sendBytes: 4096)
        #expect(pair.near.fillUp() > 0)
        #expect(pair.near.sendText("x") == -Int(EAGAIN))
    }
}
