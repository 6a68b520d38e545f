// Going away: no new work, an orderly end for what there is, and the end.
//
// Clients are told in the words of their protocol (Connection: close, GOAWAY, WebSocket close 1001) and
// given the time to hear it; what is still open when the control plane's patience ends is cut.

import Reactor
import WeirResilience
import Synchronization

extension Worker {
    private static let drainStepMs: UInt64 = 50

    func startDraining() {
        guard !isDraining else { return }
        isDraining = true
        status.isDraining.store(true, ordering: .releasing)
        drainStartedMs = nowMs
        for i in listening.indices { endSoon(i) }
        for room in rooms.all { room.beginDrain(self) }
        drainSweepMs = nowMs + Self.handshakesMs
        timers.arm(acceptTimer, atMs: drainSweepMs)
    }

    func continueDraining() {
        guard nowMs >= drainSweepMs else { return }
        drainSweepMs = nowMs + Self.drainStepMs
        timers.arm(acceptTimer, atMs: drainSweepMs)
        endListening()
        let elapsedMs = nowMs &- drainStartedMs
        for room in rooms.all { room.continueDrain(self, elapsedMs: elapsedMs) }
        buryTheDead()
        // A step at least: another worker may have handed a connection over just before it knew.
        if elapsedMs >= Self.drainStepMs, rooms.all.allSatisfy({ $0.isEmpty(self) }) {
            isStopping = true
        }
    }

    func closeEverything() {
        for room in rooms.all { room.closeEverything(self) }
        stopListening()
        for entry in retired { giveBack(entry.lease) }
        retired = []
        buryTheDead()
    }
}
