// Ticket keys where every worker's handshakes find them, and the sealing of tickets (RFC 5077 §4).
//
// The control plane publishes a new set; a handshake reads the current one through one atomic load.
// AES-256-CBC with HMAC-SHA-256, encrypt-then-MAC, which is what OpenSSL's ticket callback offers for
// TLS 1.2 and 1.3 alike. Key material is wiped when it is dropped.

import COpenSSL
import Glibc
import Synchronization

/// The ticket keys in effect, shared by all workers and by successive TLSServerContexts.
public final class TicketKeyRing: @unchecked Sendable {
    /// Keys that can be in effect at once.
    public static let keysMax = 4

    /// Memory layout: count (8 bytes), then keys of 80 bytes.
    private let current: Atomic<UnsafeMutableRawPointer?>
    /// Replaced tables, oldest first. A handshake looks at one for microseconds; it is wiped when so
    /// many replacements have passed.
    private var retired: [UnsafeMutableRawPointer] = []
    private static let retiredMax = 8
    private static let tableBytes = 8 + keysMax * TicketKeys.keyBytes

    /// A ring without keys: no ticket is sealed or opened.
    public init() { current = Atomic(nil) }

    deinit {
        Self.destroy(current.load(ordering: .acquiring))
        for table in retired { Self.destroy(table) }
    }

    /// Puts keys into effect, for handshakes that begin from now on. One caller at a time.
    public func publish(_ keys: TicketKeys) {
        let table = UnsafeMutableRawPointer.allocate(byteCount: Self.tableBytes, alignment: 8)
        memset(table, 0, Self.tableBytes)
        let used = keys.keys.prefix(Self.keysMax)
        table.storeBytes(of: used.count, as: Int.self)
        for (i, key) in used.enumerated() {
            key.bytes.withUnsafeBytes { bytes in
                if let base = bytes.baseAddress {
                    memcpy(table + 8 + i * TicketKeys.keyBytes, base, TicketKeys.keyBytes)
                }
            }
        }
        let old = current.exchange(table, ordering: .acquiringAndReleasing)
        guard let old else { return }
        retired.append(old)
        if retired.count > Self.retiredMax { Self.destroy(retired.removeFirst()) }
    }

    private static func destroy(_ table: UnsafeMutableRawPointer?) {
        guard let table else { return }
        OPENSSL_cleanse(table, tableBytes)
        table.deallocate()
    }

    // MARK: OpenSSL's callback

    /// Fetched once: looking algorithms up by name costs more than sealing a ticket.
    nonisolated(unsafe) private static let cipher: OpaquePointer? = EVP_CIPHER_fetch(nil, "AES-256-CBC", nil)

    /// Prepares the contexts for one ticket: 1 done, 2 done and a fresh ticket is due, 0 no such key, -1 failed.
    func prepare(
        _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer,
        _ mac: OpaquePointer, isSealing: Bool
    ) -> Int32 {
        guard let table = current.load(ordering: .acquiring) else { return 0 }
        let count = table.load(as: Int.self)
        if count == 0 { return 0 }
        var index = 0
        if isSealing {
            memcpy(name, table + 8, 16)
            if RAND_bytes(vector, 16) != 1 { return -1 }
        } else {
            while index < count, memcmp(table + 8 + index * TicketKeys.keyBytes, name, 16) != 0 { index += 1 }
            if index == count { return 0 }
        }
        let key = (table + 8 + index * TicketKeys.keyBytes).assumingMemoryBound(to: UInt8.self)
        let isReady = weir_mac_init_hmac_sha256(mac, key + 48, 32) == 1
        if !isReady { return -1 }
        let isKeyed =
            isSealing
            ? EVP_EncryptInit_ex2(cipher, Self.cipher, key + 16, vector, nil)
            : EVP_DecryptInit_ex2(cipher, Self.cipher, key + 16, vector, nil)
        if isKeyed != 1 { return -1 }
        return index == 0 ? 1 : 2
    }
}
