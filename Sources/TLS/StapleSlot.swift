// The OCSP response that goes with a certificate, where every worker's handshakes find it (RFC 6066 §8).
//
// The control plane publishes a new one; a handshake reads the current one through one atomic load, as
// with TicketKeyRing. A new response therefore changes no TLS context and no snapshot.

import COpenSSL
import Glibc
import Synchronization

/// What is stapled to one certificate; empty: nothing.
public final class StapleSlot: @unchecked Sendable {
    /// Memory layout: count (8 bytes), then the response.
    private let current: Atomic<UnsafeMutableRawPointer?>
    /// Replaced responses, oldest first. A handshake looks at one for microseconds; they are replaced
    /// seconds apart at least, and freed when so many replacements have passed.
    private var retired: [UnsafeMutableRawPointer] = []
    private static let retiredMax = 8

    /// - Parameter response: DER; empty: nothing is stapled.
    public init(_ response: [UInt8] = []) { current = Atomic(Self.table(response)) }

    deinit {
        current.load(ordering: .acquiring)?.deallocate()
        for table in retired { table.deallocate() }
    }

    /// Staples another response, or none, in handshakes that begin from now on. One caller at a time.
    public func publish(_ response: [UInt8]) {
        let old = current.exchange(Self.table(response), ordering: .acquiringAndReleasing)
        guard let old else { return }
        retired.append(old)
        if retired.count > Self.retiredMax { retired.removeFirst().deallocate() }
    }

    private static func table(_ response: [UInt8]) -> UnsafeMutableRawPointer? {
        if response.isEmpty { return nil }
        let table = UnsafeMutableRawPointer.allocate(byteCount: 8 + response.count, alignment: 8)
        table.storeBytes(of: response.count, as: Int.self)
        response.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { memcpy(table + 8, base, response.count) }
        }
        return table
    }

    /// Adds the response to a handshake, in OpenSSL's callback.
    func staple(_ ssl: OpaquePointer) -> Int32 {
        guard let table = current.load(ordering: .acquiring) else { return SSL_TLSEXT_ERR_NOACK }
        let count = table.load(as: Int.self)
        guard let copy = CRYPTO_malloc(count, nil, 0) else { return SSL_TLSEXT_ERR_NOACK }
        memcpy(copy, table + 8, count)
        // OpenSSL frees it.
        weir_ssl_set_status_response(ssl, copy, count)
        return SSL_TLSEXT_ERR_OK
    }
}
