// Two ends of a socket pair with a TLS session on each, driven by hand in one thread.

import Glibc
import Testing

@testable import TLS

/// A server and a client session joined by a socket pair.
final class Pair {
    let thread = TLSThread()
    let clientThread: TLSThread
    var fds: [Int32] = [-1, -1]
    let server: TLSSession
    let client: TLSSession
    var nowMs: UInt64 = 10_000

    init(
        _ serverContext: TLSServerContext, _ clientContext: TLSClientContext, host: String? = "localhost",
        endpoint: Int = 1, clientThread: TLSThread = TLSThread()
    ) throws {
        self.clientThread = clientThread
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &fds) == 0)
        server = try #require(TLSSession.server(serverContext, socket: fds[0], thread: thread))
        client = try #require(
            TLSSession.client(
                clientContext, socket: fds[1], thread: clientThread, endpoint: endpoint, host: host))
    }

    deinit {
        server.free()
        client.free()
        for fd in fds where fd >= 0 { close(fd) }
    }

    /// Runs both handshakes as far as they go: the results of server and client.
    @discardableResult
    func handshake() -> (server: HandshakeResult, client: HandshakeResult) {
        var results: (server: HandshakeResult, client: HandshakeResult) = (.wantRead, .wantRead)
        for _ in 0..<20 {
            client.socketReadable()
            if results.client == .wantRead || results.client == .wantWrite {
                results.client = client.handshake()
            }
            server.socketReadable()
            if results.server == .wantRead || results.server == .wantWrite {
                results.server = server.handshake()
            }
        }
        return results
    }

    func send(_ text: String, from session: TLSSession) -> Int {
        var text = text
        return text.withUTF8 { bytes in
            bytes.baseAddress.map { session.write($0, bytes.count, nowMs: nowMs) } ?? 0
        }
    }

    /// What one read gives: text, or the negative result as a number.
    func receive(_ session: TLSSession) -> String {
        session.socketReadable()
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = session.read(&bytes, bytes.count)
        return count >= 0 ? String(decoding: bytes[0..<count], as: UTF8.self) : "\(count)"
    }

    /// Closes an end of the socket without a word.
    func cut(server isServer: Bool) {
        close(fds[isServer ? 0 : 1])
        fds[isServer ? 0 : 1] = -1
    }
}

extension TLSServerContext {
    static func make(
        _ certificates: [ServerCertificate], _ change: (inout Settings) -> Void = { _ in },
        nowSeconds now: Int64 = nowSeconds
    ) throws -> TLSServerContext {
        var settings = Settings()
        change(&settings)
        return try TLSServerContext(certificates, settings, nowSeconds: now)
    }
}

extension TLSClientContext {
    /// Trusts the shared CA.
    static func make(_ change: (inout Settings) -> Void = { _ in }) throws -> TLSClientContext {
        var settings = Settings()
        settings.authorities = try TestAuthority.shared.authorities()
        change(&settings)
        return try TLSClientContext(settings)
    }
}

extension HandshakeResult {
    var failure: TLSFailure? {
        if case .failed(let failure) = self { return failure }
        return nil
    }
}
