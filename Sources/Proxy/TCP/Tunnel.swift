// L4: a TCP connection carried to an endpoint of a service, byte for byte.
//
// accept → select → forward → record. This file has a tunnel's state, its beginning and its events;
// beside it, in the order of a connection's life: TunnelName (which service, by server name),
// TunnelHandshake (TLS), TunnelConnect (attempts), TunnelPump (bytes both ways), TunnelRecord (the end).

import WeirBalancing
import Glibc
import WeirProxyProtocol
import Reactor
import WeirResilience
import Synchronization
import TLS
import Telemetry

struct Tunnel {
    enum State: UInt8 { case proxyHeader, hello, handshake, connecting, upstreamHandshake, open, closed }
    enum Side { case client, upstream }

    let handle: Handle
    let timer: TimerID
    let listenerID: Int
    unowned(unsafe) let listener: ListenerPlan
    /// nil until the client's server name has chosen one. The lease keeps it.
    unowned(unsafe) var service: ServicePlan?
    unowned(unsafe) var counters: RouteMetrics
    let lease: UnsafeMutablePointer<SnapshotLease>
    var state: State
    var client: TunnelEnd
    var upstream = TunnelEnd(transport: .none)
    var peer: IPAddress
    var peerPort: UInt16
    var endpoint: Unmanaged<Endpoint>?
    /// Of the attempt at `endpoint`.
    var account = AttemptAccount()
    /// What broke one direction while the other was still being carried.
    var failure = Failure.none
    var excluded = Excluded()
    var attempts: UInt8 = 0
    var startNs: UInt64
    var sequence: UInt64
    var lastActiveMs: UInt64
    /// Bytes the client sent before the endpoint was connected, or behind its PROXY header.
    var early: BufferPointer?
    /// The server name of a ClientHello that was passed on, for the record; allocated.
    var serverName = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
}

typealias TunnelPointer = UnsafeMutablePointer<Tunnel>

extension Worker {
    // MARK: opening

    /// serviceID: nil where a server name is going to choose it.
    func openTunnel(_ socket: Socket, peer: IPAddress, port: UInt16, plan: ListenerPlan, serviceID: Int?) {
        // A listener that was removed is served with its last snapshot.
        let lease = takeLease(plan.id)
        let service = lease.pointee.snapshot._withUnsafeGuaranteedRef { snapshot in
            serviceID.flatMap { snapshot.services[$0] }
        }
        guard service != nil || serviceID == nil, let (tunnel, handle) = tunnels.allocate() else {
            giveBack(lease)
            plan.metrics.cell(worker: index).rejected()
            status.connections.subtract(1, ordering: .relaxed)
            socket.closeWithReset()
            return
        }
        sequence &+= 1
        let token = Token(kind: TokenKind.tunnelClient, handle: handle)
        tunnel.initialize(
            to: Tunnel(
                handle: handle, timer: timers.create(token), listenerID: plan.id, listener: plan,
                service: service, counters: plan.unrouted, lease: lease,
                state: plan.requiresProxyHeader ? .proxyHeader : .connecting,
                client: TunnelEnd(transport: Transport(socket)), peer: peer, peerPort: port, startNs: nowNs,
                sequence: sequence,
                lastActiveMs: nowMs))
        plan.metrics.cell(worker: index).connectionBegan()
        poller.register(socket.fd, token)
        if plan.requiresProxyHeader {
            timers.arm(tunnel.pointee.timer, atMs: nowMs + plan.headTimeoutMs)
        } else {
            beginTunnel(tunnel)
        }
    }

    /// TLS with the client where the listener wants it, or a look at its name; then the endpoint.
    private func beginTunnel(_ tunnel: TunnelPointer) {
        if tunnel.pointee.service == nil {
            beginHello(tunnel)
            return
        }
        guard let context = tunnel.pointee.listener.tls else {
            connectTunnel(tunnel)
            return
        }
        guard
            let session = TLSSession.server(
                context, socket: tunnel.pointee.client.transport.socket.fd, thread: tlsThread)
        else {
            close(tunnel, .limit(.memory, phase: .handshake, errno: ENOMEM))
            return
        }
        tunnel.pointee.client.transport.begin(session)
        tunnel.pointee.state = .handshake
        timers.arm(tunnel.pointee.timer, atMs: nowMs + tunnel.pointee.listener.headTimeoutMs)
        if let early = tunnel.pointee.early {
            // What came behind a PROXY header is already TLS.
            let isFed = session.feed(early.readable, early.count)
            buffers.give(early)
            tunnel.pointee.early = nil
            guard isFed else {
                close(tunnel, .limit(.memory, phase: .handshake, errno: ENOMEM))
                return
            }
            handshakeTunnel(tunnel)
        }
    }
    // MARK: events

