// Texts with variables: header values, redirect targets, rewrites.
//
//   "{request.scheme}://{request.host}/v2{request.path}"     {{ and }} stand for single braces
//
// Parsed once; an unknown variable is an error with its position and the nearest known name. Where the text
// goes decides how values stand in it: in a target or URL what is data (a field, a parameter, a cookie) is
// escaped, so that it can be no part of the structure, and the parts of a URL that say which host it leads
// to must not come from the client (TemplateURL.swift).

import WeirExpressions
import WeirHTTPModel

extension Property {
    /// Text a client writes and that is no piece of a URL yet.
    var isData: Bool { definition.author == .clientData }

    /// A client decides what it says, and it is not held to the form of a host or number.
    var isFree: Bool { definition.author != .weir }

    /// A value of the client's certificate; nil for others.
    var certificatePart: CertificatePart? {
        switch self {
        case .certificateVerified: .whole
        case .certificateSubject: .subject
        case .certificateIssuer: .issuer
        case .certificateSAN: .san
        case .certificateFingerprint: .fingerprint
        case .certificateSerial: .serial
        default: nil
        }
    }
}

/// A parsed text. Immutable; rendered without allocation.
public struct Template: Sendable {
    /// Where the text goes.
    public enum Place: Sendable, Equatable {
        /// A field value.
        case text
        /// The target of a request: path, perhaps query.
        case target
        /// A URL a client follows.
        case url
        /// The target of the request for an error's page.
        case page
        /// The body of an answer to an error, in the language of its content type.
        case body(Markup)

        var isBody: Bool { if case .body = self { true } else { false } }
        /// What can be asked there: under errors, about the error too.
        fileprivate var known: Known { isBody || self == .page ? .error : .route }

        /// How values stand in it, where nothing else decides.
        fileprivate var form: Form {
            switch self {
            case .body(.html): .html
            case .body(.json): .json
            case .text, .target, .url, .page, .body(.text): .asItIs
            }
        }

        /// Literal text that a URL could not hold is percent-encoded.
        fileprivate var isURL: Bool {
            switch self {
            case .target, .url, .page: true
            case .text, .body: false
            }
        }
    }

    /// The language of a body: what values must not be able to be a part of.
    public enum Markup: Sendable {
        case text, html, json
    }

    /// How a value stands in the text.
    enum Form: UInt8, Sendable, BitwiseCopyable {
        case asItIs
        /// What could be structure of a URL is percent-encoded.
        case escaped
        /// What no host name has is percent-encoded.
        case host
        /// Text between tags, or of an attribute in quotes (TemplateMarkup.swift).
        case html
        /// Part of a string.
        case json
    }

    struct Piece: Sendable, BitwiseCopyable {
        /// nil for literal text.
        var variable: Property?
        var id: FieldID = .other
        /// Literal text, or the name after the last dot.
        var text: ByteRange
        var form = Form.asItIs
        /// Of a group.
        var number: UInt8 = 0
        /// Where it stands in the source.
        var position = 0
    }

    /// The text it was parsed from.
    public let source: String
    let pieces: [Piece]
    let bytes: [UInt8]
    /// A URL that begins with the path: it must not begin with two slashes, or it would name a host.
    let isPathReference: Bool

    /// Variables used, so that a caller computes only what is needed.
    public var variables: [Property] { pieces.compactMap { $0.variable } }
    /// Whether `{time.iso}` occurs: only then has the text of the time to be made.
    public let usesTime: Bool
    /// Whether a value of the client's certificate occurs: only then has it to be read.
    public let usesCertificate: Bool
    /// The text itself, where there is no variable in it.
    public var literal: [UInt8]? { pieces.contains { $0.variable != nil } ? nil : bytes }
    /// Names used as `{path.NAME}`, to be checked against the captures of the route.
    public var captureNames: [String] {
        pieces.filter { $0.variable == .capture }.map { piece in
            String(decoding: bytes[Int(piece.text.offset)..<Int(piece.text.end)], as: UTF8.self)
        }
    }

    init(source: String, pieces: [Piece], bytes: [UInt8], isPathReference: Bool) {
        self.source = source
        self.isPathReference = isPathReference
        self.pieces = pieces
        self.bytes = bytes
        usesTime = pieces.contains { $0.variable == .timeISO }
        usesCertificate = pieces.contains { $0.variable?.certificatePart != nil }
    }

