// Life and end of UDP sessions: opened by a first datagram, given an endpoint, recorded once.
//
// A session ends when all answers have come that `responses` promises, when nothing moved for the
// listener's `timeout.idle`, when a reload takes its listener, service or endpoint away, or with the
// worker. Its timer is armed when it opens and looked at when it fires: a datagram only stores a time.
// Everything a flood of sources could use up is bounded: sessions per listener, and the descriptors
// that are left for connections to endpoints; beyond it datagrams are dropped, counted, and logged
// once in a while. Sessions that exist are never given up for new sources, whose addresses may be
// forged.

import WeirBalancing
import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

/// The datagrams between one client and (with balancing per session) one endpoint at a time.
struct DatagramSession {
    enum State: UInt8 { case open, closed }

    let handle: Handle
    let timer: TimerID
    let key: SessionKey
    let sequence: UInt64
    let startNs: UInt64
    let client: DatagramPeer
    var state = State.open
    // The plans of the running configuration; a reload moves sessions to its own.
    unowned(unsafe) var listener: ListenerPlan
    unowned(unsafe) var service: ServicePlan
    var responses: Int?
    var bytesMax: Int
    /// The listening socket its datagrams come in and its answers go out by.
    let listening: Handle
    let answersBy: Socket
    /// Connected to the endpoint; `.none` before the first datagram and after a refusal.
    var socket = Socket.none
    var endpoint: Unmanaged<Endpoint>?
    /// Of the attempt at `endpoint`.
    var account = AttemptAccount()
    var attempts: UInt8 = 0
    /// Endpoints that refused since the last answer.
    var excluded = Excluded()
    /// Its place in the service, for `excluded`; -1 once a reload has changed the places.
    var endpointIndex = -1
    /// What the last endpoint did, until one answers.
    var failure = Failure.none
    var lastActiveMs: UInt64
    var datagramsIn: UInt64 = 0
    var datagramsOut: UInt64 = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0
    var attemptBytesIn: UInt64 = 0
    var attemptBytesOut: UInt64 = 0
    /// No message of several datagrams has been refused on the way to its endpoint.
    var takesSegments = true
    /// Answers still expected, where `responses` promises some.
    var owed = 0
    /// Its arrivals in the batch at hand; -1: none.
    var firstArrival: Int32 = -1
    var lastArrival: Int32 = -1

    /// The endpoint owes answers.
    var isUnanswered: Bool {
        switch responses {
        case nil: datagramsOut == 0
        default: owed > 0
        }
    }
}

extension Worker {
    // MARK: opening

    /// A session for a new source; nil: there is no room for it.
    /// - Parameter endpoint: with balancing per datagram, the one that was picked.
    func openSession(
        _ key: SessionKey, _ peer: DatagramPeer, _ arrival: Arrival, endpoint: Endpoint? = nil
    ) -> DatagramSessionPointer? {
        if isDraining {
            arrival.cell.dropped(.draining)
            return nil
        }
        guard arrival.cell.active < Int64(arrival.plan.sessionsMax),
            let (session, handle) = datagrams.sessions.allocate()
        else {
            arrival.cell.dropped(.sessionLimit)
            let name = arrival.listener.name
            eventLog.limited(
                datagrams.sessionGate, nowMs: nowMs, .warning,
                "no room for another UDP session, datagrams of new sources are dropped",
                ["listener": "\(name)"])
            return nil
        }
        sequence &+= 1
        let timer = timers.create(Token(kind: TokenKind.datagramSession, handle: handle))
        let slot = listening[arrival.listening]
        session.initialize(
            to: DatagramSession(
                handle: handle, timer: timer, key: key, sequence: sequence, startNs: nowNs, client: peer,
                listener: arrival.listener, service: arrival.service, responses: arrival.plan.responses,
                bytesMax: arrival.plan.bytesMax,
                listening: Handle(index: UInt32(arrival.listening), generation: slot.generation),
                answersBy: arrival.socket, endpoint: endpoint.map { .passRetained($0) },
                lastActiveMs: nowMs))
        datagrams.table.put(key, handle)
        timers.arm(timer, atMs: nowMs + arrival.listener.idleTimeoutMs)
        arrival.cell.connectionBegan()
        return session
    }

