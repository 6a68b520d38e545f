// The bytes of a file → text that YAML can be read from.
//
// A byte order mark at the start is skipped. What is not UTF-8, or a control character, is found here,
// at its line and column: libyaml knows an offset only. References (`${env:NAME}`, References.swift) are
// covered: their characters are exchanged for ones that mean nothing to YAML, one for one, so that
// positions stay true and `[${env:A}, ${env:B}]` is a list of two texts, whatever they hold.

struct SourceText {
    typealias Problem = YAMLDocument.Problem

    /// Without a byte order mark, references covered.
    private(set) var bytes: [UInt8]
    private(set) var hasReferences = false

    /// The byte order mark in UTF-8.
    static let mark: [UInt8] = [0xef, 0xbb, 0xbf]
    /// ASCII is exchanged for characters from here on: private use, at the end of the last plane. A file
    /// that has them itself is refused, so that nothing is uncovered that was not covered.
    private static let cover: UInt32 = 0x10_fe00
    /// Longest reference, in bytes.
    private static let referenceMax = 4_096

    init(_ source: [UInt8]) throws(Problem) {
        bytes = source.starts(with: Self.mark) ? Array(source.dropFirst(Self.mark.count)) : source
        try check()
        cover()
    }

    // MARK: encoding

    private func check() throws(Problem) {
        for mark in [[0xff, 0xfe], [0xfe, 0xff]] as [[UInt8]] where bytes.starts(with: mark) {
            throw Problem(
                message: "the file is UTF-16", origin: Origin(line: 1, column: 1),
                expectation: "expected UTF-8: save it in that encoding")
        }
        var line = 1
        var column = 1
        var index = 0
        func problem(_ message: String, _ expectation: String?) -> Problem {
            Problem(
                message: message, origin: Origin(line: line, column: column), expectation: expectation)
        }
        while index < bytes.count {
            let byte = bytes[index]
            if byte < 0x80 {
                if byte == 0 {
                    let isWide = bytes.prefix(64).count { $0 == 0 } > min(64, bytes.count) / 4
                    throw problem(
                        "a NUL byte in the file",
                        isWide ? "expected UTF-8: this looks like UTF-16 or UTF-32" : "expected text")
                }
                guard byte >= 0x20 && byte != 0x7f || byte == 9 || byte == 10 || byte == 13 else {
                    throw problem(
                        "the control character \(Self.hex(UInt32(byte))) in the file",
                        "expected text; between double quotes it is written \"\\x\(Self.hex(UInt32(byte)).dropFirst(2))\""
                    )
                }
                index += 1
                if byte == 10 {
                    line += 1
                    column = 1
                } else {
                    column += 1
                }
                continue
            }
            guard let (scalar, count) = Self.scalar(bytes[index...]) else {
                throw problem(
                    "the byte \(Self.hex(UInt32(byte))) is not UTF-8", "expected text in UTF-8")
            }
            if scalar < 0xa0 && scalar != 0x85 || scalar & 0xfffe == 0xfffe || Self.covered(scalar) != nil {
                throw problem(
                    "the character \(Self.hex(scalar)) in the file", "expected characters that can be printed"
                )
            }
            index += count
            column += 1
        }
    }

    private static func hex(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return "0x" + (digits.utf8.count < 2 ? "0" : "") + digits
    }

    /// The character at the start, if it is well-formed (RFC 3629 §4), and its bytes.
    private static func scalar(_ bytes: ArraySlice<UInt8>) -> (UInt32, Int)? {
        guard let lead = bytes.first else { return nil }
        let count = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
        guard count > 0, bytes.count >= count else { return nil }
        var value = UInt32(lead) & (0x7f >> UInt32(count))
        for byte in bytes.dropFirst().prefix(count - 1) {
            guard byte & 0xc0 == 0x80 else { return nil }
            value = value << 6 | UInt32(byte & 0x3f)
        }
        let least: UInt32 = count == 2 ? 0x80 : count == 3 ? 0x800 : 0x1_0000
        guard value >= least, value <= 0x10_ffff, !(0xd800...0xdfff).contains(value) else { return nil }
        return (value, count)
    }

    // MARK: references

    /// The character a covering one stands for.
    static func covered(_ scalar: UInt32) -> UInt8? {
        scalar >= cover && scalar < cover + 0x80 ? UInt8(scalar - cover) : nil
    }

    private mutating func cover() {
        let dollar = UInt8(ascii: "$")
        guard bytes.contains(dollar) else { return }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == dollar, let end = referenceEnd(index) {
                hasReferences = true
                for byte in bytes[index..<end] {
                    if byte < 0x80 {
                        let value = Self.cover + UInt32(byte)
                        result += [
                            0xf4, 0x80 | UInt8(value >> 12 & 0x3f), 0x80 | UInt8(value >> 6 & 0x3f),
                            0x80 | UInt8(value & 0x3f),
                        ]
                    } else {
                        result.append(byte)
                    }
                }
                index = end
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        if hasReferences { bytes = result }
    }

    /// Behind `${…}` at `start`: a letter or "_" first, all on one line, no braces, quotes or backslashes.
    private func referenceEnd(_ start: Int) -> Int? {
        guard start + 3 < bytes.count, bytes[start + 1] == UInt8(ascii: "{") else { return nil }
        let first = bytes[start + 2]
        guard (first | 32) &- 97 < 26 || first == UInt8(ascii: "_") else { return nil }
        for index in (start + 3)..<min(bytes.count, start + Self.referenceMax) {
            switch bytes[index] {
            case UInt8(ascii: "}"): return index + 1
            case 10, 13, UInt8(ascii: "{"), UInt8(ascii: "\""), UInt8(ascii: "'"), UInt8(ascii: "\\"):
                return nil
            default: continue
            }
        }
        return nil
    }
}
