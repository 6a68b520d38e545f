// How long an old snapshot lives.

/// Keeps a snapshot alive for the exchanges that started with it. Counted by one worker, so plain.
struct SnapshotLease {
    let snapshot: Unmanaged<Snapshot>
    var users: Int
    var isCurrent: Bool
}
