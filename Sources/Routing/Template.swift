// Texts with variables: header values, redirect targets, rewrites.
//
//   "{request.scheme}://{request.host}/v2{request.path}"     {{ and }} stand for single braces
//
// Parsed once; an unknown variable is an error with its position and the nearest known name. Where the text
// goes decides how values stand in it: in a target or URL what is data (a field, a parameter, a cookie) is
// escaped, so that it can be no part of the structure, and the parts of a URL that say which host it leads
// to must not come from the client (TemplateURL.swift).

import WeirHTTPModel

/// What a variable stands for.
public enum TemplateVariable: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case method, host, port, authority, path, query, markedQuery, uri, scheme, requestID
    case clientIP, clientPort, route, service, endpoint, timeISO
    case certificateVerified, certificateSubject, certificateIssuer, certificateSAN
    case certificateFingerprint, certificateSerial
    /// In bodies that stand for an error, and in what is asked for one.
    case errorStatus, errorPhrase, errorReason
    /// With a name after the last dot.
    case header, queryParameter, cookie, capture, group

    /// The text between the braces; those with a name end with a dot.
    public var text: String {
        switch self {
        case .method: "request.method"
        case .host: "request.host"
        case .port: "request.port"
        case .authority: "request.authority"
        case .path: "request.path"
        case .query: "query"
        case .markedQuery: "?query"
        case .uri: "request.uri"
        case .scheme: "request.scheme"
        case .requestID: "request.id"
        case .clientIP: "client.ip"
        case .clientPort: "client.port"
        case .route: "route"
        case .service: "service"
        case .endpoint: "endpoint"
        case .timeISO: "time.iso"
        case .certificateVerified: "client.certificate.verified"
        case .certificateSubject: "client.certificate.subject"
        case .certificateIssuer: "client.certificate.issuer"
        case .certificateSAN: "client.certificate.san"
        case .certificateFingerprint: "client.certificate.fingerprint"
        case .certificateSerial: "client.certificate.serial"
        case .errorStatus: "error.status"
        case .errorPhrase: "error.phrase"
        case .errorReason: "error.reason"
        case .header: "request.header."
        case .queryParameter: "query."
        case .cookie: "cookie."
        case .capture: "path."
        case .group: "match."
        }
    }

    /// Another name of the query, as it stands among its siblings.
    static let queryOfRequest = "request.query"

    /// Text a client writes and that is no piece of a URL yet.
    var isData: Bool {
        switch self {
        case .method, .header, .queryParameter, .cookie, .certificateSubject, .certificateIssuer,
            .certificateSAN:
            true
        default: false
        }
    }

    /// A client decides what it says, and it is not held to the form of a host or number.
    var isFree: Bool { isData || self == .capture || self == .group || self == .query }

    var isNamed: Bool { text.hasSuffix(".") }

    /// Known only where an answer stands for an error.
    var isOfError: Bool {
        switch self {
        case .errorStatus, .errorPhrase, .errorReason: true
        default: false
        }
    }

    /// A value of the client's certificate; nil for other variables.
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
        /// There is an error to tell about.
        fileprivate var isOfError: Bool { isBody || self == .page }

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
        var variable: TemplateVariable?
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
    public var variables: [TemplateVariable] { pieces.compactMap { $0.variable } }
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
        if text == TemplateVariable.queryOfRequest { return Piece(variable: .query, text: .empty) }
        for variable in TemplateVariable.allCases where !variable.isNamed && variable.text == text {
            if variable.isOfError, !place.isOfError {
                throw PatternError(at: position, "'\(text)' is known under errors only")
            }
            return Piece(variable: variable, text: .empty)
        }
        for variable in TemplateVariable.allCases where variable.isNamed && text.hasPrefix(variable.text) {
            var name = String(text.dropFirst(variable.text.utf8.count))
            let nameAt = position + variable.text.utf8.count
            if name.isEmpty { throw PatternError(at: nameAt, "expected a name after '\(variable.text)'") }
            if variable == .group {
                return Piece(variable: .group, text: .empty, number: try group(name, at: nameAt, expression))
            }
            if variable == .header || variable == .cookie || variable == .capture {
                if let bad = Array(name.utf8).firstIndex(where: { !isTokenByte($0) }) {
                    throw PatternError(at: nameAt + bad, "expected a letter, digit or '-'")
                }
            }
            if variable == .header { name = name.lowercased() }
            let id =
                variable == .header
                ? FieldID.allCases.first { $0 != .other && $0.name.description == name } ?? .other : .other
            bytes += Array(name.utf8)
            let count = name.utf8.count
            return Piece(variable: variable, id: id, text: ByteRange(bytes.count - count, count))
        }
        // Style sheets and JSON have braces of their own.
        if text.isEmpty || !text.utf8.allSatisfy({ isTokenByte($0) || $0 == UInt8(ascii: "?") }) {
            throw PatternError(
                at: position - 1,
                "expected the name of a variable behind '{'; a brace that is text is written twice: '{{', '}}'"
            )
        }
        let known = TemplateVariable.allCases.filter {
            ($0 != .group || expression != nil) && (!$0.isOfError || place.isOfError)
        }.map {
            $0.isNamed ? $0.text + "NAME" : $0.text
        }
        let nearest = known.min { distance($0, text) < distance($1, text) } ?? ""
        throw PatternError(
            at: position,
            distance(nearest, text) <= max(2, text.utf8.count / 2)
                ? "unknown variable '\(text)'; did you mean '\(nearest)'?"
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

    /// Edit distance (Levenshtein) in bytes.
    private static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.utf8)
        let b = Array(b.utf8)
        var row = Array(0...b.count)
        for i in a.indices {
            var diagonal = row[0]
            row[0] = i + 1
            for j in b.indices {
                let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[b.count]
    }
}