    /// Parses a text.
    ///
    /// - Parameter expression: whose groups `{match.N}` and `{match.NAME}` stand for.
    public static func parse(
        _ text: String, for place: Place = .text, of expression: RegularExpression? = nil
    ) throws(PatternError) -> Template {
        let source = Array(text.utf8)
        var pieces: [Piece] = []
        var bytes: [UInt8] = []
        var literalStart = 0
        func endLiteral() {
            guard bytes.count > literalStart else { return }
            pieces.append(
                Piece(
                    variable: nil, text: ByteRange(literalStart, bytes.count - literalStart),
                    position: literalPosition))
        }
        var literalPosition = 0
        var at = 0
        while at < source.count {
            let byte = source[at]
            let next = at + 1 < source.count ? source[at + 1] : 0
            if byte == 0x7b || byte == 0x7d, next == byte {
                bytes += place.isURL ? PathPattern.spelled(byte, in: place) : [byte]
                at += 2
            } else if byte == 0x7d {
                throw PatternError(at: at, "expected '}}' for a brace that is text")
            } else if byte == 0x7b {
                guard let close = source[at...].firstIndex(of: 0x7d) else {
                    throw PatternError(at: source.count, "expected '}' (and '{{' for a brace that is text)")
                }
                endLiteral()
                let name = String(decoding: source[(at + 1)..<close], as: UTF8.self)
                var piece = try variable(name, at: at + 1, &bytes, place, expression)
                piece.position = at
                // Phrases have spaces.
                let isEscaped = piece.variable?.isData == true || piece.variable == .errorPhrase
                piece.form = place.isURL && isEscaped ? .escaped : place.form
                pieces.append(piece)
                literalStart = bytes.count
                at = close + 1
                literalPosition = at
            } else if byte < 0x20 && byte != 0x09 && !(place.isBody && (byte == 0x0a || byte == 0x0d))
                || byte == 0x7f
            {
                throw PatternError(at: at, "expected no control characters")
            } else {
                bytes += place.isURL ? PathPattern.spelled(byte, in: place) : [byte]
                at += 1
            }
        }
        endLiteral()
        var isPathReference = false
        if place == .url { isPathReference = try checkHost(of: &pieces, bytes) }
        return Template(source: text, pieces: pieces, bytes: bytes, isPathReference: isPathReference)
    }

    private static func variable(
        _ text: String, at position: Int, _ bytes: inout [UInt8], _ place: Place,
        _ expression: RegularExpression?
    ) throws(PatternError) -> Piece {
        if let written = Property.written(text) {
            let property = written.property
            let row = property.definition
            guard place.known.contains(property) else {
                throw PatternError(
                    at: position,
                    "'\(text)' is known \(row.moment == .error ? "under errors" : row.moment.text) only")
            }
            guard let at = written.nameAt else { return Piece(variable: property, text: .empty) }
            var name = String(decoding: text.utf8.dropFirst(at), as: UTF8.self)
            let nameAt = position + at
            if name.isEmpty { throw PatternError(at: nameAt, "expected a name after '\(text)'") }
            if property == .group {
                return Piece(variable: .group, text: .empty, number: try group(name, at: nameAt, expression))
            }
            if property == .header || property == .cookie || property == .capture {
                if let bad = Array(name.utf8).firstIndex(where: { !isTokenByte($0) }) {
                    throw PatternError(at: nameAt + bad, "expected a letter, digit or '-'")
                }
            }
            if property == .header { name = name.lowercased() }
            let id =
                property == .header
                ? FieldID.allCases.first { $0 != .other && $0.name.description == name } ?? .other : .other
            bytes += Array(name.utf8)
            let count = name.utf8.count
            return Piece(variable: property, id: id, text: ByteRange(bytes.count - count, count))
        }
        // Style sheets and JSON have braces of their own.
        if text.isEmpty || !text.utf8.allSatisfy({ isTokenByte($0) || $0 == UInt8(ascii: "?") }) {
            throw PatternError(
                at: position - 1,
                "expected the name of a variable behind '{'; a brace that is text is written twice: '{{', '}}'"
            )
        }
        let known = Property.names(place.known, isTemplate: true).filter {
            expression != nil || $0 != "match.NAME"
        }
        let nearest = Nearest.name(to: text, in: known)
        throw PatternError(
            at: position,
            nearest.map { $0.edits <= max(2, text.utf8.count / 2) } ?? false
                ? "unknown variable '\(text)'; did you mean '\(nearest?.name ?? "")'?"
                : "unknown variable '\(text)'; expected one of \(known.joined(separator: ", "))")
    }

    /// The number of a group of the expression, by number or name; 0 is all of the match.
    private static func group(
        _ name: String, at position: Int, _ expression: RegularExpression?
    ) throws(PatternError) -> UInt8 {
        guard let expression else {
            throw PatternError(at: position, "there is no expression here whose match this could be")
        }
        if let number = UInt8(name) {
            guard Int(number) <= min(expression.groupCount, MatchedGroups.max) else {
                throw PatternError(
                    at: position,
                    "expected at most \(min(expression.groupCount, MatchedGroups.max)): the expression has \(expression.groupCount) groups"
                )
            }
            return number
        }
        guard let group = expression.groups.first(where: { $0.name == name }),
            group.number <= MatchedGroups.max
        else {
            let names = expression.groups.map(\.name)
            throw PatternError(
                at: position,
                names.isEmpty
                    ? "expected a number: the expression has no named groups"
                    : "expected one of \(names.joined(separator: ", "))")
        }
        return UInt8(group.number)
    }
}
