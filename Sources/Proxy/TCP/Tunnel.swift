// L4: a TCP connection carried to an endpoint of a service, byte for byte.
//
// accept → select → forward → record. Small exchanges are copied through worker scratch; once a
// direction moves in bulk it is spliced through a pipe. Half-closes are passed on; a reset on one side
// becomes a reset on the other. A direction that the far side does not take stops being read.

import Balancing
import Glibc
import HTTPModel
import ProxyProtocol
import Reactor
import Resilience
import Synchronization
import TLS
import Telemetry

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

struct Tunnel {
    enum State: UInt8 { case proxyHeader, handshake, connecting, upstreamHandshake, open, closed }
    enum Side { case client, upstream }

    let handle: Handle
    let timer: TimerID
    let listenerID: Int
    let service: Unmanaged<ServicePlan>
    unowned(unsafe) let listener: ListenerPlan
    let lease: UnsafeMutablePointer<SnapshotLease>
    var state: State
    var client: TunnelEnd
    var upstream = TunnelEnd(transport: .none)
    var peer: IPAddress
    var peerPort: UInt16
    var endpoint: Unmanaged<Endpoint>?
    /// Counted with its endpoint, and not yet counted off.
    var attemptIsOpen = false
    /// What broke one direction while the other was still being carried.
    var failure = Failure.none
    var excluded = Excluded()
    var attempts: UInt8 = 0
    var connectUs: UInt64 = 0
    var startNs: UInt64
    var attemptNs: UInt64 = 0
    var sequence: UInt64
    var lastActiveMs: UInt64
    /// Bytes the client sent before the endpoint was connected, or behind its PROXY header.
    var early: BufferPointer?
}

typealias TunnelPointer = UnsafeMutablePointer<Tunnel>

extension Worker {
    // MARK: opening

