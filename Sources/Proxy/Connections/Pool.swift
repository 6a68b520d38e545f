// Connections to endpoints, kept open between requests: per worker, per endpoint, bounded.
//
// The most recently used idle connection is taken first, so that the rest can age out. An idle
// connection that becomes readable has been closed by the endpoint or has sent bytes nobody asked for:
// either way it is closed, never reused. The race that is left (the endpoint closes while the request
// is on its way) is answered by a free retry on a fresh connection (Phases/Forward.swift).

import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

/// One endpoint's connections in this worker.
struct EndpointPool {
    /// Idle connections, most recently used first.
    var first: UpstreamPointer?
    var last: UpstreamPointer?
    var idleCount = 0
    /// Connections that carry sessions.
    var firstSession: SessionPointer?
    /// All connections, idle or not.
    var connectionCount = 0
}

extension Worker {
    /// Makes room for an endpoint's pool.
    @inline(__always)
    func poolIndex(_ endpoint: Endpoint) -> Int {
        while pools.count <= endpoint.id { pools.append(EndpointPool()) }
        return endpoint.id
    }

    /// Takes an idle connection out of the pool.
    func takeIdle(_ endpoint: Endpoint) -> UpstreamPointer? {
        let i = poolIndex(endpoint)
        guard let upstream = pools[i].first else { return nil }
        unlink(upstream, i)
        // Its idle deadline must not run on: it would close a connection in use.
        clearDeadline(upstream)
        endpoint.metrics.cell(worker: index).idleTaken(reused: true)
        upstream.pointee.isReused = true
        upstream.pointee.state = .busy
        return upstream
    }

    /// Puts a connection whose response is complete into its pool, or closes it.
    func giveToPool(_ upstream: UpstreamPointer, reusable: Bool) {
        upstream.pointee.attempt = nil
        let idleMax = serviceStates[upstream.pointee.serviceID].idleConnectionsMax
        guard reusable, idleMax > 0, !upstream.pointee.peerEnded, !upstream.pointee.canRead,
            !upstream.pointee.transport.isBlocked, upstream.pointee.input == nil,
            !upstream.pointee.writeFailed,
            upstream.pointee.idleTimeoutMs > 0
        else {
            close(upstream)
            return
        }
        let i = upstream.pointee.endpoint._withUnsafeGuaranteedRef { poolIndex($0) }
        if pools[i].idleCount >= idleMax, let oldest = pools[i].last { close(oldest) }
        upstream.pointee.state = .idle
        upstream.pointee.next = pools[i].first
        upstream.pointee.previous = nil
        pools[i].first?.pointee.previous = upstream
        pools[i].first = upstream
        if pools[i].last == nil { pools[i].last = upstream }
        pools[i].idleCount += 1
        upstream.pointee.endpoint._withUnsafeGuaranteedRef { $0.metrics.cell(worker: index).idleAdded() }
        setDeadline(
            upstream, .idle,
            afterMs: min(
                upstream.pointee.idleTimeoutMs, serviceStates[upstream.pointee.serviceID].idleTimeoutMs))
    }

    private func unlink(_ upstream: UpstreamPointer, _ i: Int) {
        if let next = upstream.pointee.next {
            next.pointee.previous = upstream.pointee.previous
        } else {
            pools[i].last = upstream.pointee.previous
        }
        if let previous = upstream.pointee.previous {
            previous.pointee.next = upstream.pointee.next
        } else {
            pools[i].first = upstream.pointee.next
        }
        upstream.pointee.next = nil
        upstream.pointee.previous = nil
        pools[i].idleCount -= 1
    }

    /// Starts a connection. Returns it (connecting or connected), or the errno.
    func connect(_ endpoint: Endpoint, _ service: ServicePlan) -> Result<UpstreamPointer, SystemError> {
        let (socket, error) = Socket.connect(to: endpoint.address)
        if socket.fd < 0 { return .failure(SystemError(call: "connect", code: error)) }
        guard let (upstream, handle) = upstreams.allocate() else {
            socket.close()
            return .failure(SystemError(call: "connect", code: ENOBUFS))
        }
        let token = Token(kind: TokenKind.upstream, handle: handle)
        upstream.initialize(
            to: UpstreamConnection(
                transport: Transport(socket), handle: handle, timer: timers.create(token),
                endpoint: .passRetained(endpoint), serviceID: service.id,
                state: error == 0 ? .busy : .connecting, idleTimeoutMs: service.idleTimeoutMs, startNs: nowNs)
        )
        let i = poolIndex(endpoint)
        pools[i].connectionCount += 1
        let refused = poller.register(socket.fd, token)
        if refused != 0 {
            close(upstream)
            return .failure(SystemError(call: "epoll_ctl", code: refused))
        }
        if error != 0 { setDeadline(upstream, .connect, afterMs: service.connectTimeoutMs) }
        return .success(upstream)
    }

