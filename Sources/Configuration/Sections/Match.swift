// Which requests a route is for.

/// Which requests a route is for: all parts that are given must agree.
public struct Match: Sendable, Equatable {
    public enum Condition: Sendable, Equatable {
        case equals(Text)
        case prefix(Text)
        case regex(Text)
        case present(Bool)
    }
    public struct Named: Sendable, Equatable {
        public var name: Text
        public var condition: Condition

        public init(name: Text, condition: Condition) {
            self.name = name
            self.condition = condition
        }
    }
    /// Exact names or "*.example.com"; empty is any host. One of them has to agree.
    public var hosts: [Text] = []
    /// Patterns: "/exact", "/prefix/*", "/users/{id}", "~regex"; empty is any path.
    public var paths: [Text] = []
    /// Prefixes among the paths are tried before regular expressions.
    public var isBeforeExpressions = false
    /// Empty is any method.
    public var methods: [Text] = []
    public var headers: [Named] = []
    public var query: [Named] = []
    public var cookies: [Named] = []
    /// Conditions on the certificate the client showed.
    public var certificate: [OfCertificate] = []
    /// A condition on the request in the language of expressions.
    public var when: Text?

    public struct OfCertificate: Sendable, Equatable {
        public enum Part: String, Sendable, CaseIterable {
            /// The certificate as such, with `Condition.present`.
            case present
            case subject, issuer, san, fingerprint
        }
        public var part: Part
        public var condition: Condition

        public init(part: Part, condition: Condition) {
            self.part = part
            self.condition = condition
        }
    }

    public init() {}
}

extension Match {
    static let section = Section("match", { _ in Match() }) {
        Key(
            "host", OneOrMany(TextRule.host), \.hosts, default: "any",
            "Hosts, in any case and without the port. `*.example.com` is any name below example.com.",
            example: "host: [example.com, \"*.example.com\"]")
        Key(
            "path", OneOrMany(TextRule.path), \.paths, default: "any",
            "Paths: `/a/b` exact, `/v1/*` whole segments at the start, `/users/{id}` with a captured segment, `~^/x/(?<n>[0-9]+)$` a regular expression.",
            example: "path: [/v1/*, /health]")
        Key(
            "before", Choice([("expressions", true)]), \.isBeforeExpressions,
            "Tries the prefixes in `path` (`/static/*`) before the regular expressions of other routes. Without it they come after them; exact paths and those with `{names}` come first anyway.",
            example: "before: expressions")
        Key(
            "method", OneOrMany(TextRule.method), \.methods, default: "any",
            "Methods, in upper case as they are sent.",
            example: "method: [GET, HEAD]")
        Key(
            "headers", conditions(.fieldName), \.headers,
            "Conditions on request fields; names in any case.",
            example: "headers: { X-Beta: \"1\", Authorization: { present: false } }")
        Key(
            "query", conditions(.free), \.query,
            "Conditions on query parameters.",
            example: "query: { version: { prefix: \"2.\" } }")
        Key(
            "cookies", conditions(.free), \.cookies,
            "Conditions on cookies.",
            example: "cookies: { group: { regex: \"^(a|b)$\" } }")
        Key(
            "client-certificate", OfCertificate.section, \.certificate,
            "Conditions on the certificate the client showed, which is verified by then. Only a listener with `tls: { client-certificates: … }` asks for one.",
            example: "client-certificate: { san: \"URI:spiffe://example.org/batch\" }")
        Key(
            "when", ConditionText(known: .request), \.when,
            "A condition in the language of [expressions](expressions.md), for what the other keys cannot say. It has to hold besides them.",
            example: "when: client.ip in [\"10.0.0.0/8\"] || request.header[\"x-key\"] == \"blue\"")
    }

    private static func conditions(_ rule: TextRule) -> some Form<[Named]> {
        MapOf(rule, Condition.form, { Named(name: $0, condition: $1) }, { ($0.name, $0.condition) })
    }
}

extension Match.Condition {
    /// The value itself, or a map.
    fileprivate static let form = TextOrMap(
        TextRule.fieldValue.mapped(
            to: { Match.Condition.equals($0) }, from: { if case .equals(let text) = $0 { text } else { nil } }
        ),
        section)

    private static let section = Section(
        "condition", { _ in Match.Condition.present(true) }, exactlyOne: [["present", "prefix", "regex"]]
    ) {
        Key(
            "present", Flag(), get: { if case .present(let present) = $0 { present } else { nil } },
            set: { $0 = .present($1) },
            "Whether it has to be there at all.",
            example: "present: false")
        Key(
            "prefix", TextRule.fieldValue, get: { if case .prefix(let text) = $0 { text } else { nil } },
            set: { $0 = .prefix($1) },
            "How the value starts.",
            example: "prefix: \"Bearer \"")
        Key(
            "regex", TextRule.regex, get: { if case .regex(let text) = $0 { text } else { nil } },
            set: { $0 = .regex($1) },
            "A regular expression (PCRE2) found in the value.",
            example: "regex: \"^v[0-9]+$\"")
    }
}

extension Match.OfCertificate {
    fileprivate static let section = Section("client-certificate", { _ in [Match.OfCertificate]() }) {
        Key(
            "present",
            Flag().mapped(
                to: { Match.Condition.present($0) },
                from: { if case .present(let present) = $0 { present } else { nil } }), get: { $0[.present] },
            set: { $0[.present] = $1 },
            "Whether there has to be one at all. `false`: the client showed none.",
            example: "present: true")
        Key(
            "subject", Match.Condition.form, get: { $0[.subject] }, set: { $0[.subject] = $1 },
            "Its subject, in the form of RFC 4514: `CN=Ann,OU=Ops,O=Example`.",
            example: "subject: { regex: \"(^|,)OU=Ops(,|$)\" }")
        Key(
            "issuer", Match.Condition.form, get: { $0[.issuer] }, set: { $0[.issuer] = $1 },
            "The subject of the CA that issued it.",
            example: "issuer: \"CN=Example Clients CA\"")
        Key(
            "san", Match.Condition.form, get: { $0[.san] }, set: { $0[.san] = $1 },
            "Its alternative names, of which one has to agree: `DNS:`, `email:`, `URI:` or `IP:` and the name. DNS names are in lower case; control characters, commas, quotes, backslashes and what is not ASCII are written `\\2C`.",
            example: "san: { prefix: \"URI:spiffe://example.org/\" }")
        Key(
            "fingerprint",
            TextRule.fingerprint.mapped(
                to: { Match.Condition.equals(digits($0)) },
                from: { if case .equals(let text) = $0 { text } else { nil } }), get: { $0[.fingerprint] },
            set: { $0[.fingerprint] = $1 },
            "SHA-256 of the certificate: 64 hexadecimal digits, with or without colons.",
            example: "fingerprint: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
    }

    private static func digits(_ text: Text) -> Text {
        Text(text.value.lowercased().filter { $0 != ":" }, at: text.origin)
    }
}

extension [Match.OfCertificate] {
    /// The condition on a part; they stand in the order of the parts.
    fileprivate subscript(part: Match.OfCertificate.Part) -> Match.Condition? {
        get { first { $0.part == part }?.condition }
        set {
            let others =
                filter { $0.part != part } + (newValue.map { [.init(part: part, condition: $0)] } ?? [])
            self = Match.OfCertificate.Part.allCases.flatMap { part in others.filter { $0.part == part } }
        }
    }
}