    /// Gives a session an endpoint and a socket connected to it; else why its datagrams are dropped.
    func connect(_ session: DatagramSessionPointer) -> DatagramDrop? {
        let service = session.pointee.service
        var triesLeft = max(1, min(service.endpointCount, Excluded.capacity))
        while triesLeft > 0 {
            triesLeft -= 1
            let endpoint: Endpoint
            if session.pointee.key.endpoint >= 0, let picked = session.pointee.endpoint {
                endpoint = picked._withUnsafeGuaranteedRef { $0 }
                triesLeft = 0
            } else if let i = pick(service, excluded: &session.pointee.excluded) {
                endpoint = service.endpoints[i]
                session.pointee.endpointIndex = i
            } else {
                return .noEndpoint
            }
            let (socket, error) = Socket.connectDatagram(to: endpoint.address)
            switch error {
            case 0:
                break
            case EMFILE, ENFILE, ENOBUFS, ENOMEM, EAGAIN, EADDRNOTAVAIL:
                return noSocket(error)
            default:
                beginAttempt(session, endpoint)
                endpointFailed(session, error)
                continue
            }
            // The last descriptors are for the connections to endpoints of HTTP and TCP.
            if socket.fd >= acceptDescriptorMax {
                socket.close()
                return noSocket(EMFILE)
            }
            let token = Token(kind: TokenKind.datagramSession, handle: session.pointee.handle)
            let refused = poller.registerArrivals(socket.fd, token)
            if refused != 0 {
                socket.close()
                return noSocket(refused)
            }
            session.pointee.socket = socket
            beginAttempt(session, endpoint)
            return nil
        }
        return .noEndpoint
    }

    private func noSocket(_ error: Int32) -> DatagramDrop {
        eventLog.limited(
            datagrams.socketGate, nowMs: nowMs, .warning,
            "no socket for a UDP session, its datagrams are dropped",
            ["error": String(cString: strerror(error))])
        return .noSocket
    }

    // MARK: endpoints

    private func beginAttempt(_ session: DatagramSessionPointer, _ endpoint: Endpoint) {
        if session.pointee.attempts == 0 {
            session.pointee.listener.metrics.cell(worker: index).accepted()
        }
        session.pointee.attempts = session.pointee.attempts == .max ? .max : session.pointee.attempts + 1
        let new = Unmanaged.passRetained(endpoint)
        session.pointee.endpoint?.release()
        session.pointee.endpoint = new
        session.pointee.attemptBytesIn = 0
        session.pointee.attemptBytesOut = 0
        attemptBegan(&session.pointee.account, endpoint)
    }

    private func endAttempt(_ session: DatagramSessionPointer, _ reason: Reason) {
        guard let endpoint = session.pointee.endpoint?._withUnsafeGuaranteedRef({ $0 }) else { return }
        attemptEnded(
            &session.pointee.account, endpoint, reason, bytesSent: session.pointee.attemptBytesIn,
            bytesReceived: session.pointee.attemptBytesOut)
    }

    /// How long an endpoint that refused rests: it is not asked by others while there is another: nobody repeats
    /// a lost datagram but its client, so not every new source should have to find out.
    private static let refusalMs: UInt64 = 1_000

    /// The endpoint refused (ICMP), or cannot be reached: the next datagram goes to another one.
    func endpointFailed(_ session: DatagramSessionPointer, _ error: Int32) {
        let failure = connectFailure(error)
        session.pointee.failure = failure
        // What it was asked is lost; the next endpoint owes nothing for that.
        session.pointee.owed = 0
        session.pointee.endpoint?._withUnsafeGuaranteedRef {
            $0.rest(untilMs: nowMs + Self.refusalMs)
        }
        if session.pointee.endpointIndex >= 0 {
            session.pointee.excluded.insert(session.pointee.endpointIndex)
        }
        endAttempt(session, failure.reason)
        if session.pointee.socket.fd >= 0 { session.pointee.socket.close() }
        session.pointee.socket = .none
        timers.arm(session.pointee.timer, atMs: nowMs + idleTimeoutMs(session))
    }

    // MARK: reload

    /// Moves every session to the plans of the snapshot that has just been adopted; those it has no
    /// place for end.
    func followSnapshot() {
        for session in openSessions() where !follow(session) {
            end(session, Failure(.configurationChanged, phase: .forward))
        }
    }

    /// For reloads and drains, not for the data path.
    private func openSessions() -> [DatagramSessionPointer] {
        if datagrams.sessions.count == 0 { return [] }
        var found: [DatagramSessionPointer] = []
        datagrams.sessions.each { if $0.pointee.state == .open { found.append($0) } }
        return found
    }

    private func follow(_ session: DatagramSessionPointer) -> Bool {
        let id = session.pointee.listener.id
        let slot = Int(session.pointee.listening.index)
        guard slot < listening.count, listening[slot].generation == session.pointee.listening.generation,
            listening[slot].sockets != nil, listening[slot].listenerID == id,
            id < snapshot.listeners.count, let listener = snapshot.listeners[id],
            let traffic = listener.datagrams, let service = snapshot.services[traffic.serviceID]
        else { return false }
        if service !== session.pointee.service {
            session.pointee.excluded = Excluded()
            session.pointee.endpointIndex = -1
            guard keepEndpoint(session, service) else { return false }
        }
        if session.pointee.listener !== listener {
            timers.arm(session.pointee.timer, atMs: session.pointee.lastActiveMs + listener.idleTimeoutMs)
        }
        session.pointee.listener = listener
        session.pointee.service = service
        session.pointee.responses = traffic.plan.responses
        session.pointee.bytesMax = traffic.plan.bytesMax
        return true
    }

