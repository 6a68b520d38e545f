// Strings and escapes: what RFC 8259 §7 says, once, for the reader, the writer and the access log.

/// The inside of a string as it stands in a text that was read: well-formed escapes, valid UTF-8.
///
/// Valid as long as the bytes that were read.
public struct JSONText: BitwiseCopyable {
    /// What stands between the quotes.
    public let raw: UnsafeBufferPointer<UInt8>
    public let hasEscapes: Bool

    init(raw: UnsafeBufferPointer<UInt8>, hasEscapes: Bool) {
        self.raw = raw
        self.hasEscapes = hasEscapes
    }

    /// Whether it is these bytes, once escapes are read (RFC 8259 §8.3). Allocates nothing.
    public func equals(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        var mine = Bytes(raw)
        var at = 0
        while let byte = mine.next() {
            guard at < text.count, text[at] == byte else { return false }
            at += 1
        }
        return at == text.count
    }

    /// Whether it is this text, byte for byte; literals of the program.
    public func equals(_ text: StaticString) -> Bool {
        equals(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// Writes what it says, in UTF-8; never longer than `raw`.
    ///
    /// - Returns: how many bytes were written.
    public func decode(to room: UnsafeMutablePointer<UInt8>) -> Int {
        var bytes = Bytes(raw)
        var count = 0
        while let byte = bytes.next() {
            room[count] = byte
            count += 1
        }
        return count
    }

    /// What it says. Allocates.
    public var string: String {
        guard hasEscapes else { return String(decoding: raw, as: UTF8.self) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: max(raw.count, 1)) { room in
            guard let start = room.baseAddress else { return "" }
            let count = decode(to: start)
            return String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
        }
    }

    /// Walks what it says, byte for byte, in UTF-8.
    private struct Bytes {
        private let raw: UnsafeBufferPointer<UInt8>
        private var at = 0
        /// Bytes of an escaped character that are still to come, the next one lowest.
        private var pending: UInt32 = 0

        init(_ raw: UnsafeBufferPointer<UInt8>) { self.raw = raw }

        mutating func next() -> UInt8? {
            if pending != 0 {
                let byte = UInt8(truncatingIfNeeded: pending)
                pending >>= 8
                return byte
            }
            guard at < raw.count else { return nil }
            let byte = raw[at]
            at += 1
            guard byte == UInt8(ascii: "\\") else { return byte }
            let letter = raw[at]
            at += 1
            switch letter {
            case UInt8(ascii: "b"): return 0x08
            case UInt8(ascii: "f"): return 0x0c
            case UInt8(ascii: "n"): return 0x0a
            case UInt8(ascii: "r"): return 0x0d
            case UInt8(ascii: "t"): return 0x09
            case UInt8(ascii: "u"): return character()
            default: return letter
            }
        }

        private mutating func character() -> UInt8 {
            var code = unit()
            if code & 0xfc00 == 0xd800 {
                at += 2  // The reader saw the other half.
                code = 0x10000 &+ (code & 0x3ff) << 10 &+ unit() & 0x3ff
            }
            func tail(_ shift: UInt32) -> UInt32 { 0x80 | code >> shift & 0x3f }
            switch code {
            case 0..<0x80: return UInt8(code)
            case 0x80..<0x800:
                pending = tail(0)
                return UInt8(0xc0 | code >> 6)
            case 0x800..<0x10000:
                pending = tail(6) | tail(0) << 8
                return UInt8(0xe0 | code >> 12)
            default:
                pending = tail(12) | tail(6) << 8 | tail(0) << 16
                return UInt8(0xf0 | code >> 18)
            }
        }

        private mutating func unit() -> UInt32 {
            var code: UInt32 = 0
            for _ in 0..<4 {
                code = code << 4 | UInt32(JSONText.hexDigit(raw[at]) ?? 0)
                at += 1
            }
            return code
        }
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }
}

/// How bytes stand in a string. Plain functions on memory, for writers of every kind.
public enum JSONEscape {
    /// The most bytes that one may become.
    public static let bytesMax = 6

    /// Writes the escape of one byte: a quote, a backslash, a control character, DEL (a terminal acts on it); a byte
    /// from 0x80 on as the character Latin-1 has there.
    ///
    /// - Parameter room: `bytesMax` bytes.
    /// - Returns: how many were written.
    public static func write(_ byte: UInt8, to room: UnsafeMutablePointer<UInt8>) -> Int {
        let letter: UInt8
        switch byte {
        case 0x22, 0x5c: letter = byte
        case 0x0a: letter = UInt8(ascii: "n")
        case 0x0d: letter = UInt8(ascii: "r")
        case 0x09: letter = UInt8(ascii: "t")
        default:
            let digits: StaticString = "0123456789abcdef"
            room[0] = 0x5c
            room[1] = UInt8(ascii: "u")
            room[2] = 0x30
            room[3] = 0x30
            room[4] = digits.utf8Start[Int(byte >> 4)]
            room[5] = digits.utf8Start[Int(byte & 15)]
            return 6
        }
        room[0] = 0x5c
        room[1] = letter
        return 2
    }

    /// The first position from `start` on that is not printable ASCII or is a quote or a backslash, `end`
    /// when there is none. Eight bytes at a time: texts are mostly plain.
    @inlinable
    @inline(__always)
    public static func plainEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        // The top bit of each byte that is zero; a borrow can only add a false alarm above a true one.
        func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word & tops }
        var i = start
        while end &- i >= 8 {
            let word = UnsafeRawPointer(base + i).loadUnaligned(as: UInt64.self)
            let controls = (word &- ones &* 0x20) & ~word & tops
            let special =
                word & tops | controls | zeros(word ^ ones &* 0x22) | zeros(word ^ ones &* 0x5c)
                | zeros(word ^ ones &* 0x7f)
            if special != 0 { return i &+ UInt64(littleEndian: special).trailingZeroBitCount / 8 }
            i &+= 8
        }
        while i < end {
            let byte = base[i]
            if byte < 0x20 || byte >= 0x7f || byte == 0x22 || byte == 0x5c { break }
            i &+= 1
        }
        return i
    }

    /// Length of the well-formed UTF-8 sequence of two to four bytes at the start (RFC 3629 §4: no
    /// surrogates, no overlong forms, nothing above U+10FFFF); 0 when there is none.
    public static func utf8Length(_ at: UnsafePointer<UInt8>, _ available: Int) -> Int {
        let first = at[0]
        let length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
        guard length > 0, length <= available else { return 0 }
        let second = at[1]
        let low: UInt8 = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80
        let high: UInt8 = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf
        guard second >= low, second <= high else { return 0 }
        var i = 2
        while i < length {
            if at[i] & 0xc0 != 0x80 { return 0 }
            i &+= 1
        }
        return length
    }
}
