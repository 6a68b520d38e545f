// Going away: no new work, an orderly end for what there is, and the end.
//
// Clients are told in the words of their protocol (Connection: close, GOAWAY, WebSocket close 1001) and
// given the time to hear it; what is still open when the control plane's patience ends is cut.

import Reactor
import Resilience
import Synchronization

extension Worker {
    /// Connections that may bring another request are closed after it; a client that is just sending
    /// one finds us still here. Idle ones get a moment before they are closed.
    static let drainIdleGraceMs: UInt64 = 1_000
    private static let drainStepMs: UInt64 = 50

    func startDraining() {
        guard !isDraining else { return }
        isDraining = true
        status.isDraining.store(true, ordering: .releasing)
        drainStartedMs = nowMs
        for i in listening.indices { endSoon(i) }
        sessions.each {
            // One that ended earlier in this turn is still in its slot, and belongs to nobody.
            if let client = $0.pointee.client, client.pointee.session == $0 { shutDown($0) }
        }
        drainSweepMs = nowMs + Self.handshakesMs
        timers.arm(acceptTimer, atMs: drainSweepMs)
    }

    func continueDraining() {
        guard nowMs >= drainSweepMs else { return }
        drainSweepMs = nowMs + Self.drainStepMs
        timers.arm(acceptTimer, atMs: drainSweepMs)
        endListening()
        let elapsedMs = nowMs &- drainStartedMs
        exchanges.each {
            sayGoingAway($0)
            conclude($0)
        }
        if elapsedMs >= Self.drainIdleGraceMs { closeIdleClients() }
        endQuietSessions()
        // A step at least: another worker may have handed a connection over just before it knew.
        if elapsedMs >= Self.drainStepMs, clients.count == 0, tunnels.count == 0,
            datagrams.sessions.count == 0
        {
            isStopping = true
        }
    }

    private func closeIdleClients() {
        clients.each { closeIfIdle($0) }
        buryTheDead()
    }

    /// One whose next request is already here is served, and told to close.
    func closeIfIdle(_ client: ClientPointer) {
        if client.pointee.state == .idle, client.pointee.transport.peek() <= 0 { close(client) }
    }

    func closeEverything() {
        clients.each { endClient($0) }
        tunnels.each { close($0, Failure(.drainDeadline, phase: .forward)) }
        sendAnswers()
        endAllSessions(Failure(.drainDeadline, phase: .forward))
        for i in 0..<pools.count { closeIdle(pools[i]) }
        stopListening()
        for entry in retired { giveBack(entry.lease) }
        retired = []
        buryTheDead()
    }
}
