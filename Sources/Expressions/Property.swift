// The one table of what can be asked about a request: its rows are the cases below.
//
// Templates (`{client.ip}`), expressions (`client.ip == "10.0.0.1"`), the reference manual and the suggestions in
// errors are made from it. A new property is a case, its row, and its value in `RequestContext` of the module
// that knows requests.

/// What can be asked about a request, its answer and what became of them.
public enum Property: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case method, scheme, host, port, authority, path, query, markedQuery, uri, version, requestID
    case header, queryParameter, cookie
    case clientIP, clientPort
    case certificateVerified, certificateSubject, certificateIssuer, certificateSAN
    case certificateFingerprint, certificateSerial
    case listener, timeISO
    case capture, group, route, service, endpoint
    case attempts, duration, bytesIn, bytesOut, status
    case errorStatus, errorPhrase, errorReason

    /// The types values have.
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case text
        /// Several texts; conditions hold when they hold for one of them.
        case list
        case integer
        /// Microseconds.
        case duration
        /// Bytes.
        case size
        case boolean
        case address

        /// "a text": what messages call a value of the type.
        public var name: String {
            switch self {
            case .text: "a text"
            case .list: "a list of texts"
            case .integer: "a number"
            case .duration: "a duration"
            case .size: "a size"
            case .boolean: "true or false"
            case .address: "an address"
            }
        }
    }

    /// From when on a property is known.
    public enum Moment: UInt8, Sendable, BitwiseCopyable, CaseIterable {
        /// As soon as the head of the request is read.
        case request
        /// As soon as the request has its route.
        case route
        /// At the end, when the request is recorded.
        case end
        /// Where an answer stands for an error, and at the end.
        case error

        /// As the manual has it.
        public var text: String {
            switch self {
            case .request: "from the request's head on"
            case .route: "once there is a route"
            case .end: "at the end, for the log"
            case .error: "under errors, and at the end"
            }
        }
    }

    /// Whose words a value is made of: what templates have to be careful with.
    public enum Author: UInt8, Sendable, BitwiseCopyable {
        /// Weir, the configuration, or a form that is checked.
        case weir
        /// A client decides what it says, as a part of a URL.
        case client
        /// Text a client writes and that is no piece of a URL yet.
        case clientData
    }

    /// A row of the table.
    public struct Definition: Sendable {
        /// As it is written; what has a name behind it ends with a dot here.
        public let name: String
        /// A shorter or older name for the same.
        public let alias: String?
        public let kind: Kind
        public let moment: Moment
        public let author: Author
        /// Only templates can write it.
        public let isForTemplatesOnly: Bool
        /// One sentence of the manual.
        public let doc: String

        init(
            _ name: String, or alias: String? = nil, _ kind: Kind, _ moment: Moment,
            by author: Author = .weir,
            inTemplatesOnly: Bool = false, _ doc: String
        ) {
            self.name = name
            self.alias = alias
            self.kind = kind
            self.moment = moment
            self.author = author
            isForTemplatesOnly = inTemplatesOnly
            self.doc = doc
        }

        /// A name of the user's choice stands behind it: a field, a parameter, a cookie, a part of the path.
        public var isNamed: Bool { name.hasSuffix(".") }
        /// As the manual writes it: `request.header.NAME`.
        public var text: String { isNamed ? name + "NAME" : name }
    }

    /// Its row.
    public var definition: Definition {
        switch self {
        case .method:
            Definition(
                "request.method", .text, .request, by: .clientData,
                "The method, in upper case as it was sent.")
        case .scheme:
            Definition("request.scheme", .text, .request, "`https` or `http`, as the client asked.")
        case .host:
            Definition(
                "request.host", .text, .request,
                "The host the client asked for, without port. Conditions see it in lower case and without a dot at its end."
            )
        case .port:
            Definition(
                "request.port", .integer, .request,
                "The port the client asked for; 443 or 80 when none was written.")
        case .authority:
            Definition(
                "request.authority", .text, .request,
                "Host and port as they were written. Conditions see it in lower case.")
        case .path:
            Definition(
                "request.path", .text, .request,
                "The path in its one form. Conditions see what routes compare: `/@admin` for `/%40admin`.")
        case .query:
            Definition(
                "request.query", or: "query", .text, .request, by: .client,
                "The query without its question mark, as it was sent.")
        case .markedQuery:
            Definition(
                "?query", .text, .request, inTemplatesOnly: true,
                "The query with its question mark; nothing without one.")
        case .uri:
            Definition(
                "request.uri", .text, .request,
                "Path and query as the client spelled them; to decide on the path ask `request.path`.")
        case .version:
            Definition(
                "request.protocol", .text, .request,
                "`HTTP/1.0`, `HTTP/1.1`, `HTTP/2`; in the log also `tcp` and `udp`.")
        case .requestID:
            Definition("request.id", .text, .request, "The request's id, 32 hexadecimal digits.")
        case .header:
            Definition(
                "request.header.", .text, .request, by: .clientData,
                "A field of the request, its name in any case; several lines are joined by `, ` (Cookie by `; `)."
            )
        case .queryParameter:
            Definition(
                "request.query.", or: "query.", .text, .request, by: .clientData,
                "A parameter of the query, decoded; the first one of its name.")
        case .cookie:
            Definition(
                "request.cookie.", or: "cookie.", .text, .request, by: .clientData,
                "A cookie; the first one of its name.")
        case .clientIP:
            Definition(
                "client.ip", .address, .request,
                "The client's address, computed once; missing for Unix sockets.")
        case .clientPort:
            Definition("client.port", .integer, .request, "The port of the connection's other end.")
        case .certificateVerified:
            Definition(
                "client.certificate.verified", .boolean, .request,
                "Whether the client showed a certificate, which is verified by then.")
        case .certificateSubject:
            Definition(
                "client.certificate.subject", .text, .request, by: .clientData,
                "The subject of its certificate (RFC 4514).")
        case .certificateIssuer:
            Definition(
                "client.certificate.issuer", .text, .request, by: .clientData,
                "The subject of the CA that issued it.")
        case .certificateSAN:
            Definition(
                "client.certificate.san", .list, .request, by: .clientData,
                "Its alternative names: `DNS:a.example`, `URI:spiffe://b`.")
        case .certificateFingerprint:
            Definition(
                "client.certificate.fingerprint", .text, .request, "Its SHA-256, in lower-case hexadecimal.")
        case .certificateSerial:
            Definition(
                "client.certificate.serial", .text, .request, "Its serial number, in lower-case hexadecimal.")
        case .listener:
            Definition("listener", .text, .request, "The name of the listener.")
        case .timeISO:
            Definition("time.iso", .text, .request, "The time now: `2026-01-31T12:00:00Z`.")
        case .capture:
            Definition(
                "path.", .text, .route, by: .client,
                "A `{part}` of the route's path, as it stands in the path.")
        case .group:
            Definition(
                "match.", .text, .route, by: .client, inTemplatesOnly: true,
                "A group of the expression beside the template, by number or name.")
        case .route: Definition("route", .text, .route, "The name of the route.")
        case .service: Definition("service", .text, .route, "The name of the service.")
        case .endpoint:
            Definition("endpoint", .text, .route, "The endpoint tried last; missing before one is chosen.")
        case .attempts: Definition("attempts", .integer, .end, "How many endpoints were tried.")
        case .duration:
            Definition(
                "request.duration", .duration, .end,
                "From the first byte of the request to the last of the response.")
        case .bytesIn:
            Definition("request.bytes", .size, .end, "What came from the client, heads and framing included.")
        case .bytesOut:
            Definition("response.bytes", .size, .end, "What went to the client, heads and framing included.")
        case .status:
            Definition(
                "response.status", .integer, .end,
                "The status the client got; missing when it got no response.")
        case .errorStatus:
            Definition("error.status", .integer, .error, "The status of the failure; missing without one.")
        case .errorPhrase: Definition("error.phrase", .text, .error, "The same in words: `Bad Gateway`.")
        case .errorReason:
            Definition(
                "error.reason", .text, .error, "Why Weir failed: `connect-refused`; missing when it did not.")
        }
    }

    /// The words a value of the property is compared with are in lower case.
    var isLowerCase: Bool {
        switch self {
        case .host, .authority, .scheme, .certificateFingerprint, .certificateSerial: true
        default: false
        }
    }
}