    /// Closes a connection in any state. Its attempt must already have let go of it, its session have ended.
    func close(_ upstream: UpstreamPointer) {
        guard upstream.pointee.state != .closed else { return }
        assert(upstream.pointee.attempt?.pointee.upstream != upstream)
        if upstream.pointee.transport.isStream {
            closeStream(upstream)
            return
        }
        let endpoint = upstream.pointee.endpoint._withUnsafeGuaranteedRef { $0 }
        let cell = endpoint.metrics.cell(worker: index)
        if upstream.pointee.state == .idle {
            unlink(upstream, endpoint.id)
            cell.idleTaken(reused: false)
        }
        if upstream.pointee.state != .connecting && upstream.pointee.state != .handshake {
            cell.connectionClosed()
        }
        pools[endpoint.id].connectionCount -= 1
        upstream.pointee.state = .closed
        upstream.pointee.attempt = nil
        if let input = upstream.pointee.input { buffers.give(input) }
        upstream.pointee.input = nil
        timers.remove(upstream.pointee.timer)
        upstream.pointee.transport.close(pool: &buffers)
        bury(TokenKind.upstream, upstream.pointee.handle)
        upstream.pointee.endpoint.release()
    }

    private func closeStream(_ upstream: UpstreamPointer) {
        upstream.pointee.state = .closed
        upstream.pointee.attempt = nil
        if let stream = upstream.pointee.transport.stream { bury(TokenKind.stream, stream.pointee.handle) }
        timers.remove(upstream.pointee.timer)
        upstream.pointee.transport.close(pool: &buffers)
        bury(TokenKind.upstream, upstream.pointee.handle)
        upstream.pointee.endpoint.release()
    }

    func closeIdle(_ pool: EndpointPool) {
        var next = pool.first
        while let upstream = next {
            next = upstream.pointee.next
            close(upstream)
        }
    }

    /// Closes the idle connections of endpoints that the current snapshot has no more: those of services whose plan
    /// is another than this worker had before, however many snapshots lie between.
    func forgetGoneEndpoints(since previous: Snapshot) {
        for (id, old) in previous.services.enumerated() {
            guard let old, snapshot.services[id] !== old else { continue }
            let kept = Set((snapshot.services[id]?.endpoints ?? []).map { ObjectIdentifier($0) })
            for endpoint in old.endpoints where !kept.contains(ObjectIdentifier(endpoint)) {
                forget(endpoint)
            }
        }
    }

    private func forget(_ endpoint: Endpoint) {
        guard endpoint.id < pools.count else { return }
        let pool = pools[endpoint.id]
        closeIdle(pool)
        var next = pool.firstSession
        while let session = next {
            next = session.pointee.nextInPool
            session.pointee.isShuttingDown = true
            session.mark()
        }
    }

    // MARK: deadlines

    @inline(__always)
    func setDeadline(_ upstream: UpstreamPointer, _ deadline: UpstreamConnection.Deadline, afterMs: UInt64) {
        upstream.pointee.deadline = deadline
        timers.arm(upstream.pointee.timer, atMs: nowMs &+ afterMs)
    }

    /// Something waits for the endpoint, or it has been seen taking.
    @inline(__always)
    func setWriteDeadline(_ upstream: UpstreamPointer, timeoutMs: UInt64) {
        upstream.pointee.taking.begin(at: nowMs)
        setDeadline(upstream, .write, afterMs: TakingClock.pauseMs(timeoutMs: timeoutMs))
    }

    @inline(__always)
    func clearDeadline(_ upstream: UpstreamPointer) {
        if upstream.pointee.deadline == .none { return }
        upstream.pointee.deadline = .none
        timers.disarm(upstream.pointee.timer)
    }

    // MARK: input

    /// Receives from an endpoint: bytes, 0 at the end (readErrno says how), -1 nothing now.
    func receive(_ upstream: UpstreamPointer, into: UnsafeMutablePointer<UInt8>, _ capacity: Int)
        -> Int
    {
        let received = upstream.pointee.transport.receive(into, capacity, pool: &buffers)
        if received > 0 {
            if received < capacity && !upstream.pointee.peerEnded && !upstream.pointee.transport.hasMore {
                upstream.pointee.canRead = false
            }
            return received
        }
        upstream.pointee.canRead = false
        if received == -Int(EAGAIN) || received == -Int(EINTR) { return -1 }
        upstream.pointee.peerEnded = true
        upstream.pointee.readErrno = received < 0 ? Int32(-received) : 0
        return 0
    }

    /// The service a connection was made for, as it is now.
    func currentService(_ upstream: UpstreamPointer) -> ServicePlan? {
        let id = upstream.pointee.serviceID
        return id < snapshot.services.count ? snapshot.services[id] : nil
    }
}
