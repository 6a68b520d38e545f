// accept: a connection arrives at a worker.
//
// Every worker has its own socket per TCP listener (SO_REUSEPORT); the kernel spreads connections by
// hash, which can be uneven, so a worker that has clearly more than the least loaded one hands new
// connections over. When descriptors run out, accepting pauses, says so, and resumes: the backlog
// waits, nothing is refused.

import Glibc
import WeirProxyProtocol
import Reactor
import WeirResilience
import Telemetry

extension TokenKind {
    static let listener: UInt8 = 4
    /// Accepting goes on.
    static let acceptPause: UInt8 = 7
}

/// A listening socket this worker watches.
struct Listening {
    /// nil: the slot is free.
    var sockets: ListeningSockets?
    var listenerID: Int
    /// Of its tokens: whose room its events are for.
    var kind = TokenKind.listener
    var isPaused = false
    /// Tells events for this occupant of the slot from those for an earlier one.
    var generation: UInt32
    /// UDP: datagrams the kernel had to drop before they were read, as last told.
    var overflow: UInt32 = 0
    /// What has come until then is accepted, and then the sockets end; 0: they stay.
    var endsAtMs: UInt64 = 0
}

extension Worker {
    /// Connections taken per event, so that a flood of new ones does not starve those we have.
    private static let acceptBatch = 64
    private static let acceptPauseMs: UInt64 = 100

    // MARK: listening

    /// Listens where the snapshot says, and nowhere else.
    func listen(to snapshot: Snapshot) {
        var wanted: [Int: (sockets: ListeningSockets, listenerID: Int, kind: UInt8)] = [:]
        for plan in snapshot.listeners {
            guard let plan else { continue }
            // UDP sessions hear their clients through the listener's socket, to the end.
            for sockets in plan.sockets where !isDraining || sockets.isDatagram {
                let kind = sockets.isDatagram ? plan.traffic.datagramKind : TokenKind.listener
                wanted[sockets.id] = (sockets, plan.id, kind)
            }
        }
        for i in listening.indices {
            guard let sockets = listening[i].sockets else { continue }
            if let kept = wanted.removeValue(forKey: sockets.id) {
                // The same address may now belong to a listener of another name, or speak another protocol.
                listening[i].listenerID = kept.listenerID
                if listening[i].kind != kept.kind {
                    listening[i].kind = kept.kind
                    poller.deregister(sockets.socket(worker: index).fd)
                    watch(i)
                }
            } else {
                endSoon(i)
            }
        }
        for new in wanted.values {
            let i = listening.firstIndex { $0.sockets == nil } ?? listening.count
            if i == listening.count { listening.append(Listening(listenerID: 0, generation: 0)) }
            listening[i].sockets = new.sockets
            listening[i].listenerID = new.listenerID
            listening[i].kind = new.kind
            listening[i].isPaused = false
            listening[i].overflow = 0
            listening[i].endsAtMs = 0
            listening[i].generation = (listening[i].generation &+ 1) & Handle.generationMask
            watch(i)
        }
    }

    func stopListening() {
        for i in listening.indices { stopListening(i) }
    }

    private func stopListening(_ i: Int) {
        guard let sockets = listening[i].sockets else { return }
        poller.deregister(sockets.socket(worker: index).fd)
        listening[i].sockets = nil
        listening[i].endsAtMs = 0
    }

    private func watch(_ i: Int) {
        guard let sockets = listening[i].sockets else { return }
        poller.registerReadable(
            sockets.socket(worker: index).fd,
            Token(
                kind: listening[i].kind,
                handle: Handle(index: UInt32(i), generation: listening[i].generation)),
            exclusive: sockets.isShared)
    }

    // MARK: accepting

    func acceptReady(_ handle: Handle) {
        let i = Int(handle.index)
        guard i < listening.count, listening[i].generation == handle.generation,
            let sockets = listening[i].sockets
        else { return }
        let socket = sockets.socket(worker: index)
        let listenerID = listening[i].listenerID
        for _ in 0..<Self.acceptBatch {
            let accepted = socket.accept()
            if accepted.socket.fd >= 0 {
                place(accepted.socket, peer: accepted.peer, port: accepted.port, listenerID: listenerID)
                // The last descriptors are for the connections to endpoints.
                if accepted.socket.fd >= acceptDescriptorMax {
                    pauseAccepting(error: EMFILE)
                    return
                }
                continue
            }
            switch -accepted.socket.fd {
            case EMFILE, ENFILE, ENOBUFS, ENOMEM:
                pauseAccepting(error: -accepted.socket.fd)
                return
            case ECONNABORTED, EINTR:
                continue
            default:
                return
            }
        }
    }