    func openTunnel(_ socket: Socket, peer: IPAddress, port: UInt16, plan: ListenerPlan, serviceID: Int) {
        guard let service = snapshot.services[serviceID], let (tunnel, handle) = tunnels.allocate() else {
            plan.metrics.cell(worker: index).rejected()
            status.connections.subtract(1, ordering: .relaxed)
            socket.closeWithReset()
            return
        }
        sequence &+= 1
        let token = Token(kind: TokenKind.tunnelClient, handle: handle)
        tunnel.initialize(
            to: Tunnel(
                handle: handle, timer: timers.create(token), listenerID: plan.id,
                service: .passUnretained(service),
                listener: plan, lease: takeLease(),
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

    /// TLS with the client where the listener wants it, then the endpoint.
    private func beginTunnel(_ tunnel: TunnelPointer) {
        guard let context = tunnel.pointee.listener.tls else {
            connectTunnel(tunnel)
            return
        }
        guard
            let session = TLSSession.server(
                context, socket: tunnel.pointee.client.transport.socket.fd, thread: tlsThread)
        else {
            close(tunnel, Failure(.internalLimit, phase: .handshake, errno: ENOMEM))
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
                close(tunnel, Failure(.internalLimit, phase: .handshake, errno: ENOMEM))
                return
            }
            handshakeTunnel(tunnel)
        }
    }

    private func handshakeTunnel(_ tunnel: TunnelPointer) {
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
    private func tunnelReached(_ tunnel: TunnelPointer) {
        let service = tunnel.pointee.service._withUnsafeGuaranteedRef { $0 }
        guard let context = service.tls else {
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
            close(tunnel, Failure(.internalLimit, phase: .forward, errno: ENOMEM))
            return
        }
        tunnel.pointee.upstream.transport.begin(session)
        tunnel.pointee.state = .upstreamHandshake
        timers.arm(tunnel.pointee.timer, atMs: nowMs + service.connectTimeoutMs)
        handshakeTunnelUpstream(tunnel)
    }

    private func handshakeTunnelUpstream(_ tunnel: TunnelPointer) {
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

    private func writeProxyHeader(_ tunnel: TunnelPointer, _ service: ServicePlan, _ writer: inout ByteWriter)
    {
        guard let version = service.proxyProtocol else { return }
        let source = SocketAddress.ip(tunnel.pointee.peer, port: tunnel.pointee.peerPort)
        let destination = tunnel.pointee.client.transport.localAddress() ?? .unix(path: "")
        writer.append(ProxyHeader(source: source, destination: destination, version: version.rawValue))
    }

    private func connectTunnel(_ tunnel: TunnelPointer) {
        let service = tunnel.pointee.service._withUnsafeGuaranteedRef { $0 }
        while true {
            guard tunnel.pointee.excluded.count < max(min(service.endpointCount, Excluded.capacity), 1),
                let i = pick(service, excluded: &tunnel.pointee.excluded)
            else {
                close(tunnel, Failure(.nameUnresolved, phase: .select))
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
                close(tunnel, Failure(.internalLimit, phase: .forward, errno: refused))
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

    private func beginTunnelAttempt(_ tunnel: TunnelPointer, _ endpoint: Endpoint) {
        tunnel.pointee.attempts &+= 1
        tunnel.pointee.attemptNs = nowNs
        tunnel.pointee.endpoint?.release()
        tunnel.pointee.endpoint = .passRetained(endpoint)
        tunnel.pointee.attemptIsOpen = true
        endpoint.load.add(1, ordering: .relaxed)
        endpoint.metrics.cell(worker: index).attemptStarted()
    }

    private func endTunnelAttempt(_ tunnel: TunnelPointer, _ reason: Reason) {
        guard tunnel.pointee.attemptIsOpen,
            let endpoint = tunnel.pointee.endpoint?._withUnsafeGuaranteedRef({ $0 })
        else { return }
        tunnel.pointee.attemptIsOpen = false
        endpoint.load.subtract(1, ordering: .relaxed)
        endpoint.metrics.cell(worker: index).attemptEnded(
            reason: reason.side == .upstream ? reason : .none, bytesSent: tunnel.pointee.client.received,
            bytesReceived: tunnel.pointee.upstream.received)
    }

    /// A connect failed: true when another endpoint may be tried. Nothing of the client's was sent.
    private func tunnelAttemptFailed(_ tunnel: TunnelPointer, _ failure: Failure) -> Bool {
        let service = tunnel.pointee.service._withUnsafeGuaranteedRef { $0 }
        if tunnel.pointee.upstream.transport.exists {
            tunnel.pointee.upstream.transport.close(pool: &buffers)
            tunnel.pointee.upstream.transport = .none
        }
        if tunnel.pointee.excluded.count < min(service.endpointCount, Excluded.capacity),
            serviceStates[service.id].budget.tryCharge(at: nowMs)
        {
            endTunnelAttempt(tunnel, failure.reason)
            return true
        }
        close(tunnel, failure)
        return false
    }

    private func tunnelConnected(_ tunnel: TunnelPointer) {
        let service = tunnel.pointee.service._withUnsafeGuaranteedRef { $0 }
        tunnel.pointee.state = .open
        tunnel.pointee.connectUs = (nowNs &- tunnel.pointee.attemptNs) / 1000
        tunnel.pointee.endpoint?._withUnsafeGuaranteedRef {
            $0.metrics.cell(worker: index).connectionOpened(connectUs: tunnel.pointee.connectUs)
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

    // MARK: moving

    private func pumpTunnel(_ tunnel: TunnelPointer) {
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
                if error != 0 { return sinkBroke(tunnel, error, side) }
                if sink.pointee.transport.isBlocked { return true }
            }
            if source.pointee.pipe.count > 0 {
                let moved = source.pointee.pipe.drain(to: sink.pointee.transport.socket, more: false)
                if moved < 0 {
                    if moved == -Int(EAGAIN) || moved == -Int(EINTR) { return true }
                    return sinkBroke(tunnel, Int32(-moved), side)
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
            if error != 0 { return sinkBroke(tunnel, error, side) }
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

    private func failure(_ errno: Int32, ofClient: Bool) -> Failure {
        Failure(ofClient ? .clientClosedDuringResponse : .upstreamReset, phase: .forward, errno: errno)
    }

    /// Reading failed: that side is gone, and the other learns it by a reset.
    private func sourceBroke(_ tunnel: TunnelPointer, _ errno: Int32, _ side: Tunnel.Side) -> Bool {
        close(tunnel, failure(errno, ofClient: side == .client))
        return false
    }

    /// Writing failed: this direction is over, but what the far side sent before it left (the reason,
    /// often) is still carried. True: the tunnel lives on for that.
    private func sinkBroke(_ tunnel: TunnelPointer, _ errno: Int32, _ side: Tunnel.Side) -> Bool {
        let source = end(tunnel, side)
        let sink = end(tunnel, side == .client ? .upstream : .client)
        tunnel.pointee.failure = failure(errno, ofClient: side == .upstream)
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

    // MARK: the end

    /// clean: both sides got an orderly end; otherwise they get a reset.
    func close(_ tunnel: TunnelPointer, _ failure: Failure, clean: Bool = false) {
        guard tunnel.pointee.state != .closed else { return }
        let wasOpen = tunnel.pointee.state == .open
        tunnel.pointee.state = .closed
        recordTunnel(tunnel, failure)
        endTunnelAttempt(tunnel, failure.reason)
        let isClean = clean || failure.reason == .none || failure.reason == .idleTimeout
        timers.remove(tunnel.pointee.timer)
        closeEnd(&tunnel.pointee.client, clean: isClean)
        if tunnel.pointee.upstream.transport.exists {
            closeEnd(&tunnel.pointee.upstream, clean: isClean)
            if wasOpen {
                tunnel.pointee.endpoint?._withUnsafeGuaranteedRef {
                    $0.metrics.cell(worker: index).connectionClosed()
                }
            }
        }
        if let early = tunnel.pointee.early { buffers.give(early) }
        tunnel.pointee.endpoint?.release()
        tunnel.pointee.endpoint = nil
        tunnel.pointee.listener.metrics.cell(worker: index).connectionEnded()
        giveBack(tunnel.pointee.lease)
        status.connections.subtract(1, ordering: .relaxed)
        graveyard.tunnels.append(tunnel.pointee.handle)
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
        let service = tunnel.pointee.service._withUnsafeGuaranteedRef { $0 }
        serviceStates[service.id].budget.completed(at: nowMs)
        tunnel.pointee.listener.unrouted.cell(worker: index).requestEnded(
            status: 0, totalUs: totalUs, firstByteUs: 0, bytesIn: tunnel.pointee.client.received,
            bytesOut: tunnel.pointee.upstream.received, reason: failure.reason,
            attempts: tunnel.pointee.attempts)
        guard let log else { return }
        var record = RequestRecord()
        record.startUs = Clock.wallUs() &- totalUs
        record.totalUs = totalUs
        record.connectUs = tunnel.pointee.connectUs
        record.bytesIn = tunnel.pointee.client.received
        record.bytesOut = tunnel.pointee.upstream.received
        record.proto = "tcp"
        record.failure = failure
        record.attempts = tunnel.pointee.attempts
        record.clientIP = tunnel.pointee.peer
        record.clientPort = tunnel.pointee.peerPort
        record.id = RequestID(high: identity, low: tunnel.pointee.sequence)
        record.listener = tunnel.pointee.listener.name.bytes
        record.service = service.name.bytes
        record.worker = UInt16(index)
        if let endpoint = tunnel.pointee.endpoint {
            record.endpoint = endpoint._withUnsafeGuaranteedRef { $0.name.bytes }
        }
        log.append(record)
        wantTick()
    }
}
