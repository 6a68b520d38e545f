// Values in bodies: whatever a client sends is text in a page, never markup, and never the end of a string.
//
//   HTML    & < > " '            as character references: right between tags and in quoted attributes
//   JSON    " \ < > & and tabs   as escapes (RFC 8259 §7); "<" too, for readers who take JSON for HTML; and ' ` $
//                                for JavaScript, whose strings have other marks, and variables of their own
//
// Both are UTF-8. Bytes that are none (RFC 3629 §3) are written as U+FFFD, so that no reader finds another
// character where they meet ours.

import WeirHTTPModel

extension Template {
    /// Appends a value as text of HTML or JSON. It holds no control character but tabs.
    static func putMarked(
        _ value: UnsafeBufferPointer<UInt8>, _ form: Form, isEncoded: Bool, _ writer: inout ByteWriter
    ) {
        var at = 0
        while at < value.count {
            let (byte, read) = octet(value, at, isEncoded)
            guard byte < 0x80 else {
                at += putCharacter(value, at, isEncoded, &writer)
                continue
            }
            at += read
            if form == .html {
                putInHTML(byte, &writer)
            } else {
                putInJSON(byte, &writer)
            }
        }
    }

    private static func putInHTML(_ byte: UInt8, _ writer: inout ByteWriter) {
        switch byte {
        case UInt8(ascii: "&"): writer.append("&amp;")
        case UInt8(ascii: "<"): writer.append("&lt;")
        case UInt8(ascii: ">"): writer.append("&gt;")
        case UInt8(ascii: "\""): writer.append("&quot;")
        case UInt8(ascii: "'"): writer.append("&#39;")
        default: writer.append(byte)
        }
    }

    private static func putInJSON(_ byte: UInt8, _ writer: inout ByteWriter) {
        switch byte {
        case UInt8(ascii: "\""): writer.append("\\\"")
        case UInt8(ascii: "\\"): writer.append("\\\\")
        case UInt8(ascii: "\t"): writer.append("\\t")
        case UInt8(ascii: "<"): writer.append("\\u003c")
        case UInt8(ascii: ">"): writer.append("\\u003e")
        case UInt8(ascii: "&"): writer.append("\\u0026")
        case UInt8(ascii: "'"): writer.append("\\u0027")
        case UInt8(ascii: "`"): writer.append("\\u0060")
        case UInt8(ascii: "$"): writer.append("\\u0024")
        default: writer.append(byte)
        }
    }

    /// One character beyond ASCII, or U+FFFD for a byte that belongs to none.
    ///
    /// - Returns: how many bytes of the value it took.
    private static func putCharacter(
        _ value: UnsafeBufferPointer<UInt8>, _ start: Int, _ isEncoded: Bool, _ writer: inout ByteWriter
    ) -> Int {
        let (lead, leadRead) = octet(value, start, isEncoded)
        // The well-formed sequences of RFC 3629 §4: how many bytes follow, and the range of the first of them.
        let (count, range): (Int, ClosedRange<UInt8>) =
            switch lead {
            case 0xc2...0xdf: (1, 0x80...0xbf)
            case 0xe0: (2, 0xa0...0xbf)
            case 0xe1...0xec, 0xee...0xef: (2, 0x80...0xbf)
            case 0xed: (2, 0x80...0x9f)
            case 0xf0: (3, 0x90...0xbf)
            case 0xf1...0xf3: (3, 0x80...0xbf)
            case 0xf4: (3, 0x80...0x8f)
            default: (0, 0x80...0xbf)
            }
        var bytes: (UInt8, UInt8, UInt8, UInt8) = (lead, 0, 0, 0)
        var at = start + leadRead
        for i in 0..<count {
            guard at < value.count else { break }
            let (byte, read) = octet(value, at, isEncoded)
            guard (i == 0 ? range : 0x80...0xbf).contains(byte) else { break }
            withUnsafeMutableBytes(of: &bytes) { $0[i + 1] = byte }
            at += read
            guard i == count - 1 else { continue }
            withUnsafeBytes(of: &bytes) { all in
                for byte in all.prefix(count + 1) { writer.append(byte) }
            }
            return at - start
        }
        writer.append("\u{fffd}")
        return leadRead
    }
}
