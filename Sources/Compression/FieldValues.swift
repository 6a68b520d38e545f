// The field values compression reads: comma-separated lists, entity tags, media types; and digests by name.

import WeirHTTPModel

/// A comma-separated list of tokens, possibly with arguments behind "=" (Cache-Control, Vary).
struct ListValue {
    private let bytes: UnsafeBufferPointer<UInt8>

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    /// Whether a token is among them, ASCII case ignored. Commas within quotes do not separate.
    func contains(_ token: StaticString) -> Bool {
        guard let base = bytes.baseAddress else { return false }
        let count = bytes.count
        var cursor = 0
        while cursor < count {
            while cursor < count, Self.isSeparator(base[cursor]) { cursor += 1 }
            let start = cursor
            while cursor < count, !Self.isSeparator(base[cursor]), base[cursor] != UInt8(ascii: "=") {
                cursor += 1
            }
            if equals(base + start, cursor - start, lowercase: token) { return true }
            skipArgument(base, count, &cursor)
        }
        return false
    }

    private func skipArgument(_ base: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int) {
        var isQuoted = false
        while cursor < count {
            let byte = base[cursor]
            if isQuoted, byte == UInt8(ascii: "\\") {
                cursor += 1
            } else if byte == UInt8(ascii: "\"") {
                isQuoted.toggle()
            } else if !isQuoted, byte == UInt8(ascii: ",") {
                return
            }
            cursor += 1
        }
    }

    private static func isSeparator(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: ",") || byte == 0x20 || byte == 0x09
    }
}

/// Entity tags (RFC 9110 §8.8.3).
enum EntityTag {
    /// Whether a value is one strong tag; anything that is no tag at all is left alone by who asks.
    static func isStrong(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        value.count >= 2 && value[0] == UInt8(ascii: "\"") && value[value.count - 1] == UInt8(ascii: "\"")
    }

    /// Whether a list of tags holds the weak form of a strong one.
    static func list(_ list: UnsafeBufferPointer<UInt8>, containsWeak tag: UnsafeBufferPointer<UInt8>) -> Bool
    {
        var cursor = 0
        while cursor < list.count {
            let isWeak =
                list[cursor] == UInt8(ascii: "W") && cursor + 1 < list.count
                && list[cursor + 1] == UInt8(ascii: "/")
            let start = isWeak ? cursor + 2 : cursor
            guard start < list.count, list[start] == UInt8(ascii: "\"") else {
                cursor += 1
                continue
            }
            var end = start + 1
            while end < list.count, list[end] != UInt8(ascii: "\"") { end += 1 }
            guard end < list.count else { return false }
            if isWeak, end + 1 - start == tag.count {
                var same = true
                for i in 0..<tag.count where list[start + i] != tag[i] { same = false }
                if same { return true }
            }
            cursor = end + 1
        }
        return false
    }
}

/// Patterns of media types, compiled into one run of bytes.
struct TypePatterns: Sendable {
    private struct Pattern: Sendable {
        /// Start in `bytes` of what the type begins with.
        var offset: Int
        var prefixCount: Int
        /// What it ends with, behind the prefix.
        var suffixCount: Int
        /// Without "*", the type is the prefix.
        var isWild: Bool
    }

    private var bytes: [UInt8] = []
    private var patterns: [Pattern] = []

    /// Only the first "*" after the slash (or "*/*") is one; the rest are bytes like others.
    init(_ texts: [String]) {
        for text in texts {
            let all = text == "*/*" ? [UInt8(ascii: "*")] : text.utf8.map(asciiLowercased)
            let star = all.firstIndex(of: UInt8(ascii: "*"))
            let prefix = all[..<(star ?? all.count)]
            let suffix = star.map { all[($0 + 1)...] } ?? []
            patterns.append(
                Pattern(
                    offset: bytes.count, prefixCount: prefix.count, suffixCount: suffix.count,
                    isWild: star != nil))
            bytes += prefix
            bytes += suffix
        }
    }

    /// Whether a Content-Type value is of one of the types; its parameters do not count.
    func match(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = value.baseAddress else { return false }
        var count = 0
        while count < value.count, base[count] != UInt8(ascii: ";"), base[count] != 0x20, base[count] != 0x09
        {
            count += 1
        }
        let isEvents = equals(base, count, lowercase: "text/event-stream")
        return bytes.withUnsafeBufferPointer { all in
            patterns.withUnsafeBufferPointer { patterns in
                for pattern in patterns {
                    if pattern.isWild && isEvents { continue }
                    let fixed = pattern.prefixCount + pattern.suffixCount
                    guard pattern.isWild ? count >= fixed : count == fixed else { continue }
                    guard let start = all.baseAddress.map({ $0 + pattern.offset }) else {
                        // "*/*" alone: there are no bytes to compare.
                        if pattern.isWild { return true }
                        continue
                    }
                    let suffix = start + pattern.prefixCount
                    if equalIgnoringASCIICase(base, pattern.prefixCount, start, pattern.prefixCount),
                        equalIgnoringASCIICase(
                            base + (count - pattern.suffixCount), pattern.suffixCount, suffix,
                            pattern.suffixCount)
                    {
                        return true
                    }
                }
                return false
            }
        }
    }
}

/// RFC 9530 fields and their predecessors.
func isDigestField(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    switch count {
    case 6: equals(name, count, lowercase: "digest")
    case 11:
        equals(name, count, lowercase: "content-md5") || equals(name, count, lowercase: "repr-digest")
    case 14: equals(name, count, lowercase: "content-digest")
    default: false
    }
}
