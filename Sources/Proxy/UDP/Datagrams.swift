// UDP: datagrams carried between clients and the endpoints of a service.
//
//     client ──▶ listener's socket ── recvmmsg ──▶ session ── sendmmsg ──▶ its own connected socket ──▶ endpoint
//            ◀── listener's socket ◀── sendmmsg ── answers ◀── recvmmsg ──
//
// accept → select → forward → record, once per session. A session is what a source (address and port)
// and the address it sent to have in common; its socket is connected, so the kernel takes answers from
// the endpoint alone and tells of its ICMP errors. The kernel's hash over the workers' sockets
// (SO_REUSEPORT) keeps a source with one worker. A batch of arrivals is sorted by session before it is
// sent on; answers of all sessions of a loop turn leave together.
//
// Nothing waits here: what cannot go now is dropped and counted, as a router would. Life and end of a
// session: DatagramSessions.swift.

import WeirBalancing
import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

typealias DatagramSessionPointer = UnsafeMutablePointer<DatagramSession>

/// What a worker keeps for UDP.
struct DatagramState: ~Copyable {
    var sessions: Slab<DatagramSession>
    var table: SessionTable
    /// From clients, one batch of one listener.
    let arrivals = DatagramBatch(wantsPeers: true)
    /// Arrivals of the session at hand, in their order.
    var list = DatagramList()
    let sender = DatagramSender()
    /// Sessions with arrivals in the batch.
    let touched = UnsafeMutablePointer<DatagramSessionPointer>.allocate(capacity: DatagramBatch.capacity)
    var touchedCount = 0
    /// The next arrival of the same session; -1 at the end.
    let next = UnsafeMutablePointer<Int32>.allocate(capacity: DatagramBatch.capacity)

    /// On their way to clients, sent at the end of the loop turn.
    let answers = DatagramBatch(wantsPeers: false)
    var answerCount = 0
    /// For each answer: the socket it leaves by (`.none`: it stays here) and where it is counted.
    let leavesBy = UnsafeMutablePointer<Socket>.allocate(capacity: DatagramBatch.capacity)
    /// And whose it is: neighbours of one session may leave as one message.
    let answerOf = UnsafeMutablePointer<Handle>.allocate(capacity: DatagramBatch.capacity)
    let countedIn = UnsafeMutablePointer<ListenerCell>.allocate(capacity: DatagramBatch.capacity)

    let sessionGate = LogGate()
    let socketGate = LogGate()

    /// - Parameter secret: random bits that nobody outside knows.
    init(sessionsMax: Int, secret: (UInt64, UInt64)) {
        sessions = Slab(countMax: sessionsMax)
        table = SessionTable(seed: secret)
    }

    deinit {
        touched.deallocate()
        next.deallocate()
        leavesBy.deallocate()
        countedIn.deallocate()
        answerOf.deallocate()
    }
}

extension Worker {
    // MARK: from clients

    /// A listener's socket has datagrams: one batch of them is taken. It is registered
    /// level-triggered: what is left is told of again, after the events of the others.
    func datagramsReady(_ handle: Handle) {
        let i = Int(handle.index)
        guard i < listening.count, listening[i].generation == handle.generation else { return }
        _ = forwardBatch(i)
    }

    /// Forwards what waits in sockets that a new snapshot no longer has, and ends them.
    func endDatagramSockets(before new: Snapshot) {
        for i in listening.indices {
            guard let sockets = listening[i].sockets, sockets.isDatagram,
                !new.listeners.contains(where: { $0?.sockets.contains { $0.id == sockets.id } ?? false })
            else { continue }
            var batchesLeft = Self.lastBatchesMax
            while batchesLeft > 0, forwardBatch(i) { batchesLeft -= 1 }
            endSocket(i)
        }
    }

    /// Batches read from a socket that ends: what a receive buffer holds, and not what a flood goes on adding.
    private static let lastBatchesMax = 256

