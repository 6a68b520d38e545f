// The closed set of what can be wrong with an HTTP/1.1 message.
//
// Nothing is repaired: whatever is ambiguous or malformed is answered with one of these, together
// with the offset of the offending byte. A violation is data (one byte), so that it can be logged,
// counted and compared; the wording and the clause of the standard hang off it. Where a rule is
// Weir's own and stricter than the standard, the text says what is expected and the section names
// the clause that it tightens.

/// What is wrong with a message head, a chunked body or a trailer section.
public enum Violation: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// Nothing; never reported.
    case none = 0

    // Lines
    case bareCR, bareLF

    // Request line
    case extraEmptyLine, methodMissing, methodInvalid, requestLineWhitespace, versionMissing
    case versionMalformed
    /// A well-formed version of another major number than 1: answered with 505 by a server.
    case versionUnsupported

    // Request target
    case targetFormUnknown, asteriskNotOptions, connectTargetNotAuthority, schemeUnsupported
    case userinfoInTarget, targetAuthorityInvalid, targetByteInvalid, targetFragment
    case percentEncodingInvalid, encodedNUL, dotSegment

    // Status line
    case statusLineMalformed, statusInvalid, reasonByteInvalid

    // Field lines
    case fieldNameMissing, fieldNameInvalid, whitespaceBeforeColon, colonMissing, lineFolding
    case leadingWhitespace, fieldValueByteInvalid

    // Host
    case hostMissing, hostDuplicate, hostInvalid, hostMismatch

    // Framing
    case contentLengthInvalid, contentLengthTooLarge, contentLengthDuplicate
    case transferEncodingMalformed, transferEncodingUnknown, transferEncodingDuplicate
    case transferEncodingInHTTP10, transferEncodingWithContentLength

    // Other fields
    case connectionMalformed, connectionNamesEssentialField
    /// Anything but `100-continue` in `Expect`: answered with 417 by a server.
    case expectationUnknown

    // Chunked coding
    case chunkSizeMissing, chunkSizeInvalid, chunkSizeTooLarge, chunkExtensionMalformed
    case chunkExtensionTooLong, chunkOverheadExcessive, chunkLineEndMalformed, chunkDataEndMalformed

    // Trailers
    case trailersTooLarge, trailerForbidden

    // Paths, continued: numbers stand in logs, so what is new comes last.
    case pathAboveRoot, pathAmbiguous
    // What a listener was told to refuse
    case fieldNameUnderscore

    /// What is wrong, as the middle of a sentence ("whitespace before the colon").
    public var text: StaticString {
        switch self {
        case .none: "nothing"
        case .bareCR: "a carriage return that is not followed by a line feed"
        case .bareLF: "a line feed that does not follow a carriage return"
        case .extraEmptyLine: "more than one empty line before the request line"
        case .methodMissing: "no method"
        case .methodInvalid: "a byte in the method that is not a token character"
        case .requestLineWhitespace: "whitespace other than one space between the parts of the request line"
        case .versionMissing: "no protocol version after the request target"
        case .versionMalformed: "a protocol version that is not HTTP/digit.digit"
        case .versionUnsupported: "a protocol version other than HTTP/1.x"
        case .targetFormUnknown: "a request target in none of the four forms"
        case .asteriskNotOptions: "the target * with a method other than OPTIONS"
        case .connectTargetNotAuthority: "a CONNECT target that is not host:port"
        case .schemeUnsupported: "a target URI whose scheme is neither http nor https"
        case .userinfoInTarget: "user information in the target URI"
        case .targetAuthorityInvalid: "an invalid host or port in the target URI"
        case .targetByteInvalid: "a byte in the target that must be percent-encoded"
        case .targetFragment: "a fragment in the target"
        case .percentEncodingInvalid: "a percent sign without two hexadecimal digits in the path"
        case .encodedNUL: "an encoded NUL in the path"
        case .dotSegment: "a dot segment in the path"
        case .statusLineMalformed:
            "a status line that does not start with HTTP/digit.digit, a space and a status"
        case .statusInvalid: "a status that is not three digits from 100 to 999"
        case .reasonByteInvalid: "a control character in the reason phrase"
        case .fieldNameMissing: "an empty field name"
        case .fieldNameInvalid: "a byte in a field name that is not a token character"
        case .whitespaceBeforeColon: "whitespace before the colon"
        case .colonMissing: "a field line without a colon"
        case .lineFolding: "a folded field line"
        case .leadingWhitespace: "whitespace before the first field line"
        case .fieldValueByteInvalid: "a control character in a field value"
        case .hostMissing: "no Host field"
        case .hostDuplicate: "more than one Host field"
        case .hostInvalid: "an invalid Host value"
        case .hostMismatch: "a Host value that differs from the authority of the target"
        case .contentLengthInvalid: "a Content-Length that is not a decimal number"
        case .contentLengthTooLarge: "a Content-Length of 2^63 or more"
        case .contentLengthDuplicate: "more than one Content-Length field"
        case .transferEncodingMalformed: "a malformed Transfer-Encoding"
        case .transferEncodingUnknown: "a Transfer-Encoding other than exactly chunked"
        case .transferEncodingDuplicate: "more than one Transfer-Encoding field"
        case .transferEncodingInHTTP10: "Transfer-Encoding in an HTTP/1.0 message"
        case .transferEncodingWithContentLength: "Transfer-Encoding together with Content-Length"
        case .connectionMalformed: "a Connection value that is not a list of at most 64 tokens"
        case .connectionNamesEssentialField: "a Connection value that names a field of the message itself"
        case .expectationUnknown: "an expectation other than 100-continue"
        case .chunkSizeMissing: "a chunk without a size"
        case .chunkSizeInvalid: "a chunk size that is not hexadecimal"
        case .chunkSizeTooLarge: "a chunk size of more than 15 digits"
        case .chunkExtensionMalformed: "a malformed chunk extension"
        case .chunkExtensionTooLong: "chunk extensions of more than 256 bytes in one chunk"
        case .chunkOverheadExcessive: "chunk sizes and extensions out of proportion to the data"
        case .chunkLineEndMalformed: "a chunk size line that does not end with CRLF"
        case .chunkDataEndMalformed: "chunk data that is not followed by CRLF"
        case .trailersTooLarge: "trailers over the limit"
        case .trailerForbidden: "a framing or routing field among the trailers"
        case .pathAboveRoot: "a path that climbs above its root"
        case .pathAmbiguous: "a path that servers read differently"
        case .fieldNameUnderscore: "an underscore in a field name, which this listener refuses"
        }
    }

    /// The clause of the standard that the message breaks ("RFC 9112 §5.1").
    public var section: StaticString {
        switch self {
        case .none: ""
        case .bareCR, .bareLF, .extraEmptyLine, .leadingWhitespace: "RFC 9112 §2.2"
        case .methodMissing, .methodInvalid: "RFC 9112 §3.1"
        case .requestLineWhitespace, .versionMissing: "RFC 9112 §3"
        case .versionMalformed: "RFC 9112 §2.3"
        case .versionUnsupported: "RFC 9110 §2.5"
        case .targetFormUnknown: "RFC 9112 §3.2"
        case .asteriskNotOptions: "RFC 9112 §3.2.4"
        case .connectTargetNotAuthority: "RFC 9112 §3.2.3"
        case .schemeUnsupported: "RFC 9112 §3.2.2"
        case .userinfoInTarget: "RFC 9110 §4.2.4"
        case .targetAuthorityInvalid: "RFC 3986 §3.2"
        case .targetByteInvalid: "RFC 3986 §2"
        case .targetFragment: "RFC 9112 §3.2.1"
        case .percentEncodingInvalid, .encodedNUL: "RFC 3986 §2.1"
        case .dotSegment, .pathAmbiguous: "RFC 3986 §3.3"
        case .pathAboveRoot: "RFC 3986 §5.2.4"
        case .statusLineMalformed, .statusInvalid, .reasonByteInvalid: "RFC 9112 §4"
        case .fieldNameMissing, .fieldNameInvalid: "RFC 9110 §5.1"
        case .whitespaceBeforeColon, .colonMissing: "RFC 9112 §5.1"
        case .lineFolding: "RFC 9112 §5.2"
        case .fieldValueByteInvalid: "RFC 9110 §5.5"
        case .hostMissing, .hostDuplicate, .hostInvalid: "RFC 9112 §3.2"
        case .hostMismatch: "RFC 9112 §3.2.2"
        case .contentLengthInvalid, .contentLengthTooLarge: "RFC 9110 §8.6"
        case .contentLengthDuplicate: "RFC 9112 §6.3"
        case .transferEncodingMalformed, .transferEncodingUnknown, .transferEncodingDuplicate,
            .transferEncodingInHTTP10:
            "RFC 9112 §6.1"
        case .transferEncodingWithContentLength: "RFC 9112 §6.3"
        case .connectionMalformed, .connectionNamesEssentialField: "RFC 9110 §7.6.1"
        case .expectationUnknown: "RFC 9110 §10.1.1"
        case .chunkSizeMissing, .chunkSizeInvalid, .chunkSizeTooLarge, .chunkLineEndMalformed,
            .chunkDataEndMalformed:
            "RFC 9112 §7.1"
        case .chunkExtensionMalformed, .chunkExtensionTooLong, .chunkOverheadExcessive: "RFC 9112 §7.1.1"
        case .trailersTooLarge: "RFC 9112 §7.1.2"
        case .trailerForbidden: "RFC 9110 §6.5.1"
        case .fieldNameUnderscore: "RFC 9110 §17.10"
        }
    }
}
