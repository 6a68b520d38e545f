// Escaping of untrusted bytes for log lines, and fixed-width numbers.

import WeirHTTPModel
import WeirJSON

extension ByteWriter {
    /// Appends bytes as the inside of a JSON string (RFC 8259 §7). Valid UTF-8 passes, quotes,
    /// backslashes and control characters are escaped, a byte that is no UTF-8 is read as Latin-1.
    mutating func append(jsonEscaped bytes: UnsafeBufferPointer<UInt8>, limit: Int) {
        guard let base = bytes.baseAddress else { return }
        let count = min(bytes.count, limit)
        var start = 0
        var i = 0
        while i < count {
            i = JSONEscape.plainEnd(base, i, count)
            if i == count { break }
            let byte = base[i]
            let length = byte < 0x80 ? 0 : JSONEscape.utf8Length(base + i, count &- i)
            if length > 0 {
                i &+= length
                continue
            }
            append(base + start, i &- start)
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: JSONEscape.bytesMax) { room in
                guard let escape = room.baseAddress else { return }
                append(escape, JSONEscape.write(byte, to: escape))
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
            i = JSONEscape.plainEnd(base, i, count)
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
