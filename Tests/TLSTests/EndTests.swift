// How connections end, and what happens when a peer does not read.

import COpenSSL
import Glibc
import Testing

@testable import TLS

@Suite("Ends and pressure")
struct EndTests {
    private func pair() throws -> Pair {
        let pair = try Pair(.make([TestAuthority.shared.identity(["localhost"])]), .make())
        let results = pair.handshake()
        #expect(results.server == .done && results.client == .done)
        return pair
    }

    @Test("close_notify is an orderly end")
    func closeNotify() throws {
        let pair = try pair()
        #expect(pair.send("last words", from: pair.client) == 10)
        #expect(pair.client.shutdown() == 0)
        pair.cut(server: false)
        #expect(pair.receive(pair.server) == "last words")
        #expect(pair.receive(pair.server) == "")
        #expect(pair.receive(pair.server) == "")
        #expect(pair.server.failure == nil)
        // The other direction is still open (RFC 8446 §6.1), if the socket were.
        #expect(pair.server.shutdown() == 0)
    }

    @Test("an end without close_notify is a truncation")
    func truncation() throws {
        let pair = try pair()
        #expect(pair.send("last wor", from: pair.client) == 8)
        pair.cut(server: false)
        #expect(pair.receive(pair.server) == "last wor")
        #expect(pair.receive(pair.server) == "\(-EPROTO)")
        #expect(pair.server.failure?.reason == .truncated)
        #expect(pair.server.failure?.isTold == false)
        #expect(ERR_peek_error() == 0)
    }

    @Test("who was sent an alert was told why, who sent one or left was not")
    func told() {
        #expect(TLSFailure(.badRecord, alert: 20).isTold)
        #expect(TLSFailure(.plainHTTPReceived).isTold)
        #expect(!TLSFailure(.alertReceived, alert: 42, isAlertReceived: true).isTold)
        #expect(!TLSFailure(.tooManyKeyUpdates).isTold)
        #expect(!TLSFailure(.truncated, alert: 50).isTold)
        #expect(!TLSFailure(.socketFailed, alert: 20, systemError: ECONNRESET).isTold)
    }

    @Test("a drained socket is asked again only after an event")
    func drained() throws {
        let pair = try pair()
        #expect(pair.receive(pair.server) == "\(-EAGAIN)")
        #expect(pair.server.socketIsDrained)
        #expect(pair.send("hello", from: pair.client) == 5)
        var room = [UInt8](repeating: 0, count: 100)
        #expect(pair.server.read(&room, 100) == -Int(EAGAIN))
        pair.server.socketReadable()
        #expect(pair.server.read(&room, 100) == 5)
        #expect(!pair.server.hasPending)
    }

    @Test("several records come with one read, and a full buffer says that there may be more")
    func pending() throws {
        let pair = try pair()
        for word in ["one ", "two ", "three"] { _ = pair.send(word, from: pair.client) }
        pair.server.socketReadable()
        var room = [UInt8](repeating: 0, count: 100)
        #expect(pair.server.read(&room, 6) == 6)
        #expect(pair.server.hasPending)
        #expect(pair.server.read(&room, 100) == 7)
        #expect(String(decoding: room[0..<7], as: UTF8.self) == "o three")
        #expect(!pair.server.hasPending)
    }

