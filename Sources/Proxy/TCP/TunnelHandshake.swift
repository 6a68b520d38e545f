// TLS around a tunnel: ended for the client where the listener has it, begun towards the endpoint where
// the service has it. Either works without the other; what is inside is carried as it is.

import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience
import TLS

extension Worker {

    func handshakeTunnel(_ tunnel: TunnelPointer) {
        guard let session = tunnel.pointee.client.transport.tls else { return }
        switch session.handshake() {
        case .wantRead, .wantWrite:
            break
        case .failed(let failure):
            close(
                tunnel,
                Failure(Reason(handshake: failure.reason), phase: .handshake, errno: failure.systemError))
        case .done:
            tunnel.pointee.client.canRead = true
            connectTunnel(tunnel)
        }
    }

    /// TCP with the endpoint stands; TLS is next where the service wants it.
    func tunnelReached(_ tunnel: TunnelPointer) {
        guard let service = tunnel.pointee.service, let context = service.tls else {
            tunnelConnected(tunnel)
            return
        }
        // Who the client is, is told before anything is encrypted.
        var writer = ByteWriter(output, capacity: outputBytes)
        writeProxyHeader(tunnel, service, &writer)
        if writer.count > 0 {
            _ = tunnel.pointee.upstream.transport.send(output, writer.count, pool: &buffers, nowMs: nowMs)
        }
        guard let endpoint = tunnel.pointee.endpoint?._withUnsafeGuaranteedRef({ $0 }),
            let session = TLSSession.client(
                context, socket: tunnel.pointee.upstream.transport.socket.fd, thread: tlsThread,
                endpoint: endpoint.id, host: endpoint.host)
        else {
            close(tunnel, .limit(.memory, phase: .forward, errno: ENOMEM))
            return
        }
        tunnel.pointee.upstream.transport.begin(session)
        tunnel.pointee.state = .upstreamHandshake
        timers.arm(tunnel.pointee.timer, atMs: nowMs + service.connectTimeoutMs)
        handshakeTunnelUpstream(tunnel)
    }

    func handshakeTunnelUpstream(_ tunnel: TunnelPointer) {
        guard let session = tunnel.pointee.upstream.transport.tls else { return }
        switch session.handshake() {
        case .wantRead, .wantWrite:
            break
        case .failed(let failure):
            let reason = Reason(upstreamHandshake: failure.reason)
            if tunnelAttemptFailed(tunnel, Failure(reason, phase: .forward, errno: failure.systemError)) {
                connectTunnel(tunnel)
            }
        case .done:
            tunnel.pointee.upstream.canRead = true
            tunnelConnected(tunnel)
        }
    }

}
