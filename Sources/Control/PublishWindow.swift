// When changes that nobody waits for become a snapshot: names whose addresses changed, certificates that were
// replaced.
//
// They come in bursts (a thousand names at the start, all certificates of a renewal), and each snapshot costs
// every worker a turn. So the first of them opens a window, and all that come within it go into one snapshot. What
// is urgent (nobody could be reached before) waits only where a window has just been closed. What an operator asks
// for never waits, and takes along whatever has gathered.

import Telemetry

/// The window. Plain data, time is a parameter (monotonic milliseconds).
struct PublishWindow {
    static let lengthMs: UInt64 = 100

    /// What the log says once a change is in effect.
    struct Note: Sendable {
        var message: String
        var pairs: Log.Pairs

        init(_ message: String, _ pairs: Log.Pairs) {
            self.message = message
            self.pairs = pairs
        }
    }

    /// When a snapshot is due; `.max`: nothing has changed.
    private(set) var dueMs = UInt64.max
    private var lastClosedMs: UInt64?
    private var notes: [Note] = []

    /// Something has changed that no snapshot has yet.
    mutating func changed(nowMs: UInt64, isUrgent: Bool = false, _ note: Note) {
        let wantedMs =
            isUrgent ? max(nowMs, lastClosedMs.map { $0 + Self.lengthMs } ?? 0) : nowMs + Self.lengthMs
        dueMs = min(dueMs, wantedMs)
        notes.append(note)
    }

    func isDue(nowMs: UInt64) -> Bool { nowMs >= dueMs }

    /// All that has changed so far goes into the snapshot that is made now: what comes from here on opens another
    /// window.
    /// - Parameter isOwn: it is made because the window is due.
    mutating func close(nowMs: UInt64, isOwn: Bool) -> [Note] {
        dueMs = .max
        if isOwn { lastClosedMs = nowMs }
        defer { notes = [] }
        return notes
    }
}
