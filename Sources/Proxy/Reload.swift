// A new configuration: the worker makes its snapshot the current one between two turns of the loop.
//
// What began under an old snapshot ends under it: exchanges hold a lease, and a snapshot goes with its last
// one. Connections of listeners that are gone are closed as soon as they are quiet.

import Reactor
import Synchronization

extension Worker {
    /// Makes a snapshot the current one and listens where it says.
    func adopt(_ new: Snapshot) {
        // Answers under way are for sockets and plans of the old one.
        sendAnswers()
        let previous = snapshot
        if new !== snapshot {
            let old = lease
            lease = .allocate(capacity: 1)
            lease.initialize(to: SnapshotLease(snapshot: .passRetained(new), users: 0, isCurrent: true))
            snapshot = new
            old.pointee.isCurrent = false
            oldLeases += 1
            giveUp(old)
        }
        while serviceStates.count < new.services.count { serviceStates.append(ServiceState()) }
        while fileRoots.count < new.services.count { fileRoots.append(FileRoot()) }
        for (id, service) in new.services.enumerated() where service?.files == nil { fileRoots[id].forget() }
        for (id, service) in new.services.enumerated() {
            if let service {
                serviceStates[id].update(service, random: &random)
            } else {
                serviceStates[id] = ServiceState()
            }
        }
        for pool in 0..<pools.count { forgetIfGone(pool) }
        listen(to: new)
        withExtendedLifetime(previous) { followSnapshot() }
        for client in clientsOfRemovedListeners() { closeWhenQuiet(client) }
        status.generation.store(new.generation, ordering: .releasing)
        metrics.cell(worker: index).snapshot(generation: new.generation)
    }

    @inline(__always)
    func takeLease() -> UnsafeMutablePointer<SnapshotLease> {
        lease.pointee.users &+= 1
        return lease
    }

    @inline(__always)
    func giveBack(_ lease: UnsafeMutablePointer<SnapshotLease>) {
        lease.pointee.users &-= 1
        if !lease.pointee.isCurrent { giveUp(lease) }
    }

    private func giveUp(_ lease: UnsafeMutablePointer<SnapshotLease>) {
        if lease.pointee.users == 0 {
            lease.pointee.snapshot.release()
            lease.deallocate()
            oldLeases -= 1
        }
        status.oldSnapshots.store(oldLeases, ordering: .relaxed)
    }
}
