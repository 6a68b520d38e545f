import Testing

@testable import WeirHTTPModel
@testable import Telemetry

@Suite struct EscapingTests {
    func escaped(_ bytes: [UInt8]) -> String {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
        defer { room.deallocate() }
        var writer = ByteWriter(room, capacity: 4096)
        bytes.withUnsafeBufferPointer { writer.append(textEscaped: $0, limit: 4096) }
        return String(decoding: UnsafeBufferPointer(start: room, count: writer.count), as: UTF8.self)
    }

    /// Words of eight bytes are looked at whole: every byte value at every place in and after a word.
    @Test func everyByteIsSeenWhereverItStands() {
        for value in UInt8.min ... .max {
            let plain = value >= 0x20 && value < 0x7f && value != 0x22 && value != 0x5c
            let digits = String(value, radix: 16)
            let expected =
                plain
                ? String(UnicodeScalar(value)) : "\\x" + (digits.count == 1 ? "0" : "") + digits
            for position in 0..<19 {
                var bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 19)
                bytes[position] = value
                let before = String(repeating: "a", count: position)
                let after = String(repeating: "a", count: 18 - position)
                #expect(escaped(bytes) == before + expected + after)
            }
        }
    }

    @Test func neighboursOfASpecialByteAreKept() {
        // 0x21 and 0x23 stand beside the quote, 0x7e beside DEL: a borrow between bytes must not hit them.
        #expect(escaped([0x22, 0x23, 0x21, 0x7f, 0x7e, 0x5c, 0x5d, 0x5b]) == #"\x22#!\x7f~\x5c]["#)
    }
}
