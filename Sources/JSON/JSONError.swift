// What can be wrong with a JSON text, and where.

/// What is wrong with a JSON text. Closed: whoever reports one can name each.
public enum JSONViolation: UInt8, Sendable, Equatable, CaseIterable {
    /// Nothing but blanks.
    case empty
    case unexpectedEnd
    /// A byte order mark (RFC 8259 §8.1 lets a reader refuse it).
    case byteOrderMark
    case expectedValue, expectedName, expectedColon
    /// Neither a comma nor the end of the array or object.
    case expectedCommaOrEnd
    /// Something behind the value.
    case trailingBytes
    case badNumber
    /// A control character that is not escaped.
    case controlCharacter
    case badEscape
    /// `\ud800` without its other half: no character, and nothing UTF-8 could hold.
    case loneSurrogate
    /// A string that is not UTF-8 (RFC 3629): overlong, a surrogate, above U+10FFFF, cut off.
    case notUTF8
    case duplicateName
    case tooDeep, tooLong, tooManyValues
}

extension JSONViolation: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: "expected a value, found nothing"
        case .unexpectedEnd: "the text ends too early"
        case .byteOrderMark: "a byte order mark is no part of JSON"
        case .expectedValue: "expected a value"
        case .expectedName: "expected a name in quotes"
        case .expectedColon: "expected ':'"
        case .expectedCommaOrEnd: "expected ',' or the end of the array or object"
        case .trailingBytes: "expected nothing behind the value"
        case .badNumber: "not a number as JSON writes them"
        case .controlCharacter: "a control character in a string has to be escaped"
        case .badEscape: "not an escape"
        case .loneSurrogate: "half of a surrogate pair"
        case .notUTF8: "not UTF-8"
        case .duplicateName: "the name stands twice in the object"
        case .tooDeep: "nested too deep"
        case .tooLong: "too long"
        case .tooManyValues: "too many values"
        }
    }
}

/// Why a JSON text was refused.
public struct JSONError: Error, Equatable, Sendable {
    public var violation: JSONViolation
    /// The first byte that cannot stand where it stands; the length of the text where it ends too early.
    public var offset: Int

    public init(_ violation: JSONViolation, at offset: Int) {
        self.violation = violation
        self.offset = offset
    }

    /// Line and column, both from 1; columns count characters. For people: it walks the text.
    public func position(in text: [UInt8]) -> (line: Int, column: Int) {
        var line = 1
        var column = 1
        for byte in text.prefix(offset) {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {
                column += 1
            }
        }
        return (line, column)
    }
}

/// How much of a JSON text is read. What is beyond is refused as such, before it costs anything.
public struct JSONLimits: Sendable, Equatable {
    /// The deepest nesting a reader can be told to follow: what it knows of the way back is a bit per level.
    public static let depthCeiling = 512

    /// Objects and arrays within each other; at most `depthCeiling`.
    public var depth: Int
    public var bytes: Int
    /// Values, those within others included.
    public var values: Int

    public init(depth: Int = 64, bytes: Int = 1 << 20, values: Int = 100_000) {
        self.depth = max(0, min(depth, Self.depthCeiling))
        self.bytes = bytes
        self.values = values
    }
}
