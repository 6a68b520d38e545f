// The ticket keys of the process: made here, changed when their time has come, kept over reloads.

import Reactor
import TLS

/// Ticket keys by lifetime. All listeners with the same lifetime share a ring: a ticket is tied to its
/// listener by the session's scope, not by the key.
public final class TicketKeeper: Sendable {
    private struct Entry {
        var keys: TicketKeys
        let ring: TicketKeyRing
    }
    private let entries = Locked<[Int64: Entry]>([:])

    public init() {}

    /// The ring for tickets of a lifetime; made with a first key when there is none.
    public func ring(lifetimeSeconds: Int64, nowSeconds: Int64) -> TicketKeyRing {
        entries.withLock { entries in
            if let entry = entries[lifetimeSeconds] { return entry.ring }
            var entry = Entry(keys: TicketKeys(periodSeconds: lifetimeSeconds), ring: TicketKeyRing())
            Self.rotate(&entry, nowSeconds: nowSeconds)
            entries[lifetimeSeconds] = entry
            return entry.ring
        }
    }

    /// Begins new keys where they are due.
    /// - Returns: when to call again, nil without rings; in the caller's seconds.
    public func rotate(nowSeconds: Int64) -> Int64? {
        entries.withLock { entries in
            for lifetime in entries.keys {
                guard var entry = entries[lifetime], entry.keys.needsRotation(nowSeconds: nowSeconds) else {
                    continue
                }
                Self.rotate(&entry, nowSeconds: nowSeconds)
                entries[lifetime] = entry
            }
            return entries.values.compactMap(\.keys.nextRotationSeconds).min()
        }
    }

    private static func rotate(_ entry: inout Entry, nowSeconds: Int64) {
        // Without random bytes there are no new tickets: full handshakes, and another try at the next tick.
        guard let key = TicketKeys.Key.random(sinceSeconds: nowSeconds) else { return }
        entry.keys.rotate(to: key)
        entry.ring.publish(entry.keys)
    }
}
