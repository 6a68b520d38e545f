// Carrying bytes both ways. Small exchanges are copied through worker scratch; once a direction moves in
// bulk it is spliced through a pipe. Half-closes are passed on. A direction that the far side does not
// take stops being read, so a slow receiver costs at most one block.

import Glibc
import Reactor
import WeirResilience

/// One side's end of a tunnel.
struct TunnelEnd {
    var transport: Transport
    var canRead = false
    /// The kernel has announced the end of what it sends.
    var sawEnd = false
    /// It has sent everything it will send.
    var ended = false
    /// We have told it that nothing more comes.
    var wasShut = false
    /// Bytes from it on their way to the other side, once spliced.
    var pipe = Pipe.none
    /// Bytes it has sent.
    var received: UInt64 = 0
    /// Whole reads in a row that filled the scratch: bulk, worth a pipe.
    var fullReads: UInt8 = 0
}

extension Worker {
    func pumpTunnel(_ tunnel: TunnelPointer) {
        tunnel.pointee.lastActiveMs = nowMs
        guard move(tunnel, .client), move(tunnel, .upstream) else { return }
        if tunnel.pointee.client.wasShut && tunnel.pointee.upstream.wasShut {
            close(tunnel, tunnel.pointee.failure, clean: true)
        }
    }

    /// One end's place in the slab: a pointer, because `close` reaches the same memory.
    private func end(_ tunnel: TunnelPointer, _ side: Tunnel.Side) -> UnsafeMutablePointer<TunnelEnd> {
        let offset = side == .client ? tunnelClientOffset : tunnelUpstreamOffset
        return UnsafeMutableRawPointer(tunnel).advanced(by: offset).assumingMemoryBound(to: TunnelEnd.self)
    }

    /// Moves what one side sends until it is empty or the other side full. False: the tunnel is closed.
    private func move(_ tunnel: TunnelPointer, _ side: Tunnel.Side) -> Bool {
        let source = end(tunnel, side)
        let sink = end(tunnel, side == .client ? .upstream : .client)
        let before = source.pointee.received
        while true {
            if sink.pointee.transport.isBlocked {
                let error = sink.pointee.transport.flush(pool: &buffers, nowMs: nowMs)
                if error != 0 { return tunnelSinkBroke(tunnel, error, side) }
                if sink.pointee.transport.isBlocked { return true }
            }
            if source.pointee.pipe.count > 0 {
                let moved = source.pointee.pipe.drain(to: sink.pointee.transport.socket, more: false)
                if moved < 0 {
                    if moved == -Int(EAGAIN) || moved == -Int(EINTR) { return true }
                    return tunnelSinkBroke(tunnel, Int32(-moved), side)
                }
                if source.pointee.pipe.count > 0 { continue }
            }
            if source.pointee.ended {
                if !sink.pointee.wasShut {
                    sink.pointee.wasShut = true
                    sink.pointee.transport.shutdownWrite(pool: &buffers)
                }
                return true
            }
            guard source.pointee.canRead else {
                // A pipe is only for bulk: a quiet direction gives it back.
                if source.pointee.pipe.exists {
                    pipes.give(source.pointee.pipe)
                    source.pointee.pipe = .none
                    source.pointee.fullReads = 1
                }
                return true
            }
            if source.pointee.received &- before >= UInt64(Self.turnBytesMax) {
                goOnNextTurn(Token(kind: TokenKind.tunnelClient, handle: tunnel.pointee.handle))
                return true
            }
            let isSpliced = source.pointee.pipe.exists
            let received =
                isSpliced
                ? source.pointee.pipe.fill(
                    from: source.pointee.transport.socket, Int(PipePool.capacityWanted))
                : source.pointee.transport.receive(input, Self.inputBytes, pool: &buffers)
            if received < 0 {
                source.pointee.canRead = false
                if received == -Int(EAGAIN) || received == -Int(EINTR) { continue }
                return sourceBroke(tunnel, Int32(-received), side)
            }
            if received == 0 {
                source.pointee.ended = true
                continue
            }
            source.pointee.received += UInt64(received)
            if isSpliced { continue }
            let error = sink.pointee.transport.send(input, received, pool: &buffers, nowMs: nowMs)
            if error != 0 { return tunnelSinkBroke(tunnel, error, side) }
            if received == Self.inputBytes {
                source.pointee.fullReads &+= 1
                if source.pointee.fullReads >= 2, source.pointee.transport.isPlainSocket,
                    sink.pointee.transport.isPlainSocket, let pipe = pipes.take()
                {
                    source.pointee.pipe = pipe
                }
            } else {
                source.pointee.fullReads = 0
                // A short read has emptied the socket, unless its end was announced before.
                source.pointee.canRead = source.pointee.sawEnd || source.pointee.transport.hasMore
            }
        }
    }

    private func tunnelFailure(_ errno: Int32, ofClient: Bool) -> Failure {
        Failure(ofClient ? .clientClosedDuringResponse : .upstreamReset, phase: .forward, errno: errno)
    }

    /// Reading failed: that side is gone, and the other learns it by a reset.
    private func sourceBroke(_ tunnel: TunnelPointer, _ errno: Int32, _ side: Tunnel.Side) -> Bool {
        close(tunnel, tunnelFailure(errno, ofClient: side == .client))
        return false
    }

    /// Writing failed: this direction is over, but what the far side sent before it left (the reason,
    /// often) is still carried. True: the tunnel lives on for that.
    private func tunnelSinkBroke(_ tunnel: TunnelPointer, _ errno: Int32, _ side: Tunnel.Side) -> Bool {
        let source = end(tunnel, side)
        let sink = end(tunnel, side == .client ? .upstream : .client)
        tunnel.pointee.failure = tunnelFailure(errno, ofClient: side == .upstream)
        sink.pointee.transport.forgetOutput(pool: &buffers)
        if source.pointee.pipe.exists {
            pipes.give(source.pointee.pipe)
            source.pointee.pipe = .none
        }
        sink.pointee.wasShut = true
        source.pointee.ended = true
        source.pointee.canRead = false
        sink.pointee.canRead = true
        return true
    }

}
