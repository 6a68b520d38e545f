// From a service to an endpoint that takes the connection: attempts, the PROXY header, and what the
// client had sent by then.
//
// Nothing of the client's is sent before an endpoint is connected, so a failed attempt can always be
// repeated, as far as the service's retry budget goes.

import WeirBalancing
import Glibc
import WeirHTTPModel
import WeirProxyProtocol
import Reactor
import WeirResilience
import Synchronization

extension Worker {
    func writeProxyHeader(_ tunnel: TunnelPointer, _ service: ServicePlan, _ writer: inout ByteWriter) {
        guard let version = service.proxyProtocol else { return }
        let source = SocketAddress.ip(tunnel.pointee.peer, port: tunnel.pointee.peerPort)
        let destination = tunnel.pointee.client.transport.localAddress() ?? .unix(path: "")
        writer.append(ProxyHeader(source: source, destination: destination, version: version.rawValue))
    }

    func connectTunnel(_ tunnel: TunnelPointer) {
        guard let service = tunnel.pointee.service else { return }
        while true {
            guard let i = pick(service, excluded: &tunnel.pointee.excluded) else {
                close(tunnel, noEndpoint(service))
                return
            }
            tunnel.pointee.excluded.insert(i)
            let endpoint = service.endpoints[i]
            beginTunnelAttempt(tunnel, endpoint)
            let (socket, error) = Socket.connect(to: endpoint.address)
            if socket.fd < 0 {
                if tunnelAttemptFailed(tunnel, connectFailure(error)) { continue }
                return
            }
            tunnel.pointee.upstream = TunnelEnd(transport: Transport(socket))
            tunnel.pointee.state = .connecting
            let refused = poller.register(
                socket.fd, Token(kind: TokenKind.tunnelUpstream, handle: tunnel.pointee.handle))
            if refused != 0 {
                close(tunnel, .limit(.system, phase: .forward, errno: refused))
                return
            }
            if error == 0 {
                tunnelReached(tunnel)
            } else {
                timers.arm(tunnel.pointee.timer, atMs: nowMs + service.connectTimeoutMs)
            }
            return
        }
    }

    func beginTunnelAttempt(_ tunnel: TunnelPointer, _ endpoint: Endpoint) {
        tunnel.pointee.attempts &+= 1
        tunnel.pointee.endpoint?.release()
        tunnel.pointee.endpoint = .passRetained(endpoint)
        attemptBegan(&tunnel.pointee.account, endpoint)
    }

    func endTunnelAttempt(_ tunnel: TunnelPointer, _ reason: Reason) {
        guard let endpoint = tunnel.pointee.endpoint?._withUnsafeGuaranteedRef({ $0 }) else { return }
        attemptEnded(
            &tunnel.pointee.account, endpoint, reason, bytesSent: tunnel.pointee.client.received,
            bytesReceived: tunnel.pointee.upstream.received)
    }

    /// A connect failed: true when another endpoint may be tried. Nothing of the client's was sent.
    func tunnelAttemptFailed(_ tunnel: TunnelPointer, _ failure: Failure) -> Bool {
        guard let service = tunnel.pointee.service else { return false }
        if tunnel.pointee.upstream.transport.exists {
            tunnel.pointee.upstream.transport.close(pool: &buffers)
            tunnel.pointee.upstream.transport = .none
        }
        if Int(tunnel.pointee.attempts) < min(service.endpointCount, Excluded.capacity),
            takeFromBudget(service)
        {
            endTunnelAttempt(tunnel, failure.reason)
            return true
        }
        close(tunnel, failure)
        return false
    }

    func tunnelConnected(_ tunnel: TunnelPointer) {
        guard let service = tunnel.pointee.service else { return }
        tunnel.pointee.state = .open
        let connectUs = (nowNs &- tunnel.pointee.account.beganNs) / 1000
        tunnel.pointee.account.connectUs = UInt32(truncatingIfNeeded: connectUs)
        tunnel.pointee.endpoint?._withUnsafeGuaranteedRef {
            $0.metrics.cell(worker: index).connectionOpened(connectUs: connectUs)
        }
        tunnel.pointee.lastActiveMs = nowMs
        timers.arm(tunnel.pointee.timer, atMs: nowMs + tunnel.pointee.listener.idleTimeoutMs)
        var writer = ByteWriter(output, capacity: outputBytes)
        if service.tls == nil { writeProxyHeader(tunnel, service, &writer) }
        if let early = tunnel.pointee.early {
            writer.append(early.readable, early.count)
            tunnel.pointee.client.received += UInt64(early.count)
            buffers.give(early)
            tunnel.pointee.early = nil
        }
        if writer.count > 0 {
            let error = tunnel.pointee.upstream.transport.send(
                output, writer.count, pool: &buffers, nowMs: nowMs)
            if error != 0 {
                close(tunnel, Failure(.upstreamReset, phase: .forward, errno: error))
                return
            }
        }
        pumpTunnel(tunnel)
    }

}
