import WeirHTTPModel
import Testing

@Suite struct FieldIDTests {
    private func identify(_ name: [UInt8]) -> FieldID {
        name.withUnsafeBufferPointer {
            $0.baseAddress.map { FieldID.identify($0, count: name.count) } ?? .other
        }
    }

    @Test func everyNameIsFoundInAnyCase() {
        for id in FieldID.allCases where id != .other {
            let name = Array("\(id.name)".utf8)
            #expect(identify(name) == id)
            #expect(identify(Array("\(id.name)".uppercased().utf8)) == id)
            for index in name.indices {
                var mixed = name
                if mixed[index] >= 97, mixed[index] <= 122 { mixed[index] -= 32 }
                #expect(identify(mixed) == id)
            }
        }
    }

    /// Any other byte in any place makes it another name.
    @Test func everyOtherByteMakesAnotherName() {
        for id in FieldID.allCases where id != .other {
            let name = Array("\(id.name)".utf8)
            for index in name.indices {
                for byte in UInt8.min...UInt8.max where asciiLowercased(byte) != name[index] {
                    var other = name
                    other[index] = byte
                    #expect(identify(other) != id)
                }
            }
            #expect(identify(name + [120]) != id)
            #expect(identify(Array(name.dropLast())) != id)
        }
        #expect(identify([]) == .other)
        #expect(identify(Array("x-something-that-is-not-known".utf8)) == .other)
    }
}

@Suite struct HTTPDateTests {
    private func write(_ seconds: Int64) -> String {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: HTTPDate.byteCount) { memory in
            guard let base = memory.baseAddress else { return "" }
            HTTPDate.write(secondsSinceEpoch: seconds, to: base)
            return String(decoding: memory, as: UTF8.self)
        }
    }

    private func parse(_ text: String, now: Int64 = 1_700_000_000) -> Int64? {
        Array(text.utf8).withUnsafeBufferPointer { bytes in
            bytes.baseAddress.flatMap {
                HTTPDate.parse($0, count: bytes.count, nowSecondsSinceEpoch: now)
            }
        }
    }

    @Test func knownDates() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"), (-1, "Wed, 31 Dec 1969 23:59:59 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] as [(Int64, String)] {
            #expect(write(seconds) == text)
            #expect(parse(text) == seconds)
        }
        #expect(write(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
        #expect(write(.min) == "Sat, 01 Jan 0000 00:00:00 GMT")
    }

    @Test func obsoleteFormats() {
        #expect(parse("Sunday, 06-Nov-94 08:49:37 GMT") == 784_111_777)
        #expect(parse("Sun Nov  6 08:49:37 1994") == 784_111_777)
        #expect(parse("Wed Nov 16 08:49:37 1994") == 784_975_777)
        // Two-digit years: 73 is 2073 (50 years ahead of 2023), 74 is 1974.
        #expect(parse("Wednesday, 01-Jan-73 00:00:00 GMT") == 3_250_454_400)
        #expect(parse("Tuesday, 01-Jan-74 00:00:00 GMT") == 126_230_400)
        #expect(parse("Saturday, 01-Jan-00 00:00:00 GMT", now: 4_089_000_000) == 4_102_444_800)
    }

    @Test func whatIsNoDate() {
        for text in [
            "", "Sun", "Sun,", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Mon, 29 Feb 2100 00:00:00 GMT",
            "Tunday, 06-Nov-94 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "784111777", "0", "-1",
        ] {
            #expect(parse(text) == nil, "\(text)")
        }
    }

    @Test func whatIsWrittenIsReadBack() {
        var seconds: Int64 = -62_167_219_200
        while seconds < 253_402_300_799 {
            #expect(parse(write(seconds)) == seconds)
            seconds += 86_400 * 9_973 + 4_547
        }
    }
}

@Suite struct ByteWriterTests {
    @Test func numbers() {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { memory in
            guard let base = memory.baseAddress else { return }
            for value in [0, 1, 9, 10, 15, 16, 255, 256, 4_095, 1 << 32, UInt64.max] {
                var writer = ByteWriter(base, capacity: 64)
                writer.append(decimal: value)
                #expect(String(decoding: memory[..<writer.count], as: UTF8.self) == String(value))
                writer = ByteWriter(base, capacity: 64)
                writer.append(hexadecimal: value)
                #expect(String(decoding: memory[..<writer.count], as: UTF8.self) == String(value, radix: 16))
            }
        }
    }

    @Test func overflowIsRememberedAndNothingIsWrittenBeyond() {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 8) { memory in
            guard let base = memory.baseAddress else { return }
            memory.initialize(repeating: 0xEE)
            var writer = ByteWriter(base, capacity: 4)
            writer.append("abc")
            #expect(!writer.overflowed)
            writer.append("de")
            #expect(writer.overflowed && writer.count == 3 && memory[4] == 0xEE)
        }
    }
}
