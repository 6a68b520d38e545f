// Ending a connection so that the client can still read what was sent: when it may be sending, closing at once
// would answer its bytes with a reset that can overtake our response (RFC 9112 §9.6). A stream is no different:
// many clients take RST_STREAM right behind the answer for the failure of both (RFC 9113 §8.1).

import Glibc
import Reactor
import WeirResilience

extension Worker {
    /// What a client may go on sending behind its answer. Clients look at an answer between two writes, and some
    /// only when all of their body is out: enough for what the buffers of a socket hold, and for a large form.
    private static let lingerMs: UInt64 = 2_000
    private static let lingerBytesMax: UInt32 = 16 << 20

    /// Whether the client may be sending, or has not been given all that was said to it.
    func isAwaited(_ client: ClientPointer) -> Bool {
        client.pointee.transport.stream.map { $0.mayCarryMore }
            ?? (client.pointee.transport.isBlocked || client.pointee.mustLinger || client.pointee.input != nil
                || client.pointee.canRead)
    }

    /// Closes, at once where nobody is waited for. The exchange or session must have ended.
    func closeGracefully(_ client: ClientPointer) {
        if !isAwaited(client) {
            close(client)
            return
        }
        client.pointee.state = .lingering
        if let input = client.pointee.input {
            buffers.give(input)
            client.pointee.input = nil
        }
        setDeadline(client, .linger, afterMs: Self.lingerMs)
        if !client.pointee.transport.isBlocked { finishLingeringOutput(client) }
        if client.pointee.isServing {
            // Whoever is on the stack may have taken this connection for drained.
            if client.pointee.canRead {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
            }
        } else {
            linger(client)
        }
    }

    /// Ends a connection whose client was told why, and is given the time to read it. Behind the alert of TLS that
    /// failed nothing can be sent; as no close_notify follows it, nothing is taken for complete.
    func closeTold(_ client: ClientPointer) {
        if client.pointee.transport.isTold { client.pointee.transport.forgetOutput(pool: &buffers) }
        client.pointee.mustLinger = true
        // What had come by then is not waited for: no event will tell of it.
        client.pointee.canRead = true
        closeGracefully(client)
    }

    func finishLingeringOutput(_ client: ClientPointer) {
        client.pointee.transport.shutdownWrite(pool: &buffers)
    }

    /// Throws away what the client still sends.
    func linger(_ client: ClientPointer) {
        var taken = 0
        while client.pointee.state == .lingering && client.pointee.canRead {
            if taken >= Self.turnBytesMax {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
                return
            }
            let received = client.pointee.transport.receiveUnread(input, Self.inputBytes, pool: &buffers)
            if received == -Int(EINTR) { continue }
            if received <= 0 {
                client.pointee.canRead = false
                if received != -Int(EAGAIN) { close(client) }
                return
            }
            taken += received
            client.pointee.lingerBytes += UInt32(received)
            if client.pointee.lingerBytes > Self.lingerBytesMax { close(client) }
        }
    }

    /// The client has been waited for: once more, or no longer.
    func lingerLonger(_ client: ClientPointer) {
        if let leftMs = lingerLeftMs(client) {
            setDeadline(client, .linger, afterMs: leftMs)
        } else {
            close(client)
        }
    }

    /// How long a client is still waited for; nil: no longer. The time of a stream begins when its answer has
    /// left: until then the client's windows may have held it up, which has a deadline of its own (`armSession`).
    private func lingerLeftMs(_ client: ClientPointer) -> UInt64? {
        guard let stream = client.pointee.transport.stream else { return nil }
        let endMs =
            (stream.pointee.session.session { $0.endSentMs(stream.pointee.id) } ?? nowMs) &+ Self.lingerMs
        return endMs > nowMs ? endMs &- nowMs : nil
    }
}
