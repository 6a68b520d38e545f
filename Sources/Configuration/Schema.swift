// The building blocks the configuration language is defined with.
//
// The definition itself is in Sections/ and, of what is not there yet, in Language.swift. From it come the checks (SchemaCheck.swift), the JSON
// Schema (JSONSchema.swift) and the reference manual (Reference.swift); none of them knows a key.

/// What a value may be.
indirect enum Kind: Sendable {
    case text(TextRule)
    case bool
    case integer(ClosedRange<Int64>)
    /// Range in milliseconds.
    case duration(ClosedRange<Int64>)
    /// Range in bytes.
    case size(ClosedRange<Int64>)
    /// Range in bytes per second.
    case byteRate(ClosedRange<Int64>)
    /// Range in events per second.
    case rate(ClosedRange<Int64>)
    /// Range in parts per thousand.
    case percent(ClosedRange<Int64>)
    /// One of the words; `later` are words of the design that this version refuses.
    case choice([String], later: [String] = [])
    /// A single word among other kinds: `off`, `auto`, `none`.
    case word(String)
    case list(Kind)
    /// One value, or a list of them.
    case oneOrMany(Kind)
    /// Names chosen by the user → values. `of` says what is named.
    case map(Kind, of: TextRule)
    case section(Section)
    /// The first kind that fits the shape of the value decides.
    case either([Kind])
}

/// What a text may be. Patterns and templates are looked at by whoever compiles them.
enum TextRule: Sendable {
    case free, template, name, host, path, prefix, method, fieldName, fieldValue, regex, cidr
    case listenAddress, endpointAddress, resolverAddress
    case defaultSet, logPath, retryCondition
    case file, applicationProtocol, serverName
    case folder, fileName, filePath, filePattern, fileExtension
    case mediaType
    case serverNamePattern, fingerprint
    case fileMode, account, hostName
    case fileCandidate, cookieDomain, cookiePath
    case errorStatus, body

    /// How the syntax line of the manual writes it.
    var placeholder: String {
        switch self {
        case .free: "TEXT"
        case .template: "TEMPLATE"
        case .name: "NAME"
        case .host: "HOST"
        case .path: "PATH"
        case .prefix, .cookiePath: "PREFIX"
        case .method: "METHOD"
        case .fieldName: "FIELD"
        case .fieldValue: "VALUE"
        case .regex: "REGEX"
        case .cidr: "CIDR"
        case .listenAddress, .endpointAddress, .resolverAddress: "ADDRESS"
        case .defaultSet: "DATE"
        case .logPath: "stdout | stderr | FILE"
        case .retryCondition: "CONDITION"
        case .file: "FILE"
        case .applicationProtocol: "PROTOCOL"
        case .serverName: "HOST"
        case .folder: "FOLDER"
        case .fileName, .filePath: "FILE"
        case .filePattern: "PATTERN"
        case .fileCandidate: "TEMPLATE"
        case .fileExtension: "EXTENSION"
        case .mediaType: "TYPE"
        case .serverNamePattern: "HOST"
        case .fingerprint: "SHA256"
        case .fileMode: "MODE"
        case .account: "ACCOUNT"
        case .hostName, .cookieDomain: "HOST"
        case .errorStatus: "STATUS"
        case .body: "TEMPLATE"
        }
    }
}

/// A map with known keys.
struct Section: Sendable {
    /// What the manual and the messages call it: "listener".
    let name: String
    let keys: [Key]
    /// Groups of keys of which exactly one has to be given.
    var exactlyOne: [[String]] = []
    /// Keys of the design that this version does not have yet: refused, but known.
    var later: [String] = []
    /// Keys that begin with "x-" are the user's own, for anchors: nobody looks at them.
    var hasExtensions = false
    /// The section of the manual that has all of its keys, and more.
    var excerptOf: String?

    subscript(name: String) -> Key? {
        for key in keys where key.name == name { return key }
        return nil
    }
}

/// One key of a section.
struct Key: Sendable {
    let name: String
    let kind: Kind
    /// As it would be written; nil when there is none.
    let defaultText: String?
    let isRequired: Bool
    /// The paragraph of the manual.
    let doc: String
    /// As it would be written under its section.
    let example: String
    /// The places where it says something.
    let uses: Uses

    init(
        _ name: String, _ kind: Kind, default defaultText: String? = nil, required: Bool = false,
        for uses: Uses = .all, _ doc: String, example: String
    ) {
        self.name = name
        self.kind = kind
        self.defaultText = defaultText
        self.isRequired = required
        self.doc = doc
        self.example = example
        self.uses = uses
    }
}

extension Kind {
    /// "a duration such as 10s": completes "expected …".
    var expectation: String {
        switch self {
        case .text(let rule): rule.expectation
        case .bool: "true or false"
        case .integer(let range):
            range.upperBound == .max
                ? "a whole number from \(range.lowerBound)"
                : "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration: "a duration such as 250ms, 10s, 5m or 1h"
        case .size: "a size such as 512B, 64KiB or 10MB"
        case .byteRate: "a rate such as 240B/s or 1KiB/s"
        case .rate: "a rate such as 3/s"
        case .percent: "a percentage such as 20% or 0.5%"
        case .choice(let words, _): words.count == 1 ? words[0] : "one of: \(words.joined(separator: ", "))"
        case .word(let word): word
        case .list(let inner): "a list, each \(inner.expectation)"
        case .oneOrMany(let inner): "\(inner.expectation), or a list of them"
        case .map(_, let rule): "a map from \(rule.noun) to its value"
        case .section(let section): "a map with: \(section.keys.map(\.name).joined(separator: ", "))"
        case .either(let kinds): kinds.map(\.expectation).joined(separator: ", or ")
        }
    }

