// How long an old snapshot is kept, and the listeners that only old ones have.

import Reactor
import Synchronization

/// A listener that a reload has taken away, while it still has connections.
struct RetiredListener {
    let id: Int
    /// Of the last snapshot that had it.
    let lease: UnsafeMutablePointer<SnapshotLease>
    /// Connections that have been idle since then are closed.
    let idleEndMs: UInt64
}

extension Worker {
    /// Whether a listener has gone: what its connections do next is their last.
    func isRetired(_ listenerID: Int) -> Bool { snapshot.listeners[listenerID] == nil }

    func retiredPlan(_ listenerID: Int) -> Lent<ListenerPlan>? {
        retiredLease(listenerID)?.pointee.snapshot._withUnsafeGuaranteedRef { $0.lentListeners[listenerID] }
    }

    private func retiredLease(_ listenerID: Int) -> UnsafeMutablePointer<SnapshotLease>? {
        // The newest of those that had it, should it have come and gone again.
        retired.last { $0.id == listenerID }?.lease
    }

    func listenerPlan(_ listenerID: Int) -> ListenerPlan? {
        guard listenerID < snapshot.listeners.count else { return nil }
        return snapshot.listeners[listenerID] ?? retiredPlan(listenerID)?.object
    }

    // MARK: leases

    /// A lease of the snapshot that has a listener: the current one, or the last that had it.
    @inline(__always)
    func takeLease(_ listenerID: Int) -> UnsafeMutablePointer<SnapshotLease> {
        var taken = lease
        if snapshot.lentListeners[listenerID] == nil, let last = retiredLease(listenerID) { taken = last }
        taken.pointee.users &+= 1
        return taken
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

    func wantRetirement(atMs: UInt64) {
        if retirementDueMs <= atMs { return }
        retirementDueMs = atMs
        timers.arm(retireTimer, atMs: atMs)
    }
}
