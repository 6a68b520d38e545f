// Entity tags (RFC 9110 §8.8.3): making them, and finding one in a list of them.
//
// A file's tag is made of its size and its time of modification in nanoseconds, so that the same file
// copied to another machine with its times has the same tag (an inode number would differ). A coded
// variant carries the name of its coding: it is another representation (§8.8.3.3). The tag is strong.

import WeirHTTPModel

public enum EntityTag {
    /// Longest tag `write` makes: two numbers of 16 digits, a coding, quotes and dashes.
    public static var bytesMax: Int { 48 }

    /// Writes a file's tag, with quotes.
    ///
    /// - Parameters:
    ///   - modifiedNs: nanoseconds since the epoch.
    ///   - coding: the coding of a precompressed variant.
    public static func write(
        size: UInt64, modifiedNs: Int64, coding: ContentCoding?, into writer: inout ByteWriter
    ) {
        writer.append(UInt8(ascii: "\""))
        writer.append(hexadecimal: UInt64(bitPattern: modifiedNs))
        writer.append(UInt8(ascii: "-"))
        writer.append(hexadecimal: size)
        if let coding {
            writer.append(UInt8(ascii: "-"))
            writer.append(coding.name)
        }
        writer.append(UInt8(ascii: "\""))
    }

    /// Whether a list of tags (the value of If-Match or If-None-Match) holds `tag` or is "*".
    ///
    /// - Parameters:
    ///   - tag: the current one, strong, with quotes.
    ///   - isStrong: strong comparison (§8.8.3.2): a weak tag of the list equals nothing.
    /// - Returns: false from the first place on where the list is not well-formed.
    public static func list(
        _ list: UnsafeBufferPointer<UInt8>, contains tag: UnsafeBufferPointer<UInt8>, isStrong: Bool
    ) -> Bool {
        if list.count == 1, list[0] == UInt8(ascii: "*") { return true }
        var at = 0
        while true {
            while at < list.count, list[at] == 0x20 || list[at] == 0x09 || list[at] == UInt8(ascii: ",") {
                at += 1
            }
            guard at < list.count else { return false }
            var isWeak = false
            if list[at] == UInt8(ascii: "W"), at + 1 < list.count, list[at + 1] == UInt8(ascii: "/") {
                isWeak = true
                at += 2
            }
            guard at < list.count, list[at] == UInt8(ascii: "\"") else { return false }
            let start = at
            at += 1
            // etagc: visible characters without the quote, and bytes above ASCII. There is no escape.
            while at < list.count, list[at] != UInt8(ascii: "\"") {
                guard list[at] > 0x20, list[at] != 0x7f else { return false }
                at += 1
            }
            guard at < list.count else { return false }
            at += 1
            if !(isStrong && isWeak), equal(list, start, at, tag) { return true }
            while at < list.count, list[at] == 0x20 || list[at] == 0x09 { at += 1 }
            guard at == list.count || list[at] == UInt8(ascii: ",") else { return false }
        }
    }

    private static func equal(
        _ list: UnsafeBufferPointer<UInt8>, _ start: Int, _ end: Int, _ tag: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard end - start == tag.count else { return false }
        for i in 0..<tag.count where list[start + i] != tag[i] { return false }
        return true
    }
}
