// A new configuration: the worker makes its snapshot the current one between two turns of the loop.
//
// What began under an old snapshot ends under it: exchanges hold a lease, and a snapshot goes with its last
// one. So does a listener that is gone: what has come to it, and what its connections ask for before they
// have heard that it ends, is served as the last snapshot that had it says.

import Reactor
import Synchronization

extension Worker {
    private static let retiredSweepMs: UInt64 = 1_000

    /// Makes a snapshot the current one and listens where it says.
    func adopt(_ new: Snapshot) {
        // Answers under way, and datagrams that have come, are for sockets and plans of the old one.
        for room in rooms.all { room.prepare(self, for: new) }
        let previous = snapshot
        if new !== snapshot {
            let old = lease
            lease = .allocate(capacity: 1)
            lease.initialize(to: SnapshotLease(snapshot: .passRetained(new), users: 0, isCurrent: true))
            snapshot = new
            old.pointee.isCurrent = false
            oldLeases += 1
            // Held until those who need it have taken it.
            old.pointee.users += 1
            retireListeners(of: previous, old)
            giveBack(old)
        }
        while serviceStates.count < new.services.count { serviceStates.append(ServiceState()) }
        while fileRoots.count < new.services.count { fileRoots.append(FileRoot()) }
        for (id, service) in new.services.enumerated() where service?.files == nil { fileRoots[id].forget() }
        for (id, service) in new.services.enumerated() {
            if let service {
                serviceStates[id].follow(service, random: &random)
            } else {
                serviceStates[id] = ServiceState()
            }
        }
        listen(to: new)
        withExtendedLifetime(previous) {
            forgetGoneEndpoints(since: previous)
            for room in rooms.all { room.follow(self) }
        }
        status.generation.store(new.generation, ordering: .releasing)
        metrics.cell(worker: index).snapshot(generation: new.generation)
    }

    // MARK: listeners that are gone

    /// Keeps what the listeners need that the current snapshot no longer has, and begins their end.
    private func retireListeners(of previous: Snapshot, _ old: UnsafeMutablePointer<SnapshotLease>) {
        var ids: Set<Int> = []
        for (id, plan) in previous.listeners.enumerated() where plan != nil && snapshot.listeners[id] == nil {
            ids.insert(id)
            old.pointee.users += 1
            retired.append(
                RetiredListener(id: id, lease: old, idleEndMs: nowMs + Self.drainIdleGraceMs))
        }
        guard !ids.isEmpty else { return }
        for room in rooms.all { room.retire(self, listeners: ids) }
        wantRetirement(atMs: nowMs + Self.drainIdleGraceMs)
    }

    /// Ends sockets and connections of listeners that are gone, as they become due.
    func retirementRang() {
        retirementDueMs = .max
        endListening()
        guard !retired.isEmpty else { return }
        var used: Set<Int> = []
        for entry in listening where entry.sockets != nil { used.insert(entry.listenerID) }
        let idle = Set(retired.filter { nowMs >= $0.idleEndMs && isRetired($0.id) }.map(\.id))
        for room in rooms.all {
            room.closeIdle(self, listeners: idle)
            room.collectListeners(self, into: &used)
        }
        var kept: [RetiredListener] = []
        for entry in retired {
            // One that is back has the current snapshot's plan.
            if isRetired(entry.id), used.contains(entry.id) || nowMs < entry.idleEndMs {
                kept.append(entry)
            } else {
                giveBack(entry.lease)
            }
        }
        retired = kept
        if !kept.isEmpty { wantRetirement(atMs: nowMs + Self.retiredSweepMs) }
    }
}
