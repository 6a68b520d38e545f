// Paths of a route.
//
//   /a/b                exact
//   /v1/*               prefix of whole segments: /v1, /v1/ and /v1/x, not /v1x; /* is every path
//   /users/{id}/posts   a capture is one whole, non-empty segment
//   /files/{rest*}      a prefix whose remainder (may be empty) is captured
//   ~^/x/(?<n>\d+)$     regular expression (PCRE2), named groups are captures
//
// What is compared is what decides for a path (HTTPModel/PathForm.swift), in patterns as in requests:
// /caf%c3%a9, /caf%C3%A9 and /café are one, and so are /%40me and /@me. Expressions see that text too:
// UTF-8, in which "%", control characters and an encoded slash or backslash are still escapes.

import WeirHTTPModel

/// One path of a route.
public struct PathPattern: Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable { case exact, segments, prefix, expression }

    enum Segment: Sendable, Equatable {
        case literal([UInt8])
        case capture(String)
    }

    /// Captures a pattern may have.
    public static let capturesMax = 8

    public let kind: Kind
    public let text: String
    /// Names of captures in order.
    public let captures: [String]
    let segments: [Segment]
    /// The name in `{rest*}`.
    let tail: String?
    let expression: RegularExpression?

    public var description: String { text }

    /// `/*`
    public static let all = PathPattern(
        kind: .prefix, text: "/*", captures: [], segments: [], tail: nil, expression: nil)

    public static func parse(_ text: String) throws(PatternError) -> PathPattern {
        let bytes = Array(text.utf8)
        if bytes.first == 0x7e { return try expression(text) }
        guard bytes.first == 0x2f else {
            throw PatternError(at: 0, "expected '/' (a path) or '~' (a regular expression)")
        }
        var segments: [Segment] = []
        var captures: [String] = []
        var tail: String?
        var isPrefix = false
        var start = 1
        while start <= bytes.count {
            let end = bytes[start...].firstIndex(of: 0x2f) ?? bytes.count
            if isPrefix { throw PatternError(at: start - 1, "expected the end of the path after '*'") }
            let segment = bytes[start..<end]
            if segment.elementsEqual([0x2a]) {
                isPrefix = true
            } else if segment.first == 0x7b {
                let (name, isTail) = try capture(segment)
                if captures.contains(name) {
                    throw PatternError(at: start + 1, "expected another name: '\(name)' is taken")
                }
                captures.append(name)
                guard captures.count <= capturesMax else {
                    throw PatternError(at: start, "expected at most \(capturesMax) captures")
                }
                if isTail {
                    tail = name
                    isPrefix = true
                } else {
                    segments.append(.capture(name))
                }
            } else {
                segments.append(.literal(try literal(segment)))
            }
            start = end + 1
        }
        let kind: Kind = isPrefix ? .prefix : captures.isEmpty ? .exact : .segments
        return PathPattern(
            kind: kind, text: text, captures: captures, segments: segments, tail: tail, expression: nil)
    }

    private static func expression(_ text: String) throws(PatternError) -> PathPattern {
        guard text.utf8.count > 1 else {
            throw PatternError(at: 1, "expected a regular expression after '~'")
        }
        let expression = try RegularExpression(String(text.dropFirst()), offset: 1, isText: true)
        let names = expression.groups.map { $0.name }
        guard names.count <= capturesMax else {
            throw PatternError(at: 1, "expected at most \(capturesMax) named groups, found \(names.count)")
        }
        return PathPattern(
            kind: .expression, text: text, captures: names, segments: [], tail: nil, expression: expression)
    }

    private static func capture(_ segment: ArraySlice<UInt8>) throws(PatternError) -> (String, Bool) {
        guard let close = segment.firstIndex(of: 0x7d) else {
            throw PatternError(at: segment.endIndex, "expected '}'")
        }
        guard close == segment.endIndex - 1 else {
            throw PatternError(
                at: close + 1, "expected '/' or the end: a capture is a whole segment (for a part, use ~)")
        }
        var name = segment[(segment.startIndex + 1)..<close]
        let isTail = name.last == 0x2a
        if isTail { name.removeLast() }
        if name.isEmpty {
            throw PatternError(at: segment.startIndex + 1, "expected a name, for example {id}")
        }
        if let bad = name.firstIndex(where: { !isNameByte($0) }) {
            throw PatternError(at: bad, "expected a letter, digit, '-' or '_'")
        }
        return (String(decoding: name, as: UTF8.self), isTail)
    }

    /// What decides for a literal segment.
    private static func literal(_ segment: ArraySlice<UInt8>) throws(PatternError) -> [UInt8] {
        var raw: [UInt8] = []
        for at in segment.indices {
            switch segment[at] {
            case 0x2a:
                throw PatternError(
                    at: at, "expected '*' only as the whole last segment (/v1/*); for a part, use ~")
            case 0x7b, 0x7d:
                throw PatternError(at: at, "expected a capture to be a whole segment; for a part, use ~")
            case 0x3f: throw PatternError(at: at, "expected a path without query; use the query condition")
            case 0x23: throw PatternError(at: at, "expected a path without fragment")
            case 0...0x20, 0x7f: throw PatternError(at: at, "expected no blanks or control characters")
            case 0x25:
                guard at + 2 < segment.endIndex, hexValue(segment[at + 1]) != nil,
                    hexValue(segment[at + 2]) != nil
                else { throw PatternError(at: at + 1, "expected two hexadecimal digits after '%'") }
                raw.append(0x25)
            case let byte: raw.append(byte)
            }
        }
        let result = deciding(raw)
        // Requests with such segments are not to be trusted, and a pattern could never be meant by one.
        if result == [0x2e] || result == [0x2e, 0x2e] {
            throw PatternError(at: segment.startIndex, "expected no '.' or '..' segment")
        }
        return result
    }
    /// How a byte of a path or URL of a configuration, written as people write it, goes into one.
    static func spelled(_ byte: UInt8, in place: Template.Place) -> [UInt8] {
        switch byte {
        case UInt8(ascii: "#"): if place == .url { return [byte] }
        case 0...0x20, 0x22, 0x3c, 0x3e, 0x5c, 0x60, 0x7b, 0x7d, 0x7f...0xff: break
        default: return [byte]
        }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3) { escape in
            if let start = escape.baseAddress { PathForm.writeEscape(byte, to: start) }
            return Array(escape)
        }
    }

    /// A path of a configuration as it goes into a target.
    public static func spelled(_ text: some Sequence<UInt8>) -> [UInt8] {
        text.flatMap { spelled($0, in: .target) }
    }

    /// What decides for a path of a configuration (a whole one, or a part), which may be written in UTF-8.
    public static func deciding(_ text: some Sequence<UInt8>) -> [UInt8] {
        let path = spelled(text)
        // An array of no room is one that all threads share, and would be written to.
        if path.isEmpty { return [] }
        return [UInt8](unsafeUninitializedCapacity: path.count) { out, count in
            path.withUnsafeBufferPointer { path in
                guard let from = path.baseAddress, let to = out.baseAddress else { return }
                count = PathForm.writeDeciding(from, path.count, into: to)
            }
        }
    }
}