/// Which properties are known where an expression or a template stands.
public struct Known: OptionSet, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// What is known from a moment on.
    public init(_ moments: Property.Moment...) {
        rawValue = moments.reduce(0) { $0 | 1 << $1.rawValue }
    }

    /// Before there is a route.
    public static let request = Known(.request)
    /// Once there is a route.
    public static let route = Known(.request, .route)
    /// Where an answer stands for an error.
    public static let error = Known(.request, .route, .error)
    /// When everything is over.
    public static let end = Known(.request, .route, .end, .error)

    public func contains(_ property: Property) -> Bool {
        rawValue >> property.definition.moment.rawValue & 1 == 1
    }
}

extension Property {
    /// A property that was written, and where in the text the name behind it begins; nil for those without one.
    public struct Written: Sendable, Equatable {
        public let property: Property
        public let nameAt: Int?
    }

    /// The property a text names. A longer name wins: `request.query` is no parameter.
    public static func written(_ text: String) -> Written? {
        for property in allCases {
            let row = property.definition
            if !row.isNamed, row.name == text || row.alias == text {
                return Written(property: property, nameAt: nil)
            }
        }
        for property in allCases {
            let row = property.definition
            guard row.isNamed else { continue }
            for name in [row.name, row.alias].compactMap({ $0 }) where text.hasPrefix(name) {
                return Written(property: property, nameAt: name.utf8.count)
            }
        }
        return nil
    }

    /// Those that can be written somewhere, as the manual writes them.
    public static func names(_ known: Known, isTemplate: Bool = false) -> [String] {
        allCases.filter { known.contains($0) && (isTemplate || !$0.definition.isForTemplatesOnly) }
            .map(\.definition.text)
    }

    /// The one that was probably meant, as the manual writes it. A name behind it is the user's.
    static func meant(by text: String, _ known: Known) -> String? {
        let names = names(known)
        let bare = names.map { $0.hasSuffix(".NAME") ? String($0.dropLast(5)) : $0 }
        guard let near = Nearest.meant(by: text, in: bare), let index = bare.firstIndex(of: near) else {
            return nil
        }
        return names[index]
    }

    /// The table of the manual, in Markdown.
    public static var table: String {
        var text = "| property | type | known | what |\n|---|---|---|---|\n"
        for property in allCases {
            let row = property.definition
            var name = "`\(row.text)`"
            if let alias = row.alias { name += ", `\(row.isNamed ? alias + "NAME" : alias)`" }
            if row.isForTemplatesOnly { name += " (templates only)" }
            let kind: String =
                switch row.kind {
                case .text: "text"
                case .list: "list"
                case .integer: "number"
                case .duration: "duration"
                case .size: "size"
                case .boolean: "true, false"
                case .address: "address"
                }
            text += "| \(name) | \(kind) | \(row.moment.text) | \(row.doc) |\n"
        }
        return text
    }
}
