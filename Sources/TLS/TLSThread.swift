// What the TLS connections of one worker share: room to gather records in, and saved client sessions.
//
// Records of one write are gathered here and leave in one system call; a connection needs memory of
// its own for outgoing bytes only while its peer does not take them. Saved sessions are per thread, so
// that no lock is needed. Never shared between threads.

import COpenSSL

/// Belongs to one worker thread; every TLSSession of that worker is made with it and must not outlive it.
public final class TLSThread {
    /// Room for four full records with their overhead, and for what was held back before.
    static let stagingCapacity = 96 * 1024
    /// Saved sessions per endpoint: a server usually sends two.
    static let sessionsPerEndpointMax = 4
    /// Endpoints with saved sessions; with more all are forgotten, at the cost of full handshakes.
    static let endpointsMax = 4096

    let staging: UnsafeMutablePointer<UInt8>
    var stagedCount = 0
    /// Where small pieces become one record.
    let plaintext: UnsafeMutablePointer<UInt8>
    static let plaintextCapacity = 16 * 1024

    private struct Saved {
        var contextID: UInt64
        var sessions: [OpaquePointer]
    }
    private var saved: [Int: Saved] = [:]

    public init() {
        staging = .allocate(capacity: Self.stagingCapacity)
        plaintext = .allocate(capacity: Self.plaintextCapacity)
    }

    deinit {
        forgetSessions()
        staging.deallocate()
        plaintext.deallocate()
    }

    /// Forgets every saved session.
    public func forgetSessions() {
        for entry in saved.values { for session in entry.sessions { SSL_SESSION_free(session) } }
        saved = [:]
    }

    /// A session to offer to an endpoint; the caller frees it. TLS 1.3 tickets are used once (RFC 8446
    /// §C.4): several connections with one ticket could be linked by whoever watches.
    func takeSession(endpoint: Int, contextID: UInt64) -> OpaquePointer? {
        guard let entry = saved[endpoint] else { return nil }
        // Settings changed, or another endpoint has this number now: what was verified then says nothing.
        if entry.contextID != contextID {
            forget(endpoint)
            return nil
        }
        // Its connection may have failed after it was saved.
        while let session = saved[endpoint]?.sessions.last, SSL_SESSION_is_resumable(session) != 1 {
            SSL_SESSION_free(session)
            saved[endpoint]?.sessions.removeLast()
        }
        guard let session = saved[endpoint]?.sessions.last else { return nil }
        if SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION {
            saved[endpoint]?.sessions.removeLast()
        } else {
            SSL_SESSION_up_ref(session)
        }
        return session
    }

    /// Keeps a session; takes over the caller's reference.
    func save(_ session: OpaquePointer, endpoint: Int, contextID: UInt64) {
        if let entry = saved[endpoint], entry.contextID != contextID { forget(endpoint) }
        if saved.count >= Self.endpointsMax, saved[endpoint] == nil { forgetSessions() }
        var entry = saved.removeValue(forKey: endpoint) ?? Saved(contextID: contextID, sessions: [])
        if entry.sessions.count >= Self.sessionsPerEndpointMax {
            SSL_SESSION_free(entry.sessions.removeFirst())
        }
        entry.sessions.append(session)
        saved[endpoint] = entry
    }

    private func forget(_ endpoint: Int) {
        for session in saved.removeValue(forKey: endpoint)?.sessions ?? [] { SSL_SESSION_free(session) }
    }
}
