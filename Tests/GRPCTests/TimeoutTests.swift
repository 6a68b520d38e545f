// grpc-timeout: the values of the specification, saturation, and what goes on.

import WeirGRPC
import WeirHTTPModel
import Testing

func bytes<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    Array(text.utf8).withUnsafeBufferPointer(body)
}

func written(_ capacity: Int = 8192, _ body: (inout ByteWriter) -> Void) -> String {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: capacity)
    body(&writer)
    if writer.overflowed { return "overflow" }
    return String(decoding: UnsafeBufferPointer(start: room, count: writer.count), as: UTF8.self)
}

@Suite("grpc-timeout")
struct TimeoutTests {
    static func read(_ text: String) -> UInt64? { bytes(text) { GRPCTimeout($0)?.nanoseconds } }

    @Test(
        "values",
        arguments: [
            ("1n", 1), ("99999999n", 99_999_999), ("1u", 1_000), ("250m", 250_000_000),
            ("00000001S", 1_000_000_000), ("2M", 120_000_000_000), ("1H", 3_600_000_000_000), ("0S", 0),
            ("99999999M", 5_999_999_940_000_000_000), ("99999999H", UInt64.max), ("5124096H", UInt64.max),
            ("5124095H", 18_446_742_000_000_000_000),
        ] as [(String, UInt64)])
    func values(text: String, nanoseconds: UInt64) {
        #expect(Self.read(text) == nanoseconds)
    }

    @Test(
        "malformed values",
        arguments: [
            "", "1", "S", "123456789S", "1s", "1h", "1 S", " 1S", "1S ", "-1S", "+1S", "1.5S", "1mS", "1Sm",
            "0x1S", "١S",
        ])
    func malformed(text: String) {
        #expect(Self.read(text) == nil)
    }

    @Test(
        "written in the finest unit that fits",
        arguments: [
            (0, "0n"), (1, "1n"), (99_999_999, "99999999n"), (100_000_000, "100000u"),
            (1_500_000_000, "1500000u"), (100_000_000_000, "100000m"), (99_999_999_999_999, "99999999m"),
            (100_000_000_000_000, "100000S"), (100_000_000_000_000_000, "1666666M"),
            (6_000_000_000_000_000_000, "1666666H"), (UInt64.max, "5124095H"),
        ] as [(UInt64, String)])
    func writes(nanoseconds: UInt64, text: String) {
        let made = written { GRPCTimeout(nanoseconds: nanoseconds).write(&$0) }
        #expect(made == text)
    }

    @Test("what is written is never longer than what was left, and at most a thousandth shorter")
    func roundTrip() throws {
        var value: UInt64 = 1
        while value < UInt64.max / 3 {
            let text = written { GRPCTimeout(nanoseconds: value).write(&$0) }
            #expect(text.utf8.count <= GRPCTimeout.textBytesMax)
            let read = try #require(Self.read(text))
            #expect(read <= value && value - read <= value / 1000)
            value = value * 3 + 1
        }
    }

    @Test("what remains")
    func remaining() {
        let timeout = GRPCTimeout(nanoseconds: 1_000)
        #expect(timeout.remaining(afterNs: 0).nanoseconds == 1_000)
        #expect(timeout.remaining(afterNs: 999).nanoseconds == 1)
        #expect(timeout.remaining(afterNs: 1_000).nanoseconds == 0)
        #expect(timeout.remaining(afterNs: .max).nanoseconds == 0)
        #expect(GRPCTimeout(nanoseconds: .max).remaining(afterNs: 1 << 40).nanoseconds == .max)
    }
}
