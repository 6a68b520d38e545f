// The text of an expression as tokens, each with its place.
//
//   request.header["x-tenant"] == 'blue' && response.bytes > 10MiB
//
// Texts stand in single or double quotes. A backslash in them is itself, so that regular expressions can be
// written as they are; before a quote, or another backslash, it takes that one in.

struct Token: Equatable {
    enum Kind: Equatable {
        /// A word: dots and hyphens are part of it, since nothing is subtracted here.
        case word(String)
        case text([UInt8])
        case number(Int64)
        /// A number with a unit; microseconds or bytes.
        case quantity(Int64, Property.Kind)
        /// `&&`, `==`, `(` …
        case sign(String)
        case end
    }

    let kind: Kind
    let span: Range<Int>
}

/// Units as the configuration has them.
enum Units {
    static let durations: [(name: String, factor: Int64)] = [
        ("ms", 1_000), ("s", 1_000_000), ("m", 60_000_000), ("h", 3_600_000_000), ("d", 86_400_000_000),
    ]
    static let sizes: [(name: String, factor: Int64)] = [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ]

    /// What a number without a unit probably meant.
    static func meant(_ number: Int64, _ kind: Property.Kind) -> String {
        kind == .duration
            ? "\(number)\(number < 100 ? "s" : "ms")" : "\(number)\(number < 1024 ? "KiB" : "B")"
    }
}

struct Lexer {
    private let text: [UInt8]
    private var at = 0

    init(_ text: [UInt8]) { self.text = text }

    /// All tokens, the end as the last of them.
    mutating func tokens() throws(ExpressionError) -> [Token] {
        var result: [Token] = []
        while true {
            let token = try next()
            result.append(token)
            if token.kind == .end { return result }
        }
    }

    private mutating func next() throws(ExpressionError) -> Token {
        while at < text.count, text[at] == 0x20 || (0x09...0x0a).contains(text[at]) || text[at] == 0x0d {
            at += 1
        }
        guard at < text.count else { return Token(kind: .end, span: at..<at) }
        let start = at
        switch text[at] {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): return try quoted()
        case UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        case let byte where Self.startsWord(byte):
            while at < text.count, Self.isInWord(text[at]) { at += 1 }
            // A dot at its end is a slip that the property's name will show.
            return Token(kind: .word(String(decoding: text[start..<at], as: UTF8.self)), span: start..<at)
        default: return try sign()
        }
    }

    private static func startsWord(_ byte: UInt8) -> Bool {
        (byte | 0x20) &- 97 < 26 || byte == UInt8(ascii: "_")
    }

    private static func isInWord(_ byte: UInt8) -> Bool {
        startsWord(byte) || byte &- 48 < 10 || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-")
    }

    private mutating func quoted() throws(ExpressionError) -> Token {
        let start = at
        let quote = text[at]
        at += 1
        var content: [UInt8] = []
        while at < text.count {
            let byte = text[at]
            if byte == quote {
                at += 1
                return Token(kind: .text(content), span: start..<at)
            }
            if byte < 0x20 && byte != 0x09 || byte == 0x7f {
                throw ExpressionError(
                    at: at, "a control character in a text", expected: "the quote that ends it")
            }
            let next = at + 1 < text.count ? text[at + 1] : 0
            let isEscape = byte == UInt8(ascii: "\\") && "\"'\\".utf8.contains(next)
            content.append(isEscape ? next : byte)
            at += isEscape ? 2 : 1
        }
        throw ExpressionError(
            start..<text.count, "the text has no end", expected: quote == UInt8(ascii: "'") ? "'" : "\"")
    }

    private mutating func number() throws(ExpressionError) -> Token {
        let start = at
        while at < text.count, text[at] &- 48 < 10 { at += 1 }
        let digits = String(decoding: text[start..<at], as: UTF8.self)
        let unitAt = at
        while at < text.count, Self.isInWord(text[at]) { at += 1 }
        let unit = String(decoding: text[unitAt..<at], as: UTF8.self)
        guard let value = Int64(digits), digits.utf8.count <= 18 else {
            throw ExpressionError(start..<unitAt, "the number is too large", expected: "at most 18 digits")
        }
        if unit.isEmpty { return Token(kind: .number(value), span: start..<at) }
        for (units, kind) in [(Units.durations, Property.Kind.duration), (Units.sizes, .size)] {
            guard let factor = units.first(where: { $0.name == unit })?.factor else { continue }
            let (product, isTooLarge) = value.multipliedReportingOverflow(by: factor)
            guard !isTooLarge else { throw ExpressionError(start..<at, "\(digits)\(unit) is too large") }
            return Token(kind: .quantity(product, kind), span: start..<at)
        }
        if unit.utf8.first == UInt8(ascii: ".") {
            throw ExpressionError(
                start..<at, "\"\(digits)\(unit)\" is not a whole number",
                expected: "a whole number, or an address in quotes", meant: "\"\(digits)\(unit)\"")
        }
        let names = Units.durations.map(\.name) + Units.sizes.map(\.name)
        throw ExpressionError(
            unitAt..<at, "unknown unit \"\(unit)\"", expected: "one of \(names.joined(separator: ", "))",
            meant: names.first { $0.lowercased() == unit.lowercased() }.map { digits + $0 })
    }

    private static let signs = [
        "&&", "||", "==", "!=", "<=", ">=", "??", "(", ")", "[", "]", ",", "<", ">", "!",
    ]
    /// What other languages write, and what it is called here.
    private static let foreign: [(sign: String, here: String)] = [
        ("=~", "matches"), ("!~", "! and matches"), ("~", "matches"), ("=", "=="), ("&", "&&"), ("|", "||"),
        ("?", "??"),
    ]

    private mutating func sign() throws(ExpressionError) -> Token {
        let rest = text[at...]
        let start = at
        // A tilde behind another sign makes it one of another language.
        for (sign, here) in Self.foreign where sign.hasSuffix("~") && rest.starts(with: sign.utf8) {
            throw ExpressionError(
                start..<start + sign.utf8.count, "\"\(sign)\" is no operator here", expected: here,
                meant: sign == "!~" ? nil : here)
        }
        for sign in Self.signs where rest.starts(with: sign.utf8) {
            at += sign.utf8.count
            return Token(kind: .sign(sign), span: start..<at)
        }
        for (sign, here) in Self.foreign where rest.starts(with: sign.utf8) {
            throw ExpressionError(
                start..<start + sign.utf8.count, "\"\(sign)\" is no operator here", expected: here,
                meant: here)
        }
        // As many bytes as its character has.
        let length = 1 + rest.dropFirst().prefix { $0 & 0xc0 == 0x80 }.count
        let character = String(decoding: rest.prefix(length), as: UTF8.self)
        let isPrintable = text[at] > 0x20 && text[at] != 0x7f
        throw ExpressionError(
            start..<start + length,
            isPrintable ? "\"\(character)\" has no meaning here" : "a control character",
            expected: "a property, a text in quotes, or an operator")
    }
}