    @Test("what the socket does not take is kept, bounded, and arrives")
    func backPressure() throws {
        let pair = try pair()
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        for i in 0..<bytes.count { bytes[i] = UInt8(truncatingIfNeeded: i &* 31 >> 3) }
        var sent = 0
        var isBlocked = false
        var received: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 50_000)
        while received.count < bytes.count {
            if sent < bytes.count {
                let count = bytes.withUnsafeBufferPointer { buffer in
                    buffer.baseAddress.map {
                        pair.server.write($0 + sent, buffer.count - sent, nowMs: pair.nowMs)
                    } ?? 0
                }
                if count > 0 {
                    #expect(count <= TLSSession.writeMax)
                    sent += count
                    continue
                }
                #expect(count == -Int(EAGAIN))
                #expect(pair.server.hasUnsent)
                #expect(pair.server.unsentByteCount <= 80_000)
                isBlocked = true
            }
            pair.client.socketReadable()
            let count = pair.client.read(&room, room.count)
            if count > 0 { received += room[0..<count] }
            #expect(count > 0 || count == -Int(EAGAIN))
            let flushed = pair.server.flush()
            #expect(flushed == 0 || flushed == -Int(EAGAIN))
        }
        #expect(isBlocked)
        #expect(received == bytes)
        #expect(!pair.server.hasUnsent)
    }

    @Test(
        "parts leave as they were given",
        arguments: [[5, 7], [200, 3_000], [200, 5_000, 1], [70_000, 10], [0, 3], [9_000, 9_000, 9_000]])
    func parts(lengths: [Int]) throws {
        let pair = try pair()
        var bytes = (0..<lengths.reduce(0, +)).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 2) }
        var received: [UInt8] = []
        try bytes.withUnsafeMutableBytes { raw in
            let base = try #require(raw.baseAddress)
            var sent = 0
            while sent < raw.count {
                // The parts that are left, as a caller has them after a partial write.
                var parts: [iovec] = []
                var at = 0
                for length in lengths {
                    let skip = min(length, max(0, sent - at))
                    parts.append(iovec(iov_base: base + at + skip, iov_len: length - skip))
                    at += length
                }
                let count = pair.server.write(parts, count: parts.count, nowMs: pair.nowMs)
                #expect(count > 0)
                if count <= 0 { return }
                sent += count
                var room = [UInt8](repeating: 0, count: 100_000)
                pair.client.socketReadable()
                let got = pair.client.read(&room, room.count)
                if got > 0 { received += room[0..<got] }
            }
        }
        #expect(received == bytes)
    }

    @Test("a peer that asks for new keys all the time is cut off, and costs bounded memory")
    func keyUpdates() throws {
        let pair = try pair()
        var reason: TLSFailure.Reason?
        for _ in 0..<4_000 where reason == nil {
            let ssl = pair.client.state.pointee.ssl
            _ = SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED)
            _ = SSL_do_handshake(ssl)
            _ = pair.client.flush()
            let answer = pair.receive(pair.server)
            if answer != "\(-EAGAIN)" { reason = pair.server.failure?.reason }
            #expect(pair.server.unsentByteCount <= SessionState.unsentMax)
        }
        #expect(reason == .tooManyKeyUpdates)
        ERR_clear_error()
    }

    @Test("a server that speaks first sends its tickets before it")
    func serverSpeaksFirst() throws {
        let ring = TicketKeyRing()
        var keys = TicketKeys(periodSeconds: 100)
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 0)))
        ring.publish(keys)
        let pair = try Pair(
            .make([TestAuthority.shared.identity(["localhost"])]) { $0.ticketKeys = ring }, .make())
        pair.handshake()
        // Held back to go with the first answer: nothing the loop has to wait for.
        #expect(!pair.server.hasUnsent && pair.server.unsentByteCount > 0)
        #expect(pair.send("220 ready", from: pair.server) == 9)
        #expect(pair.server.unsentByteCount == 0)
        #expect(pair.receive(pair.client) == "220 ready")
    }

    @Test("tickets leave before the server waits for a request")
    func ticketsLeave() throws {
        let ring = TicketKeyRing()
        var keys = TicketKeys(periodSeconds: 100)
        keys.rotate(to: try #require(TicketKeys.Key.random(sinceSeconds: 0)))
        ring.publish(keys)
        let pair = try Pair(
            .make([TestAuthority.shared.identity(["localhost"])]) { $0.ticketKeys = ring }, .make())
        pair.handshake()
        #expect(pair.receive(pair.server) == "\(-EAGAIN)")
        #expect(pair.server.unsentByteCount == 0)
    }
}
