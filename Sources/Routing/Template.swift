// Texts with variables: header values, redirect targets, rewrites.
//
//   "{request.scheme}://{request.host}/v2{request.path}"     {{ and }} stand for single braces
//
// Parsed once; an unknown variable is an error with its position and the nearest known name.

import HTTPModel

/// What a variable stands for.
public enum TemplateVariable: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case method, host, path, query, uri, scheme, requestID
    case clientIP, clientPort, route, service, endpoint, timeISO
    case certificateVerified, certificateSubject, certificateIssuer, certificateSAN
    case certificateFingerprint, certificateSerial
    /// With a name after the last dot.
    case header, queryParameter, cookie, capture

    /// The text between the braces; those with a name end with a dot.
    public var text: String {
        switch self {
        case .method: "request.method"
        case .host: "request.host"
        case .path: "request.path"
        case .query: "request.query"
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
        case .header: "request.header."
        case .queryParameter: "query."
        case .cookie: "cookie."
        case .capture: "path."
        }
    }

    var isNamed: Bool { text.hasSuffix(".") }

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
    struct Piece: Sendable, BitwiseCopyable {
        /// nil for literal text.
        var variable: TemplateVariable?
        var id: FieldID = .other
        /// Literal text, or the name after the last dot.
        var text: ByteRange
    }

    /// The text it was parsed from.
    public let source: String
    let pieces: [Piece]
    let bytes: [UInt8]

    /// Variables used, so that a caller computes only what is needed.
    public var variables: [TemplateVariable] { pieces.compactMap { $0.variable } }
    /// Whether `{time.iso}` occurs: only then has the text of the time to be made.
    public let usesTime: Bool
    /// Whether a value of the client's certificate occurs: only then has it to be read.
    public let usesCertificate: Bool
    /// Names used as `{path.NAME}`, to be checked against the captures of the route.
    public var captureNames: [String] {
        pieces.filter { $0.variable == .capture }.map { piece in
            String(decoding: bytes[Int(piece.text.offset)..<Int(piece.text.end)], as: UTF8.self)
        }
    }

    init(source: String, pieces: [Piece], bytes: [UInt8]) {
        self.source = source
        self.pieces = pieces
        self.bytes = bytes
        usesTime = pieces.contains { $0.variable == .timeISO }
        usesCertificate = pieces.contains { $0.variable?.certificatePart != nil }
    }

    public static func parse(_ text: String) throws(PatternError) -> Template {
        let source = Array(text.utf8)
        var pieces: [Piece] = []
        var bytes: [UInt8] = []
        var literalStart = 0
        func endLiteral() {
            guard bytes.count > literalStart else { return }
            pieces.append(
                Piece(variable: nil, text: ByteRange(literalStart, bytes.count - literalStart)))
        }
        var at = 0
        while at < source.count {
            let byte = source[at]
            let next = at + 1 < source.count ? source[at + 1] : 0
            if byte == 0x7b || byte == 0x7d, next == byte {
                bytes.append(byte)
                at += 2
            } else if byte == 0x7d {
                throw PatternError(at: at, "expected '}}' for a brace that is text")
            } else if byte == 0x7b {
                guard let close = source[at...].firstIndex(of: 0x7d) else {
                    throw PatternError(at: source.count, "expected '}' (and '{{' for a brace that is text)")
                }
                endLiteral()
                let name = String(decoding: source[(at + 1)..<close], as: UTF8.self)
                pieces.append(try variable(name, at: at + 1, &bytes))
                literalStart = bytes.count
                at = close + 1
            } else if byte < 0x20 && byte != 0x09 || byte == 0x7f {
                throw PatternError(at: at, "expected no control characters")
            } else {
                bytes.append(byte)
                at += 1
            }
        }
        endLiteral()
        return Template(source: text, pieces: pieces, bytes: bytes)
    }

    private static func variable(
        _ text: String, at position: Int, _ bytes: inout [UInt8]
    ) throws(PatternError) -> Piece {
        for variable in TemplateVariable.allCases where !variable.isNamed && variable.text == text {
            return Piece(variable: variable, text: .empty)
        }
        for variable in TemplateVariable.allCases where variable.isNamed && text.hasPrefix(variable.text) {
            var name = String(text.dropFirst(variable.text.utf8.count))
            let nameAt = position + variable.text.utf8.count
            if name.isEmpty { throw PatternError(at: nameAt, "expected a name after '\(variable.text)'") }
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
        let known = TemplateVariable.allCases.map { $0.isNamed ? $0.text + "NAME" : $0.text }
        let nearest = known.min { distance($0, text) < distance($1, text) } ?? ""
        throw PatternError(
            at: position,
            distance(nearest, text) <= max(2, text.utf8.count / 2)
                ? "unknown variable '\(text)'; did you mean '\(nearest)'?"
                : "unknown variable '\(text)'; expected one of \(known.joined(separator: ", "))")
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
