// What a head parser is given as bounds and what it answers.

/// The bounds of one message head.
public struct HeadLimits: Sendable, BitwiseCopyable {
    /// Longest head in bytes, empty lines before and the final empty line included.
    public var bytesMax = 65_536
    /// Most field lines; the table handed to the parser has room for as many.
    public var fieldsMax = 200
    /// Longest request target in bytes.
    public var targetBytesMax = 32_768
    /// Longest field name in bytes, at most 65,535.
    public var fieldNameBytesMax = 1_024
    /// Whether paths that servers read differently (dot segments, two slashes in a row, an encoded slash or
    /// backslash) are malformed, whatever they would come to.
    public var refusesAmbiguousPaths = false
    /// What becomes of request fields with `_` in their names.
    public var underscores = UnderscoreRule.pass

    public init() {}
}

/// What becomes of request fields with `_` in their names. Applications that get fields as variables (CGI, WSGI,
/// PHP) cannot tell `X_User` from `X-User` (RFC 9110 §17.10).
public enum UnderscoreRule: UInt8, Sendable, BitwiseCopyable {
    /// They pass, but for those that read like a field which Weir writes or strips for trust.
    case pass
    /// None passes.
    case drop
    /// The request is refused.
    case refuse
}

/// Which of the bounds a head went over.
public enum HeadLimit: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// `bytesMax`: a server answers 431.
    case bytes
    /// `fieldsMax`: a server answers 431.
    case fields
    /// `targetBytesMax`: a server answers 414.
    case target
    /// `fieldNameBytesMax`: a server answers 431.
    case fieldName
}

/// What came of an attempt to parse a head.
public enum HeadResult: Equatable, Sendable, BitwiseCopyable {
    /// The head is whole; `byteCount` of the head says how many bytes it took.
    case complete
    /// So far nothing is wrong. Call again, from the head's first byte, with more bytes.
    case incomplete
    /// The message is malformed. `at` is the offset of the offending byte (or of the field or value
    /// that is wrong as a whole) from the first byte given.
    case malformed(Violation, at: Int)
    /// A bound is exceeded.
    case tooLarge(HeadLimit)
}

/// Carries an answer other than `.complete` out of the nested parsing functions.
struct HeadStop: Error {
    let result: HeadResult

    static var incomplete: HeadStop { HeadStop(result: .incomplete) }
    static func malformed(_ violation: Violation, _ at: Int) -> HeadStop {
        HeadStop(result: .malformed(violation, at: at))
    }
    static func tooLarge(_ limit: HeadLimit) -> HeadStop { HeadStop(result: .tooLarge(limit)) }
}
