// How a tunnel ends, and the one record of it. An orderly end closes both sides in order; anything else
// resets them, so that neither takes what it has for complete. A client that was told why, by a TLS alert, is
// given the time to read it.

import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

extension Worker {
    /// - Parameters:
    ///   - clean: both sides got an orderly end; otherwise they get a reset.
    ///   - isTold: the client was sent an alert; so may be one whose TLS failed.
    func close(_ tunnel: TunnelPointer, _ failure: Failure, clean: Bool = false, isTold: Bool = false) {
        guard tunnel.pointee.state != .closed else { return }
        let wasOpen = tunnel.pointee.state == .open
        tunnel.pointee.state = .closed
        recordTunnel(tunnel, failure)
        endTunnelAttempt(tunnel, failure.reason)
        let isClean = clean || failure.reason == .none || failure.reason == .idleTimeout
        timers.remove(tunnel.pointee.timer)
        if !(isTold || tunnel.pointee.client.transport.isTold) || !lingerClient(tunnel) {
            closeEnd(&tunnel.pointee.client, clean: isClean)
            tunnel.pointee.listener.metrics.cell(worker: index).connectionEnded()
            status.connections.subtract(1, ordering: .relaxed)
        }
        if tunnel.pointee.upstream.transport.exists {
            closeEnd(&tunnel.pointee.upstream, clean: isClean)
            if wasOpen {
                tunnel.pointee.endpoint?._withUnsafeGuaranteedRef {
                    $0.metrics.cell(worker: index).connectionClosed()
                }
            }
        }
        if let early = tunnel.pointee.early { buffers.give(early) }
        tunnel.pointee.serverName.deallocate()
        tunnel.pointee.endpoint?.release()
        tunnel.pointee.endpoint = nil
        giveBack(tunnel.pointee.lease)
        bury(TokenKind.tunnelClient, tunnel.pointee.handle)
    }

    /// The client's socket goes on as a connection that lingers, and is counted as one; it has no pipe, as what
    /// is TLS, or held, is not spliced. False: no room for it.
    private func lingerClient(_ tunnel: TunnelPointer) -> Bool {
        guard let (client, handle) = clients.allocate() else { return false }
        let token = Token(kind: TokenKind.client, handle: handle)
        client.initialize(
            to: ClientConnection(
                transport: tunnel.pointee.client.transport, handle: handle, timer: timers.create(token),
                listenerID: tunnel.pointee.listenerID,
                metrics: .passRetained(tunnel.pointee.listener.metrics),
                peer: tunnel.pointee.peer, peerPort: tunnel.pointee.peerPort, state: .idle))
        tunnel.pointee.client.transport = .none
        poller.reregister(client.pointee.transport.socket.fd, token)
        closeTold(client)
        return true
    }

    private func closeEnd(_ end: inout TunnelEnd, clean: Bool) {
        if end.pipe.exists { pipes.give(end.pipe) }
        end.pipe = .none
        end.transport.close(reset: !clean, pool: &buffers)
    }

    private func recordTunnel(_ tunnel: TunnelPointer, _ failure: Failure) {
        tunnel.pointee.listener.metrics.cell(worker: index).streamEnded(
            bytesIn: tunnel.pointee.client.received, bytesOut: tunnel.pointee.upstream.received)
        let totalUs = (nowNs &- tunnel.pointee.startNs) / 1000
        if let service = tunnel.pointee.service { budgetFollows(serviceID: service.id) }
        tunnel.pointee.counters.cell(worker: index).requestEnded(
            status: 0, totalUs: totalUs, firstByteUs: 0, bytesIn: tunnel.pointee.client.received,
            bytesOut: tunnel.pointee.upstream.received, reason: failure.reason,
            attempts: tunnel.pointee.attempts)
        guard log != nil else { return }
        var record = RequestRecord()
        record.startUs = time.wallUs() &- totalUs
        record.totalUs = totalUs
        record.connectUs = UInt64(tunnel.pointee.account.connectUs)
        record.bytesIn = tunnel.pointee.client.received
        record.bytesOut = tunnel.pointee.upstream.received
        record.proto = "tcp"
        record.failure = failure
        record.attempts = tunnel.pointee.attempts
        record.clientIP = tunnel.pointee.peer
        record.clientPort = tunnel.pointee.peerPort
        record.id = RequestID(high: identity, low: tunnel.pointee.sequence)
        record.listener = tunnel.pointee.listener.name.bytes
        if let service = tunnel.pointee.service { record.service = service.name.bytes }
        record.worker = UInt16(index)
        if let endpoint = tunnel.pointee.endpoint {
            record.endpoint = endpoint._withUnsafeGuaranteedRef { $0.name.bytes }
        }
        record.name(tunnel.pointee.client.transport.tls)
        if let name = tunnel.pointee.client.transport.tls?.serverName {
            record.serverName = UnsafeBufferPointer(
                start: UnsafeRawPointer(name).assumingMemoryBound(to: UInt8.self), count: strlen(name))
        } else {
            record.serverName = UnsafeBufferPointer(tunnel.pointee.serverName)
        }
        appendRecord(record)
    }
}