    /// Forwards a batch of datagrams; false: there was none.
    private func forwardBatch(_ i: Int) -> Bool {
        guard let sockets = listening[i].sockets, let plan = snapshot.listeners[listening[i].listenerID],
            let traffic = plan.datagrams, let service = snapshot.services[traffic.serviceID]
        else { return false }
        let arrival = Arrival(
            listening: i, socket: sockets.socket(worker: index), listener: plan, plan: traffic.plan,
            service: service, own: sockets.address, cell: plan.metrics.cell(worker: index))
        let count = datagrams.arrivals.receive(from: arrival.socket, at: 0, count: DatagramBatch.capacity)
        if count <= 0 { return false }
        sort(count, arrival)
        for n in 0..<datagrams.touchedCount { forward(datagrams.touched[n], arrival) }
        datagrams.touchedCount = 0
        for n in 0..<count { datagrams.arrivals.clear(n) }
        return true
    }

    /// What the arrivals of one batch have in common.
    struct Arrival {
        let listening: Int
        let socket: Socket
        unowned(unsafe) let listener: ListenerPlan
        let plan: DatagramPlan
        unowned(unsafe) let service: ServicePlan
        /// Where the listener is bound.
        let own: SocketAddress
        let cell: ListenerCell
    }

    /// Puts each arrival into the chain of its session.
    private func sort(_ count: Int, _ arrival: Arrival) {
        var overflow = listening[arrival.listening].overflow
        for n in 0..<count {
            let local = datagrams.arrivals.control(n, overflow: &overflow)
            if datagrams.arrivals.count(n) > arrival.plan.bytesMax {
                arrival.cell.dropped(.tooLarge)
                continue
            }
            let peer = datagrams.arrivals.peer(n)
            var key = SessionKey(
                source: peer.address, local: local, listener: Int32(truncatingIfNeeded: arrival.listener.id),
                endpoint: -1, port: peer.port)
            if isOwn(key, arrival) {
                // Answering it would answer ourselves, without end.
                arrival.cell.dropped(.ownAddress)
                continue
            }
            if let session = session(&key, peer, arrival) { chain(n, session) }
        }
        if overflow != listening[arrival.listening].overflow {
            arrival.cell.dropped(
                .receiveQueueFull, Int(overflow &- listening[arrival.listening].overflow))
            listening[arrival.listening].overflow = overflow
        }
    }

    private func isOwn(_ key: SessionKey, _ arrival: Arrival) -> Bool {
        guard case .ip(let bound, let port) = arrival.own, key.port == port else { return false }
        return key.source == (key.local == .unspecified ? bound : key.local)
    }

    private func chain(_ n: Int, _ session: DatagramSessionPointer) {
        datagrams.next[n] = -1
        if session.pointee.firstArrival < 0 {
            session.pointee.firstArrival = Int32(n)
            datagrams.touched[datagrams.touchedCount] = session
            datagrams.touchedCount += 1
        } else {
            datagrams.next[Int(session.pointee.lastArrival)] = Int32(n)
        }
        session.pointee.lastArrival = Int32(n)
    }

    /// The session a datagram belongs to, a new one if need be; nil: dropped and counted.
    private func session(
        _ key: inout SessionKey, _ peer: DatagramPeer, _ arrival: Arrival
    ) -> DatagramSessionPointer? {
        if arrival.plan.isPerPacket { return sessionForPacket(&key, peer, arrival) }
        if let handle = datagrams.table.handle(of: key), let session = datagrams.sessions.pointer(handle) {
            return session
        }
        return openSession(key, peer, arrival)
    }

    /// Balancing per datagram: the endpoint comes first, and the session is the source's with that one.
    private func sessionForPacket(
        _ key: inout SessionKey, _ peer: DatagramPeer, _ arrival: Arrival
    ) -> DatagramSessionPointer? {
        var excluded = Excluded()
        guard let i = pick(arrival.service, excluded: &excluded) else {
            arrival.cell.dropped(.noEndpoint)
            return nil
        }
        let endpoint = arrival.service.endpoints[i]
        key.endpoint = Int32(truncatingIfNeeded: endpoint.id)
        if let handle = datagrams.table.handle(of: key), let session = datagrams.sessions.pointer(handle) {
            return session
        }
        return openSession(key, peer, arrival, endpoint: endpoint)
    }

    // MARK: to endpoints

