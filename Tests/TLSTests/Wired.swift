// Two sessions with the test between them: it carries every byte, in pieces of its choice, and keeps a
// copy of what went by.

import Glibc
import Testing

@testable import TLS

final class Wired {
    let thread = TLSThread()
    let server: TLSSession
    let client: TLSSession
    /// What the server and the client sent, whole.
    private(set) var fromServer: [UInt8] = []
    private(set) var fromClient: [UInt8] = []
    private var toServer: [Int32] = [-1, -1]
    private var toClient: [Int32] = [-1, -1]

    init(_ serverContext: TLSServerContext, _ clientContext: TLSClientContext) throws {
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &toServer) == 0)
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &toClient) == 0)
        server = try #require(TLSSession.server(serverContext, socket: toServer[0], thread: thread))
        client = try #require(
            TLSSession.client(
                clientContext, socket: toClient[0], thread: thread, endpoint: 1, host: "localhost"))
    }

    deinit {
        server.free()
        client.free()
        for fd in toServer + toClient where fd >= 0 { close(fd) }
    }

    /// Carries at most `max` bytes each way; whether there were any.
    @discardableResult
    func carry(max count: Int = 65_536) -> Bool {
        let a = move(toClient[1], toServer[1], count, &fromClient)
        let b = move(toServer[1], toClient[1], count, &fromServer)
        if a { server.socketReadable() }
        if b { client.socketReadable() }
        return a || b
    }

    private func move(_ from: Int32, _ to: Int32, _ max: Int, _ log: inout [UInt8]) -> Bool {
        var bytes = [UInt8](repeating: 0, count: max)
        let count = recv(from, &bytes, max, Int32(MSG_DONTWAIT))
        guard count > 0 else { return false }
        log += bytes[0..<count]
        return send(to, bytes, count, 0) == count
    }

    /// Takes what was sent to the server so far off the wire, for a test to change.
    func steal() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = recv(toClient[1], &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return Array(bytes[0..<max(0, count)])
    }

    /// Puts bytes before the server as if the client had sent them.
    func inject(_ bytes: [UInt8]) {
        #expect(send(toServer[1], bytes, bytes.count, 0) == bytes.count)
        server.socketReadable()
    }

    /// Ends the client's direction of the wire.
    func cutClient() {
        _ = shutdown(toServer[1], Int32(SHUT_WR))
        server.socketReadable(hangUp: true)
    }

    /// Both handshakes with bytes carried in pieces.
    func handshake(pieces: Int = 65_536) -> (server: HandshakeResult, client: HandshakeResult) {
        var results: (server: HandshakeResult, client: HandshakeResult) = (.wantRead, .wantRead)
        var quiet = 0
        while quiet < 3 {
            if results.client == .wantRead || results.client == .wantWrite {
                results.client = client.handshake()
            }
            if results.server == .wantRead || results.server == .wantWrite {
                results.server = server.handshake()
            }
            quiet = carry(max: pieces) ? 0 : quiet + 1
        }
        return results
    }
}

/// Lengths of the application data records in a stream of records.
func applicationRecords(_ bytes: ArraySlice<UInt8>) -> [Int] {
    var lengths: [Int] = []
    var at = bytes.startIndex
    while at + 5 <= bytes.endIndex {
        let length = Int(bytes[at + 3]) << 8 | Int(bytes[at + 4])
        if bytes[at] == 23 { lengths.append(length) }
        at += 5 + length
    }
    return lengths
}
