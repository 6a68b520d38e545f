// Record sizes as they stand on the wire.

import Glibc
import Testing

@testable import TLS

@Suite("Record sizes")
struct RecordSizeTests {
    /// Plaintext, content type and tag (TLS 1.3, AES-GCM).
    private let overhead = 17

    @Test("small at first, full later, small again after a pause")
    func adaptive() throws {
        let wired = try Wired(.make([TestAuthority.shared.identity(["localhost"])]), .make())
        _ = wired.handshake()
        let before = wired.fromServer.count
        func write(_ count: Int, at nowMs: UInt64) {
            let bytes = [UInt8](repeating: 65, count: count)
            var room = [UInt8](repeating: 0, count: 65_536)
            var sent = 0
            while sent < count {
                let taken = bytes.withUnsafeBufferPointer { buffer in
                    buffer.baseAddress.map { wired.server.write($0 + sent, count - sent, nowMs: nowMs) } ?? 0
                }
                if taken > 0 { sent += taken }
                while wired.carry() { while wired.client.read(&room, room.count) > 0 {} }
                _ = wired.server.flush()
            }
            while wired.carry() { while wired.client.read(&room, room.count) > 0 {} }
        }
        write(200_000, at: 5_000)
        var records = applicationRecords(wired.fromServer[before...])
        #expect(records.prefix(16).allSatisfy { $0 == RecordSizing.small + overhead })
        #expect(records.dropFirst(16).prefix(8).allSatisfy { $0 == RecordSizing.full + overhead })
        #expect(records.reduce(0, +) == 200_000 + records.count * overhead)

        var mark = wired.fromServer.count
        write(40_000, at: 5_999)
        records = applicationRecords(wired.fromServer[mark...])
        #expect(records == [16_384, 16_384, 7_232].map { $0 + overhead })

        mark = wired.fromServer.count
        write(10_000, at: 6_999)
        records = applicationRecords(wired.fromServer[mark...])
        #expect(records == [4_096, 4_096, 1_808].map { $0 + overhead })
    }

    @Test("a head and a small body share a record")
    func coalesced() throws {
        let wired = try Wired(.make([TestAuthority.shared.identity(["localhost"])]), .make())
        _ = wired.handshake()
        wired.carry()
        let mark = wired.fromServer.count
        var head = [UInt8](repeating: 1, count: 200)
        var body = [UInt8](repeating: 2, count: 3_000)
        head.withUnsafeMutableBytes { head in
            body.withUnsafeMutableBytes { body in
                let parts = [
                    iovec(iov_base: head.baseAddress, iov_len: head.count),
                    iovec(iov_base: body.baseAddress, iov_len: body.count),
                ]
                #expect(wired.server.write(parts, count: 2, nowMs: 1) == 3_200)
            }
        }
        wired.carry()
        #expect(applicationRecords(wired.fromServer[mark...]) == [3_200 + overhead])
    }

    @Test("the rule alone")
    func rule() {
        var sizing = RecordSizing()
        func expectLimit(_ expected: Int, at nowMs: UInt64, line: Int = #line) {
            let limit = sizing.limit(nowMs: nowMs)
            #expect(limit == expected, "line \(line)")
        }
        expectLimit(RecordSizing.small, at: 0)
        sizing.wrote(65_535)
        #expect(sizing.limit == RecordSizing.small)
        sizing.wrote(1)
        expectLimit(RecordSizing.full, at: 999)
        expectLimit(RecordSizing.full, at: 1_998)
        expectLimit(RecordSizing.small, at: 2_998)
        // A clock that does not move, or steps back, is no pause.
        sizing.wrote(70_000)
        expectLimit(RecordSizing.full, at: 2_998)
        expectLimit(RecordSizing.full, at: 0)
        for _ in 0..<100 { sizing.wrote(1 << 30) }
        #expect(sizing.limit == RecordSizing.full)
    }
}