    /// Sends a session's arrivals to its endpoint.
    private func forward(_ session: DatagramSessionPointer, _ arrival: Arrival) {
        datagrams.list.removeAll()
        var n = session.pointee.firstArrival
        session.pointee.firstArrival = -1
        while n >= 0 {
            datagrams.list.append(datagrams.arrivals.bytes(Int(n)), datagrams.arrivals.count(Int(n)))
            n = datagrams.next[Int(n)]
        }
        let count = datagrams.list.count
        var from = 0
        var refusals = 0
        var target = session
        while from < count {
            if target.pointee.socket.fd < 0, let reason = connect(target) {
                arrival.cell.dropped(reason, count - from)
                break
            }
            datagrams.sender.prepare(datagrams.list, from: from, segments: target.pointee.takesSegments)
            let sent = datagrams.sender.send(to: target.pointee.socket, from: 0)
            if sent > 0 {
                var gone = 0
                for m in 0..<sent { gone += datagrams.sender.datagrams(m) }
                account(target, from: from, count: gone, arrival.cell)
                from += gone
                continue
            }
            if datagrams.sender.datagrams(0) > 1, DatagramSender.blamesSegments(Int32(-sent)) {
                target.pointee.takesSegments = false
                continue
            }
            switch Int32(-sent) {
            case EINTR:
                continue
            case EAGAIN, ENOBUFS, ENOMEM:
                arrival.cell.dropped(.endpointBufferFull, count - from)
                from = count
            case EMSGSIZE:
                arrival.cell.dropped(.tooLarge)
                from += 1
            case let error:
                // Of a datagram sent before; this one has not gone yet, and another endpoint may have it.
                endpointFailed(target, error)
                refusals += 1
                if refusals > Excluded.capacity {
                    arrival.cell.dropped(.noEndpoint, count - from)
                    from = count
                } else if arrival.plan.isPerPacket {
                    var key = target.pointee.key
                    if let other = sessionForPacket(&key, target.pointee.client, arrival) {
                        target = other
                    } else {
                        // The first of them has just been counted.
                        arrival.cell.dropped(.noEndpoint, count - from - 1)
                        from = count
                    }
                }
            }
        }
        // One that never had an endpoint: nothing to remember, nothing to tell.
        if session.pointee.attempts == 0 { discard(session) }
        if target.pointee.attempts == 0 { discard(target) }
    }

    private func account(_ session: DatagramSessionPointer, from: Int, count: Int, _ cell: ListenerCell) {
        var bytes = 0
        for i in from..<from + count { bytes += datagrams.list.bytes(i) }
        // Where answers are promised, only answers keep a session: one whose endpoint is silent ends
        // however often its client asks.
        if session.pointee.owed == 0 { session.pointee.lastActiveMs = nowMs }
        session.pointee.owed += count * (session.pointee.responses ?? 0)
        session.pointee.datagramsIn &+= UInt64(count)
        session.pointee.bytesIn &+= UInt64(bytes)
        session.pointee.attemptBytesIn &+= UInt64(bytes)
        cell.datagramsReceived(count, bytes: bytes)
    }

    // MARK: to clients

    /// Datagrams taken from one session at a time, so that the others have their turn.
    private static let answersPerTurn = 64
    private static let answersPerCall = 16

