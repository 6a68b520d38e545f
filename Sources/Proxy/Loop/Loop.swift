// The turn of the loop: events and timers to the rooms they are for, then what the turn has collected.

import Reactor
import Synchronization

extension TokenKind {
    static let mailbox: UInt8 = 5
    /// What waits for traffic to be seen.
    static let tick: UInt8 = 8
    static let pipes: UInt8 = 11
    static let retirement: UInt8 = 12
}

extension Handle {
    /// Of what there is one of.
    fileprivate static var first: Handle { Handle(index: 0, generation: 0) }
}

extension Worker {
    /// The thread's body; returns when told to stop, or when drained.
    public func run() {
        beginTurns()
        while !isStopping {
            let count = poller.wait(timeoutMs: patienceMs)
            turn(events: poller.events(count), now: time.monotonicNs())
        }
        endTurns()
    }

    /// Before the first turn.
    func beginTurns() {
        poller.registerReadable(mailbox.descriptor, Token(kind: TokenKind.mailbox, handle: .first))
        acceptTimer = timers.create(
            Token(kind: TokenKind.acceptPause, handle: .first))
        tickTimer = timers.create(Token(kind: TokenKind.tick, handle: .first))
        pipeTimer = timers.create(Token(kind: TokenKind.pipes, handle: .first))
        retireTimer = timers.create(
            Token(kind: TokenKind.retirement, handle: .first))
        adopt(snapshot)
    }

    /// How long to wait for events, when there are none.
    @inline(__always)
    var patienceMs: Int32 { unfinished.isEmpty ? timers.timeoutMs(nowMs: nowMs, limitMs: 60_000) : 0 }

    /// One turn: what happens in it follows from the events, from the time, and from what the worker and its sockets
    /// hold (docs/decisions/011-virtual-time.md).
    @inline(__always)
    func turn(events: PolledEvents, now startNs: UInt64) {
        nowNs = startNs
        nowMs = startNs / 1_000_000
        goOnWithUnfinished()
        for i in 0..<events.count {
            let event = events[i]
            withRoom(of: event.token) { $0.ready(self, event.token, event.readiness) }
            // Often enough for the times in records; reading the clock costs as much as parsing a field.
            if i & 7 == 7 { updateClock() }
        }
        updateClock()
        while let token = timers.nextExpired(nowMs: nowMs) {
            withRoom(of: token) { $0.expired(self, token) }
        }
        eachRoomWithTurns { $0.turnEnds(self) }
        buryTheDead()
        metrics.cell(worker: index).turn(busyNs: nowNs &- startNs)
        tellStatus()
        watchPipes()
        if isDraining { continueDraining() }
    }

    /// After the last turn.
    func endTurns() {
        closeEverything()
        log?.flush()
        status.isStopped.store(true, ordering: .releasing)
    }

    private func goOnWithUnfinished() {
        guard !unfinished.isEmpty else { return }
        let tokens = unfinished
        unfinished.removeAll(keepingCapacity: true)
        for token in tokens { withRoom(of: token) { $0.ready(self, token, []) } }
    }

    fileprivate func receive(_ message: WorkerMessage) {
        switch message {
        case .publish(let snapshot): adopt(snapshot)
        case .reweigh(let serviceID): serviceStates[serviceID].reweigh(random: &random)
        case .adopt(let fd, let peer, let port, let listenerID):
            admitConnection(Socket(fd: fd), peer: peer, port: port, listenerID: listenerID)
        case .drain: startDraining()
        case .stop: isStopping = true
        case .log(let new): log = new?.makeBuffer()
        case .answer(let ticket, let answer): answerCame(ticket, answer)
        }
    }

    /// Publishes what this worker holds, for status views.
    private func tellStatus() {
        status.exchanges.store(exchanges.count, ordering: .relaxed)
        status.tunnels.store(tunnels.count, ordering: .relaxed)
        status.sessions.store(datagrams.sessions.count, ordering: .relaxed)
        status.upstreams.store(upstreams.count, ordering: .relaxed)
        status.bufferBytes.store(buffers.bytesInUse, ordering: .relaxed)
        status.pipes.store(pipes.inUse, ordering: .relaxed)
        metrics.cell(worker: index).sizes(buffersInUse: buffers.bytesInUse, timers: timers.count)
    }

    /// How often pipes that were not needed meanwhile are closed.
    private static let pipesUnusedMs: UInt64 = 5_000

    /// While pipes are kept, they are looked at now and then.
    @inline(__always)
    private func watchPipes() {
        if pipeTimerIsArmed || pipes.idleCount == 0 { return }
        pipeTimerIsArmed = true
        timers.arm(pipeTimer, atMs: nowMs &+ Self.pipesUnusedMs)
    }

    fileprivate func tick() {
        tickIsArmed = false
        log?.flush()
    }

    fileprivate func closePipes() {
        pipeTimerIsArmed = false
        pipes.closeUnused()
    }

    /// Frees what was closed in this turn.
    func buryTheDead() {
        while let token = graveyard.popLast() { withRoom(of: token) { $0.bury(self, token) } }
    }
}

/// What belongs to the loop itself.
final class LoopRoom: Room {
    override var kinds: [UInt8] {
        [TokenKind.mailbox, TokenKind.tick, TokenKind.pipes, TokenKind.retirement]
    }

    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {
        for message in worker.mailbox.takeAll() { worker.receive(message) }
    }

    override func expired(_ worker: Worker, _ token: Token) {
        switch token.kind {
        case TokenKind.tick: worker.tick()
        case TokenKind.pipes: worker.closePipes()
        default: worker.retirementRang()
        }
    }
}
