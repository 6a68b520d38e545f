// The keys session tickets are sealed with, and when they change (RFC 5077 §5.5, RFC 8446 §4.6.1).
//
// Whoever has a ticket key can read every TLS 1.2 connection resumed with it, so keys must not live
// long; whoever throws them away at once makes every client pay for a full handshake. Hence: a new key
// seals for one period and still opens tickets for another. Time is a parameter.

import COpenSSL

/// A ring of ticket keys, newest first.
public struct TicketKeys: Sendable, Equatable {
    /// Random bytes a key is made of: name, cipher key (AES-256), MAC key (HMAC-SHA-256).
    public static let keyBytes = 80

    public struct Key: Sendable, Equatable {
        /// Name (16), cipher key (32), MAC key (32).
        public let bytes: [UInt8]
        /// When it began to seal, in seconds on whatever clock the owner uses.
        public let sinceSeconds: Int64

        /// A key of random bytes; nil when the system gives none.
        public static func random(sinceSeconds: Int64) -> Key? {
            var bytes = [UInt8](repeating: 0, count: TicketKeys.keyBytes)
            // The generator for secrets, which this module has for everything else it makes.
            guard RAND_priv_bytes(&bytes, Int32(bytes.count)) == 1 else { return nil }
            return Key(bytes, sinceSeconds: sinceSeconds)
        }

        /// Nil unless there are exactly 80 bytes.
        public init?(_ bytes: [UInt8], sinceSeconds: Int64) {
            guard bytes.count == TicketKeys.keyBytes else { return nil }
            self.bytes = bytes
            self.sinceSeconds = sinceSeconds
        }
    }

    /// Newest first; the first seals, all open.
    public private(set) var keys: [Key] = []
    /// How long one key seals, in seconds.
    public let periodSeconds: Int64

    /// - Parameter periodSeconds: 1 or more; a ticket opens for one to two periods.
    public init(periodSeconds: Int64) {
        self.periodSeconds = max(1, periodSeconds)
    }

    /// When `rotate` is due next; nil while there is no key, which is at once.
    public var nextRotationSeconds: Int64? { keys.first.map { $0.sinceSeconds + periodSeconds } }

    /// Whether a new key is due.
    public func needsRotation(nowSeconds: Int64) -> Bool {
        guard let due = nextRotationSeconds else { return true }
        return nowSeconds >= due
    }

    /// Begins a new key and drops those whose tickets are all too old.
    public mutating func rotate(to key: Key) {
        keys.insert(key, at: 0)
        prune(nowSeconds: key.sinceSeconds)
    }

    /// Drops keys that opened tickets for a whole period after they stopped sealing.
    public mutating func prune(nowSeconds: Int64) {
        var kept: [Key] = []
        for (i, key) in keys.enumerated() {
            // A key stops sealing when its follower begins.
            let until =
                i == 0 ? key.sinceSeconds + 2 * periodSeconds : keys[i - 1].sinceSeconds + periodSeconds
            if nowSeconds < until && kept.count < TicketKeyRing.keysMax { kept.append(key) }
        }
        keys = kept
    }
}