    /// The syntax as the manual prints it.
    var syntax: String {
        switch self {
        case .text(let rule): rule.placeholder
        case .bool: "true | false"
        case .integer: "NUMBER"
        case .duration: "DURATION"
        case .size: "SIZE"
        case .byteRate: "SIZE/s"
        case .rate: "NUMBER/s"
        case .percent: "PERCENT%"
        case .choice(let words, _): words.joined(separator: " | ")
        case .word(let word): word
        case .list(let inner): "[\(inner.syntax), …]"
        case .oneOrMany(let inner): "\(inner.syntax) | [\(inner.syntax), …]"
        case .map(let inner, let rule): "{ \(rule.placeholder): \(inner.syntax), … }"
        case .section(let section): "{ \(section.keys.map { "\($0.name): …" }.joined(separator: ", ")) }"
        case .either(let kinds): kinds.map(\.syntax).joined(separator: " | ")
        }
    }

    /// The range in the manual's words; nil when there is nothing to say.
    var rangeText: String? {
        switch self {
        case .integer(let range):
            range.upperBound == .max ? nil : "\(range.lowerBound) to \(range.upperBound)"
        case .duration(let range):
            "\(Units.duration(range.lowerBound)) to \(Units.duration(range.upperBound))"
        case .size(let range): "\(Units.size(range.lowerBound)) to \(Units.size(range.upperBound))"
        case .byteRate(let range): "\(Units.size(range.lowerBound))/s to \(Units.size(range.upperBound))/s"
        case .rate(let range): "\(range.lowerBound)/s to \(range.upperBound)/s"
        case .percent(let range): "\(Units.percent(range.lowerBound)) to \(Units.percent(range.upperBound))"
        case .either(let kinds): kinds.lazy.compactMap(\.rangeText).first
        case .oneOrMany(let inner), .list(let inner): inner.rangeText
        default: nil
        }
    }

    /// The sections inside, with the path added to reach them.
    var sections: [(suffix: String, section: Section)] {
        switch self {
        case .section(let section): [("", section)]
        case .list(let inner), .oneOrMany(let inner): inner.sections.map { ("[]" + $0.suffix, $0.section) }
        case .map(let inner, let rule):
            inner.sections.map { (".\(rule.placeholder)" + $0.suffix, $0.section) }
        case .either(let kinds): kinds.flatMap(\.sections)
        default: []
        }
    }
}

extension TextRule {
    /// What is named by keys of a map.
    var noun: String {
        switch self {
        case .fieldName: "the name of a field"
        case .fileExtension: "an extension"
        case .serverNamePattern: "a server name"
        case .errorStatus: "a status"
        default: "a name"
        }
    }

    var expectation: String {
        switch self {
        case .free: "a text"
        case .template: "a text, with {variables}"
        case .name: "a name of letters, digits, \"-\" and \"_\", at most 64"
        case .host: "a host such as api.example.com or \"*.example.com\""
        case .path: "a path such as /exact, /prefix/*, /users/{id} or ~^regex$"
        case .prefix: "a path such as /v1, without \"*\""
        case .cookiePath: "a path such as /v1, without \"*\" and \";\""
        case .method: "a method such as GET"
        case .fieldName: "the name of a field such as X-Tenant"
        case .fieldValue: "a text"
        case .regex: "a regular expression"
        case .cidr: "an address block such as 10.0.0.0/8 or 2001:db8::/32, or unix"
        case .listenAddress: String(Address.Role.listen.expectation.dropFirst(9))
        case .endpointAddress: String(Address.Role.endpoint.expectation.dropFirst(9))
        case .resolverAddress: String(Address.Role.resolver.expectation.dropFirst(9))
        case .defaultSet: "\"2026-1\""
        case .logPath: "stdout, stderr or the path of a file"
        case .retryCondition: "connect, reset, timeout or a status from 500 to 599"
        case .file: "the path of a file"
        case .applicationProtocol: "the name of a protocol such as h2 or http/1.1, at most 255 bytes"
        case .serverName: "a host name such as api.example.com, or an IP address"
        case .folder: "the path of a folder"
        case .fileName: "the name of a file such as index.html"
        case .filePath: "the path of a file below the root such as index.html"
        case .fileCandidate: "a path such as \"{path}\", \"{path}/\" or /index.html"
        case .filePattern: "a pattern such as \"*.css\" or /assets/*"
        case .fileExtension: "an extension such as html, or \"*\""
        case .mediaType: "a content type such as text/html, text/*, application/*+json or */*"
        case .serverNamePattern: "a server name such as api.example.com, \"*.example.com\", or \"*\""
        case .fingerprint: "a SHA-256 of 64 hexadecimal digits"
        case .fileMode: "permission bits in octal such as \"0660\""
        case .account: "the name or number of a user or group"
        case .hostName: "a host name such as weir.example.com"
        case .cookieDomain: "a domain such as example.com, without a dot before it"
        case .errorStatus: "a status from 400 to 599, or a class of them: 4xx or 5xx"
        case .body: "a text, with {variables}"
        }
    }
}

/// Values → text with the largest unit that is exact.
enum Units {
    static func duration(_ ms: Int64) -> String { exact(ms, Values.durationUnits) }

    static func size(_ bytes: Int64) -> String {
        exact(bytes, Values.sizeUnits.filter { $0.name == "B" || $0.name.hasSuffix("iB") })
    }

    static func percent(_ perMille: Int64) -> String {
        perMille % 10 == 0 ? "\(perMille / 10)%" : "\(perMille / 10).\(perMille % 10)%"
    }

    private static func exact(_ value: Int64, _ units: [(name: String, factor: Int64)]) -> String {
        let unit = units.last { value >= $0.factor && value % $0.factor == 0 } ?? units[0]
        return "\(value / unit.factor)\(unit.name)"
    }
}