    /// Sockets that are to end (`ListeningSockets.beginEnd`), by a reload or for good, are still accepted
    /// from for as long as handshakes may take.
    func endSoon(_ i: Int) {
        guard listening[i].sockets?.isDatagram == false, listening[i].endsAtMs == 0 else { return }
        listening[i].endsAtMs = nowMs + Self.handshakesMs
        wantRetirement(atMs: listening[i].endsAtMs)
    }

    /// Ends the sockets that are due.
    func endListening() {
        for i in listening.indices where listening[i].endsAtMs != 0 {
            if nowMs >= listening[i].endsAtMs {
                acceptTheRest(i)
            } else {
                wantRetirement(atMs: listening[i].endsAtMs)
            }
        }
    }

    /// The end of accepting: what waits in the backlog is taken, and then the socket ends, so that
    /// whoever comes later is refused at once (or reaches our successor) instead of waiting.
    private func acceptTheRest(_ i: Int) {
        guard let sockets = listening[i].sockets else { return }
        let socket = sockets.socket(worker: index)
        while case let accepted = socket.accept(), accepted.socket.fd >= 0 {
            status.connections.add(1, ordering: .relaxed)
            admitConnection(
                accepted.socket, peer: accepted.peer, port: accepted.port,
                listenerID: listening[i].listenerID)
        }
        endSocket(i)
    }

    /// Ends this worker's socket at once, whoever still holds a snapshot that names it: what comes later
    /// is for those who listen there now.
    func endSocket(_ i: Int) {
        let sockets = listening[i].sockets
        stopListening(i)
        sockets?.end(worker: index)
    }

    private func pauseAccepting(error: Int32) {
        for i in listening.indices where !listening[i].isPaused {
            guard let sockets = listening[i].sockets, !sockets.isDatagram else { continue }
            poller.deregister(sockets.socket(worker: index).fd)
            listening[i].isPaused = true
            listenerPlan(listening[i].listenerID)?.metrics.cell(worker: index).acceptPaused()
        }
        eventLog.limited(
            acceptGate, nowMs: nowMs, .warning,
            "accept paused: no descriptor left, connections wait in the backlog",
            ["error": String(cString: strerror(error))])
        timers.arm(acceptTimer, atMs: nowMs + Self.acceptPauseMs)
    }

    func resumeAccepting() {
        if isDraining { return }
        for i in listening.indices where listening[i].isPaused {
            listening[i].isPaused = false
            watch(i)
        }
    }

    /// Keeps the connection or gives it to a worker that has clearly fewer.
    private func place(_ socket: Socket, peer: IPAddress, port: UInt16, listenerID: Int) {
        let mine = status.connections.load(ordering: .relaxed)
        if peers.count > 1, mine >= 16 {
            var least = self
            var count = mine
            let generation = status.generation.load(ordering: .relaxed)
            for peer in peers {
                // Only to one that knows this listener, and will still be there.
                if peer.status.isDraining.load(ordering: .acquiring) { continue }
                if peer.status.generation.load(ordering: .acquiring) != generation { continue }
                let theirs = peer.status.connections.load(ordering: .relaxed)
                if theirs < count {
                    least = peer
                    count = theirs
                }
            }
            if mine > count + 8 + count / 8 {
                // Counted for it now, so that a burst is not all given to the same one.
                least.status.connections.add(1, ordering: .relaxed)
                listenerPlan(listenerID)?.metrics.cell(worker: index).handedOff()
                least.mailbox.send(.adopt(fd: socket.fd, peer: peer, port: port, listenerID: listenerID))
                return
            }
        }
        status.connections.add(1, ordering: .relaxed)
        admitConnection(socket, peer: peer, port: port, listenerID: listenerID)
    }

    /// Starts serving a connection that `status.connections` already counts.
    func admitConnection(_ socket: Socket, peer: IPAddress, port: UInt16, listenerID: Int) {
        guard let plan = listenerPlan(listenerID) else {
            turnAway(socket)
            return
        }
        plan.metrics.cell(worker: index).accepted()
        if plan.connectionsMax > 0, plan.metrics.cell(worker: index).active >= Int64(plan.connectionsMax) {
            plan.metrics.cell(worker: index).rejected()
            turnAway(socket)
            return
        }
        for room in rooms.all where room.serves(plan) {
            room.accept(self, socket, peer: peer, port: port, plan)
            return
        }
        // The name went from TCP to UDP while the connection was handed over.
        turnAway(socket)
    }

    /// Resets a connection that `status.connections` counts.
    func turnAway(_ socket: Socket) {
        status.connections.subtract(1, ordering: .relaxed)
        socket.closeWithReset()
    }
}

/// Listening sockets, and the times that go with them.
final class ListeningRoom: Room {
    override var kinds: [UInt8] { [TokenKind.listener, TokenKind.acceptPause] }

    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {
        worker.acceptReady(token.handle)
    }

    override func expired(_ worker: Worker, _ token: Token) {
        worker.resumeAccepting()
    }
}
