// Escaping of untrusted bytes for log lines, and fixed-width numbers.

import HTTPModel

extension ByteWriter {
    /// Appends bytes as the inside of a JSON string (RFC 8259 §7). Valid UTF-8 passes, quotes,
    /// backslashes and control characters are escaped, a byte that is no UTF-8 is read as Latin-1.
    mutating func append(jsonEscaped bytes: UnsafeBufferPointer<UInt8>, limit: Int) {
        guard let base = bytes.baseAddress else { return }
        let count = min(bytes.count, limit)
        var start = 0
        var i = 0
        while i < count {
            i = plainEnd(base, i, count)
            if i == count { break }
            let byte = base[i]
            let length = byte < 0x80 ? 0 : utf8Length(base + i, count &- i)
            if length > 0 {
                i &+= length
                continue
            }
            append(base + start, i &- start)
            switch byte {
            case 0x22: append("\\\"")
            case 0x5c: append("\\\\")
            case 0x0a: append("\\n")
            case 0x0d: append("\\r")
            case 0x09: append("\\t")
            default:
                append("\\u00")
                appendHexByte(byte)
            }
            i &+= 1
            start = i
        }
        append(base + start, count &- start)
    }

    /// Appends bytes with everything but printable ASCII, and quotes and backslashes, as \xHH.
    mutating func append(textEscaped bytes: UnsafeBufferPointer<UInt8>, limit: Int) {
        guard let base = bytes.baseAddress else { return }
        let count = min(bytes.count, limit)
        var start = 0
        var i = 0
        while i < count {
            i = plainEnd(base, i, count)
            if i == count { break }
            append(base + start, i &- start)
            append("\\x")
            appendHexByte(base[i])
            i &+= 1
            start = i
        }
        append(base + start, count &- start)
    }

    private mutating func appendHexByte(_ byte: UInt8) {
        appendHexDigit(byte >> 4)
        appendHexDigit(byte & 15)
    }

    private mutating func appendHexDigit(_ nibble: UInt8) {
        append(nibble < 10 ? 48 &+ nibble : 87 &+ nibble)
    }

    /// Appends a number with leading zeros.
    mutating func append(decimal value: UInt64, digits: Int) {
        var unit: UInt64 = 1
        var left = digits
        while left > 1 {
            unit &*= 10
            left &-= 1
        }
        while unit > 0 {
            append(48 &+ UInt8(truncatingIfNeeded: value / unit % 10))
            unit /= 10
        }
    }
}

/// The first position from `start` on that is not printable ASCII or is a quote or a backslash, `end`
/// when there is none. Eight bytes at a time: lines are mostly plain.
@inline(__always)
private func plainEnd(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
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
func utf8Length(_ at: UnsafePointer<UInt8>, _ available: Int) -> Int {
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