    /// Whether the service still has the session's endpoint, under whatever name.
    private func keepEndpoint(_ session: DatagramSessionPointer, _ service: ServicePlan) -> Bool {
        guard let current = session.pointee.endpoint?._withUnsafeGuaranteedRef({ $0 }) else { return true }
        for (i, endpoint) in service.endpoints.enumerated() {
            if endpoint === current {
                session.pointee.endpointIndex = i
                return true
            }
            // A table of endpoints' ids cannot follow a new object; per datagram that is no loss.
            guard endpoint.address == current.address, session.pointee.key.endpoint < 0 else { continue }
            session.pointee.endpointIndex = i
            if session.pointee.account.isOpen {
                endAttempt(session, .none)
                beginAttempt(session, endpoint)
            }
            return true
        }
        // One that refused is no loss either.
        return !session.pointee.account.isOpen && session.pointee.key.endpoint < 0
    }

    // MARK: the end

    func sessionDeadlinePassed(_ session: DatagramSessionPointer) {
        guard session.pointee.state == .open else { return }
        let dueMs = session.pointee.lastActiveMs + idleTimeoutMs(session)
        if nowMs >= dueMs {
            end(session, idleFailure(session))
        } else {
            timers.arm(session.pointee.timer, atMs: dueMs)
        }
    }

    /// One whose endpoint refused is only kept so that its client's next datagram goes elsewhere.
    private static let refusedIdleMs: UInt64 = 10_000

    private func idleTimeoutMs(_ session: DatagramSessionPointer) -> UInt64 {
        let idleMs = session.pointee.listener.idleTimeoutMs
        return session.pointee.failure.reason == .none ? idleMs : min(idleMs, Self.refusedIdleMs)
    }

    /// How a session that went quiet is judged: only an endpoint that owed answers has failed.
    private func idleFailure(_ session: DatagramSessionPointer) -> Failure {
        if session.pointee.failure.reason != .none { return session.pointee.failure }
        return session.pointee.isUnanswered ? Failure(.upstreamSilent, phase: .forward) : .none
    }

    /// While draining, sessions that have been quiet for a moment are over; those that wait for an
    /// answer get longer.
    private static let drainQuietMs: UInt64 = 1_000
    private static let drainUnansweredMs: UInt64 = 5_000

    func endQuietSessions() {
        for session in openSessions() {
            let quietMs = nowMs &- session.pointee.lastActiveMs
            let limitMs = session.pointee.isUnanswered ? Self.drainUnansweredMs : Self.drainQuietMs
            if quietMs >= limitMs { end(session, idleFailure(session)) }
        }
    }

    func endAllSessions(_ failure: Failure) {
        for session in openSessions() { end(session, failure) }
    }

    func end(_ session: DatagramSessionPointer, _ failure: Failure) {
        guard session.pointee.state == .open else { return }
        record(session, failure)
        endAttempt(session, failure.reason)
        session.pointee.listener.metrics.cell(worker: index).sessionEnded()
        close(session)
    }

    /// Frees a session without a record.
    func discard(_ session: DatagramSessionPointer) {
        if session.pointee.state == .open { close(session) }
    }

    private func close(_ session: DatagramSessionPointer) {
        session.pointee.state = .closed
        timers.remove(session.pointee.timer)
        datagrams.table.forget(session.pointee.key)
        if session.pointee.socket.fd >= 0 { session.pointee.socket.close() }
        session.pointee.socket = .none
        session.pointee.endpoint?.release()
        session.pointee.endpoint = nil
        session.pointee.listener.metrics.cell(worker: index).connectionEnded()
        bury(TokenKind.datagramSession, session.pointee.handle)
    }

    private func record(_ session: DatagramSessionPointer, _ failure: Failure) {
        let listener = session.pointee.listener
        let service = session.pointee.service
        let totalUs = (nowNs &- session.pointee.startNs) / 1000
        listener.unrouted.cell(worker: index).requestEnded(
            status: 0, totalUs: totalUs, firstByteUs: 0, bytesIn: session.pointee.bytesIn,
            bytesOut: session.pointee.bytesOut, reason: failure.reason, attempts: session.pointee.attempts)
        guard log != nil else { return }
        var record = RequestRecord()
        record.startUs = time.wallUs() &- totalUs
        record.totalUs = totalUs
        record.bytesIn = session.pointee.bytesIn
        record.bytesOut = session.pointee.bytesOut
        record.datagramsIn = session.pointee.datagramsIn
        record.datagramsOut = session.pointee.datagramsOut
        record.proto = "udp"
        record.failure = failure
        record.attempts = session.pointee.attempts
        record.clientIP = session.pointee.key.source
        record.clientPort = session.pointee.key.port
        record.id = RequestID(high: identity, low: session.pointee.sequence)
        record.listener = listener.name.bytes
        record.service = service.name.bytes
        record.worker = UInt16(index)
        if let endpoint = session.pointee.endpoint {
            record.endpoint = endpoint._withUnsafeGuaranteedRef { $0.name.bytes }
        }
        appendRecord(record)
    }
}