    func tunnelReady(_ tunnel: TunnelPointer, _ readiness: Readiness, side: Tunnel.Side) {
        guard tunnel.pointee.state != .closed else { return }
        let readable = !readiness.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error])
        let ended = !readiness.isDisjoint(with: [.readHangUp, .hangUp, .error])
        switch side {
        case .client:
            if readable { tunnel.pointee.client.canRead = true }
            if ended { tunnel.pointee.client.sawEnd = true }
            if readable { tunnel.pointee.client.transport.becameReadable(hangUp: ended) }
        case .upstream:
            if readable { tunnel.pointee.upstream.canRead = true }
            if ended { tunnel.pointee.upstream.sawEnd = true }
            if readable { tunnel.pointee.upstream.transport.becameReadable(hangUp: ended) }
        }
        switch tunnel.pointee.state {
        case .closed:
            break
        case .proxyHeader:
            if side == .client { readTunnelHeader(tunnel) }
        case .hello:
            if side == .client { readHello(tunnel) }
        case .connecting:
            if side == .upstream, tunnel.pointee.upstream.transport.exists,
                !readiness.isDisjoint(with: [.writable, .error, .hangUp])
            {
                let error = tunnel.pointee.upstream.transport.pendingError()
                if error == 0 {
                    tunnelReached(tunnel)
                } else if tunnelAttemptFailed(tunnel, connectFailure(error)) {
                    connectTunnel(tunnel)
                }
            } else if side == .client && !readiness.isDisjoint(with: [.error, .hangUp]) {
                close(tunnel, Failure(.clientClosedDuringRequest, phase: .forward))
            }
        case .handshake:
            if side == .client { handshakeTunnel(tunnel) }
        case .upstreamHandshake:
            if side == .upstream {
                handshakeTunnelUpstream(tunnel)
            } else if !readiness.isDisjoint(with: [.error, .hangUp]) {
                close(tunnel, Failure(.clientClosedDuringRequest, phase: .forward))
            }
        case .open:
            pumpTunnel(tunnel)
        }
    }

    private func readTunnelHeader(_ tunnel: TunnelPointer) {
        let buffer = tunnel.pointee.early ?? buffers.take(ProxyHeader.bytesMax)
        tunnel.pointee.early = buffer
        let received = tunnel.pointee.client.transport.receive(buffer.writable, buffer.room, pool: &buffers)
        if received == -Int(EAGAIN) || received == -Int(EINTR) { return }
        if received <= 0 {
            close(tunnel, Failure(.clientClosedDuringRequest, phase: .accept, errno: Int32(-received)))
            return
        }
        buffer.pointee.end += UInt32(received)
        switch ProxyHeader.parse(buffer.readable, count: buffer.count) {
        case .needMore:
            break
        case .complete(let header, let consumed):
            if header.family == .ip {
                tunnel.pointee.peer = header.source
                tunnel.pointee.peerPort = header.sourcePort
            }
            buffer.pointee.start += UInt32(consumed)
            if buffer.count == 0 {
                buffers.give(buffer)
                tunnel.pointee.early = nil
            }
            beginTunnel(tunnel)
        case .malformed(let position):
            close(tunnel, Failure(.proxyHeaderMalformed, phase: .accept, position: Int32(position)))
        }
    }

    func tunnelDeadlinePassed(_ tunnel: TunnelPointer) {
        switch tunnel.pointee.state {
        case .closed:
            break
        case .proxyHeader:
            close(tunnel, Failure(.requestHeadTimeout, phase: .accept))
        case .hello:
            helloDeadlinePassed(tunnel)
        case .handshake:
            close(tunnel, Failure(.tlsHandshakeTimeout, phase: .handshake))
        case .connecting, .upstreamHandshake:
            if tunnelAttemptFailed(tunnel, Failure(.connectTimeout, phase: .forward, errno: ETIMEDOUT)) {
                connectTunnel(tunnel)
            }
        case .open:
            let dueMs = tunnel.pointee.lastActiveMs + tunnel.pointee.listener.idleTimeoutMs
            if nowMs >= dueMs {
                close(tunnel, Failure(.idleTimeout, phase: .forward))
            } else {
                timers.arm(tunnel.pointee.timer, atMs: dueMs)
            }
        }
    }
}