    /// A session's socket has answers, or an error.
    func answersReady(_ session: DatagramSessionPointer) {
        guard session.pointee.state == .open else { return }
        let cell = session.pointee.listener.metrics.cell(worker: index)
        var error: Int32 = 0
        var taken = 0
        while session.pointee.socket.fd >= 0 {
            if datagrams.answerCount == DatagramBatch.capacity { sendAnswers() }
            let first = datagrams.answerCount
            let wanted = min(DatagramBatch.capacity - first, Self.answersPerCall)
            let count = datagrams.answers.receive(from: session.pointee.socket, at: first, count: wanted)
            if count < 0 {
                if count == -Int(EINTR) { continue }
                if count == -Int(EAGAIN) { break }
                // What was received before the error is still there: once more, for that.
                let isFirst = error == 0
                error = Int32(-count)
                if isFirst { continue }
                break
            }
            queue(session, first: first, count: count, cell)
            taken += count
            if count < wanted { break }
            if taken >= Self.answersPerTurn {
                goOnNextTurn(Token(kind: TokenKind.datagramSession, handle: session.pointee.handle))
                break
            }
        }
        if taken > 0 {
            session.pointee.lastActiveMs = nowMs
            session.pointee.owed = max(0, session.pointee.owed - taken)
            // It answers: whatever failed before is over.
            session.pointee.failure = .none
            session.pointee.excluded = Excluded()
        }
        if error != 0 {
            endpointFailed(session, error)
            // Nobody is left to go to: a session would only take up room.
            if session.pointee.excluded.count >= min(session.pointee.service.endpointCount, Excluded.capacity)
            {
                end(session, session.pointee.failure)
                return
            }
        }
        if taken > 0, session.pointee.owed == 0, (session.pointee.responses ?? 0) > 0 { end(session, .none) }
    }

    /// Addresses what came into the slots to the client.
    private func queue(_ session: DatagramSessionPointer, first: Int, count: Int, _ cell: ListenerCell) {
        for i in first..<first + count {
            let bytes = datagrams.answers.count(i)
            session.pointee.datagramsOut &+= 1
            datagrams.countedIn[i] = cell
            if bytes > session.pointee.bytesMax {
                cell.dropped(.tooLarge)
                datagrams.leavesBy[i] = .none
                continue
            }
            session.pointee.bytesOut &+= UInt64(bytes)
            session.pointee.attemptBytesOut &+= UInt64(bytes)
            datagrams.answers.address(i, to: session.pointee.client, from: session.pointee.key.local)
            datagrams.leavesBy[i] = session.pointee.answersBy
            datagrams.answerOf[i] = session.pointee.handle
        }
        datagrams.answerCount = first + count
    }

    /// Sends what has collected for clients. Called at the end of every loop turn.
    @inline(__always)
    func sendAnswers() {
        if datagrams.answerCount > 0 { sendCollectedAnswers() }
    }

    private func sendCollectedAnswers() {
        let count = datagrams.answerCount
        var i = 0
        while i < count {
            let socket = datagrams.leavesBy[i]
            var end = i + 1
            while end < count, datagrams.leavesBy[end] == socket { end += 1 }
            if socket.fd < 0 { i = end }
            while i < end { i += send(answers: i, to: end, by: socket) }
        }
        for n in 0..<count { datagrams.answers.clear(n) }
        datagrams.answerCount = 0
    }

    /// Sends answers of neighbouring slots by one socket: how many were dealt with.
    private func send(answers first: Int, to end: Int, by socket: Socket) -> Int {
        datagrams.sender.prepare(datagrams.answers, from: first, to: end, owners: datagrams.answerOf)
        let sent = datagrams.sender.send(to: socket, from: 0)
        if sent > 0 {
            var gone = 0
            for m in 0..<sent { gone += datagrams.sender.datagrams(m) }
            answersLeft(first, gone)
            return gone
        }
        let together = datagrams.sender.datagrams(0)
        switch Int32(-sent) {
        case EINTR:
            return 0
        case EAGAIN, ENOBUFS, ENOMEM:
            datagrams.countedIn[first].dropped(.clientBufferFull, end - first)
            return end - first
        case let error where together > 1 && DatagramSender.blamesSegments(error):
            return sendOneByOne(answers: first, together, by: socket)
        default:
            datagrams.countedIn[first].dropped(.clientUnreachable, together)
            return together
        }
    }

    /// For a way that takes no segments. All belong to one session.
    private func sendOneByOne(answers first: Int, _ count: Int, by socket: Socket) -> Int {
        let sent = max(0, datagrams.answers.send(to: socket, from: first, count: count))
        answersLeft(first, sent)
        // The first that did not go is counted; the rest has another try.
        if sent < count { datagrams.countedIn[first].dropped(.clientUnreachable) }
        return min(sent + 1, count)
    }

    private func answersLeft(_ first: Int, _ count: Int) {
        for n in first..<first + count {
            datagrams.countedIn[n].datagramsSent(1, bytes: datagrams.answers.count(n))
        }
    }
}
