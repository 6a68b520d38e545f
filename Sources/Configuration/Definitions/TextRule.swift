// What the texts of the language have to look like.
//
// Only what can be said without compiling them; patterns and templates are compiled by the control
// plane, which reports what is wrong with them in the same form.

import Glibc

/// A text of some kind: how it is called, what it has to look like.
struct TextRule: ScalarForm {
    typealias Value = Text

    /// A text that is looked at.
    struct Subject {
        let value: String
        let expectation: String

        var quoted: String { "\"\(value.clipped(60))\"" }

        func problem(_ message: String, suggestion: String? = nil) -> ValueProblem {
            ValueProblem(message: message, expectation: "expected \(expectation)", suggestion: suggestion)
        }
    }

    let syntax: String
    let expectation: String
    /// What is named by keys of a map.
    let noun: String
    /// Names are the same in any case.
    let ignoresCase: Bool
    let schema: [JSONMember]
    /// A relative one starts from the folder of the configuration.
    private let isPath: Bool
    private let look: @Sendable (Subject) throws(ValueProblem) -> Void

    init(
        _ syntax: String, _ expectation: String, noun: String = "a name", types: [String] = ["string"],
        pattern: String? = nil, ignoresCase: Bool = false, isPath: Bool = false, schema: [JSONMember]? = nil,
        _ look: @escaping @Sendable (Subject) throws(ValueProblem) -> Void
    ) {
        self.syntax = syntax
        self.expectation = expectation
        self.noun = noun
        self.ignoresCase = ignoresCase
        self.isPath = isPath
        self.look = look
        self.schema =
            schema
            ?? [("type", types.count == 1 ? SchemaText.quoted(types[0]) : SchemaText.listed(types))]
            + (pattern.map { [("pattern", SchemaText.quoted("\($0)|\(SchemaText.reference)"))] } ?? [])
    }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Text {
        try look(Subject(value: scalar.value, expectation: expectation))
        return scalar.text
    }

    func print(_ value: Text) -> Node? { .text(value) }

    func located(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String? {
        guard isPath, !text.isEmpty else { return nil }
        return besidesWords && Surroundings.isBare(text) ? nil : surroundings.path(text)
    }

    /// The text alone.
    var string: Mapped<TextRule, String> { mapped(to: { $0.value }, from: { Text($0) }) }
}

extension Surroundings {
    /// A word rather than a path.
    static func isBare(_ text: String) -> Bool { !text.contains("/") && !text.contains(".") }
}

extension TextRule {
    /// Methods of RFC 9110 §9 and RFC 5789, to suggest from.
    static let knownMethods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
    ]

    /// A line of a message.
    private static func line(_ it: Subject) throws(ValueProblem) {
        // A line break in a field value would start another field (RFC 9110 §5.5).
        guard !it.value.utf8.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 }) else {
            throw it.problem("a line break or NUL in the text")
        }
        guard it.value.utf8.count <= 16_384 else { throw it.problem("the text is longer than 16 KiB") }
    }

    private static func startOfPath(_ it: Subject) throws(ValueProblem) {
        guard it.value.hasPrefix("/"), !it.value.contains("*"), !it.value.contains("?"),
            !it.value.contains("{")
        else {
            let bare = it.value.filter { $0 != "*" }
            throw it.problem(
                "\(it.quoted) is not the start of a path",
                suggestion: it.value.hasSuffix("/*")
                    ? String(it.value.dropLast(2)) : bare.hasPrefix("/") ? nil : "/\(bare)")
        }
    }

    static let free = TextRule(
        "TEXT", "a text", types: SchemaText.scalars
    ) { it throws(ValueProblem) in
        guard it.value.utf8.count <= 1 << 20 else { throw it.problem("the text is longer than 1 MiB") }
    }

    static let body = TextRule(
        "TEMPLATE", "a text, with {variables}", types: SchemaText.scalars
    ) { it throws(ValueProblem) in
        guard !it.value.utf8.contains(0) else { throw it.problem("a NUL in the text") }
        guard it.value.utf8.count <= 65_536 else {
            throw ValueProblem(
                message: "the text is longer than 64 KiB", expectation: "expected less, or a file")
        }
    }

    static let template = TextRule(
        "TEMPLATE", "a text, with {variables}", types: SchemaText.scalars
    ) { it throws(ValueProblem) in
        try line(it)
    }

    static let fieldValue = TextRule(
        "VALUE", "a text", types: SchemaText.scalars
    ) { it throws(ValueProblem) in
        try line(it)
    }

    static let regex = TextRule(
        "REGEX", "a regular expression"
    ) { it throws(ValueProblem) in
        try line(it)
        if it.value.isEmpty { throw it.problem("an empty regular expression") }
    }

    static let name = TextRule(
        "NAME", "a name of letters, digits, \"-\" and \"_\", at most 64", types: ["string", "number"],
        pattern: "^[A-Za-z0-9_-]{1,64}$"
    ) { it throws(ValueProblem) in
        guard
            (1...64).contains(it.value.utf8.count),
            it.value.utf8.allSatisfy({
                $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || $0 == UInt8(ascii: "-")
                    || $0 == UInt8(ascii: "_")
            })
        else { throw it.problem("\(it.quoted) cannot be a name") }
    }

    static let host = TextRule(
        "HOST", "a host such as api.example.com or \"*.example.com\""
    ) { it throws(ValueProblem) in
        guard !it.value.isEmpty, !it.value.contains("/") else {
            throw it.problem("\(it.quoted) is not a host")
        }
    }

    static let hostName = TextRule(
        "HOST", "a host name such as weir.example.com"
    ) { it throws(ValueProblem) in
        guard isHostName(it.value) else {
            let bare = String(it.value.prefix { $0 != ":" && $0 != "/" })
            throw it.problem(
                "\(it.quoted) is not a host name",
                suggestion: bare != it.value && isHostName(bare) ? bare : nil)
        }
    }

    static let serverName = TextRule(
        "HOST", "a host name such as api.example.com, or an IP address"
    ) { it throws(ValueProblem) in
        let isAddress = Address.isIP(it.value[...], AF_INET) || Address.isIP(it.value[...], AF_INET6)
        guard isAddress || isHostName(it.value) else { throw it.problem("\(it.quoted) is not a host name") }
    }

    static let serverNamePattern = TextRule(
        "HOST", "a server name such as api.example.com, \"*.example.com\", or \"*\"", noun: "a server name",
        pattern: "^([*]|([*][.])?[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*)$"
    ) { it throws(ValueProblem) in
        try checkServerName(it.value)
    }

    static let path = TextRule(
        "PATH", "a path such as /exact, /prefix/*, /users/{id} or ~^regex$", pattern: "^[/~]"
    ) { it throws(ValueProblem) in
        guard it.value.hasPrefix("/") || it.value.hasPrefix("~") else {
            throw it.problem(
                "\(it.quoted) is not a path", suggestion: it.value.isEmpty ? nil : "/\(it.value)")
        }
    }

    static let prefix = TextRule(
        "PREFIX", "a path such as /v1, without \"*\"", pattern: "^/[^*?{]*$"
    ) { it throws(ValueProblem) in
        try startOfPath(it)
    }

    static let method = TextRule(
        "METHOD", "a method such as GET", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$"
    ) { it throws(ValueProblem) in
        guard isToken(it.value) else { throw it.problem("\(it.quoted) is not a method") }
        // Methods are case-sensitive (RFC 9110 §9.1): "get" would never match.
        if it.value != it.value.uppercased() {
            throw it.problem(
                "\(it.quoted) would never match: methods are case-sensitive",
                suggestion: it.value.uppercased())
        }
        if let near = Suggestion.nearest(to: it.value, in: knownMethods), near != it.value,
            near.utf8.count == it.value.utf8.count, Set(near.utf8) == Set(it.value.utf8)
        {
            throw it.problem("\(it.quoted) is not a method that is known", suggestion: near)
        }
    }

    static let fieldName = TextRule(
        "FIELD", "the name of a field such as X-Tenant", noun: "the name of a field",
        types: ["string", "number"], pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$", ignoresCase: true
    ) { it throws(ValueProblem) in
        if it.value.hasPrefix(":") {
            // HTTP/2's way to write what is no field (RFC 9113 §8.3).
            throw ValueProblem(
                message: "\(it.quoted) is not the name of a field",
                expectation:
                    "it is HTTP/2's form of another part: Host is a field in every version, rewrite changes the path, and methods and statuses stay",
                suggestion: it.value.lowercased() == ":authority" ? "Host" : nil)
        }
        guard isToken(it.value) else { throw it.problem("\(it.quoted) is not the name of a field") }
    }

    static let cidr = TextRule(
        "CIDR", "an address block such as 10.0.0.0/8 or 2001:db8::/32, or unix"
    ) { it throws(ValueProblem) in
        if it.value != "unix" { try checkBlock(it.value) }
    }

    static let file = TextRule(
        "FILE", "the path of a file", isPath: true
    ) { it throws(ValueProblem) in
        guard it.value.hasPrefix("/"), !it.value.utf8.contains(0), it.value.utf8.count <= 4_095 else {
            throw it.problem("\(it.quoted) is not a path")
        }
    }

    static let folder = TextRule(
        "FOLDER", "the path of a folder", isPath: true
    ) { it throws(ValueProblem) in
        guard it.value.hasPrefix("/"), !it.value.utf8.contains(0), it.value.utf8.count < 4096 else {
            throw it.problem("\(it.quoted) is not a path")
        }
    }

    static let fileName = TextRule(
        "FILE", "the name of a file such as index.html"
    ) { it throws(ValueProblem) in
        guard (1...255).contains(it.value.utf8.count), it.value != ".", it.value != "..",
            !it.value.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 < 0x20 })
        else { throw it.problem("\(it.quoted) is not the name of a file") }
    }

    static let filePath = TextRule(
        "FILE", "the path of a file below the root such as index.html"
    ) { it throws(ValueProblem) in
        let segments = it.value.split(separator: "/", omittingEmptySubsequences: false)
        guard it.value.utf8.count < 1024, !it.value.utf8.contains(where: { $0 < 0x20 }),
            segments.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
        else {
            let bare = it.value.drop { $0 == "/" }
            throw it.problem(
                "\(it.quoted) is not a path below the root",
                suggestion: it.value.hasPrefix("/") && !bare.isEmpty ? String(bare) : nil)
        }
    }

    static let fileCandidate = TextRule(
        "TEMPLATE", "a path such as \"{path}\", \"{path}/\" or /index.html"
    ) { it throws(ValueProblem) in
        guard !it.value.contains("?") else {
            // "/index.php?$args" runs a program elsewhere; here it would be handed out as a file.
            throw it.problem(
                "\(it.quoted) has a query, and names of files have none", suggestion: "{ service: NAME }")
        }
        guard it.value.hasPrefix("/") || it.value.hasPrefix("{"), it.value.utf8.count < 1024,
            !it.value.utf8.contains(where: { $0 < 0x20 })
        else {
            throw it.problem(
                "\(it.quoted) is not a path below the root", suggestion: candidate(for: it.value))
        }
    }

    static let filePattern = TextRule(
        "PATTERN", "a pattern such as \"*.css\" or /assets/*"
    ) { it throws(ValueProblem) in
        guard (1...1024).contains(it.value.utf8.count), !it.value.utf8.contains(where: { $0 < 0x20 }),
            it.value.hasPrefix("/") || !it.value.contains("/")
        else {
            throw it.problem(
                "\(it.quoted) is not a pattern for files",
                suggestion: it.value.contains("/") ? "/\(it.value)" : nil)
        }
    }

    static let fileExtension = TextRule(
        "EXTENSION", "an extension such as html, or \"*\"", noun: "an extension"
    ) { it throws(ValueProblem) in
        guard
            it.value == "*"
                || ((1...16).contains(it.value.utf8.count)
                    && it.value.utf8.allSatisfy {
                        $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "-_+~".utf8.contains($0)
                    })
        else {
            throw it.problem(
                "\(it.quoted) is not an extension",
                suggestion: it.value.hasPrefix(".") && it.value.count > 1 ? String(it.value.dropFirst()) : nil
            )
        }
    }

    static let mediaType = TextRule(
        "TYPE", "a content type such as text/html, text/*, application/*+json or */*"
    ) { it throws(ValueProblem) in
        try checkMediaType(it.value)
    }

    static let applicationProtocol = TextRule(
        "PROTOCOL", "the name of a protocol such as h2 or http/1.1, at most 255 bytes",
        pattern: "^[!-~]{1,255}$"
    ) { it throws(ValueProblem) in
        guard (1...255).contains(it.value.utf8.count), it.value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { throw it.problem("\(it.quoted) is not the name of a protocol") }
        if ["http1", "http1.1", "http/1", "http"].contains(it.value.lowercased()) {
            throw it.problem("\(it.quoted) is not how ALPN writes it", suggestion: "http/1.1")
        }
        if ["http2", "http/2", "h2c"].contains(it.value.lowercased()) {
            throw it.problem("\(it.quoted) is not how ALPN writes it", suggestion: "h2")
        }
    }

    static let fingerprint = TextRule(
        "SHA256", "a SHA-256 of 64 hexadecimal digits", pattern: "^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$"
    ) { it throws(ValueProblem) in
        let digits = it.value.utf8.filter { $0 != UInt8(ascii: ":") }
        guard digits.count == 64, digits.allSatisfy({ $0 &- 48 < 10 || ($0 | 32) &- 97 < 6 }) else {
            throw it.problem("\(it.quoted) is not a SHA-256 fingerprint")
        }
    }

    static let account = TextRule(
        "ACCOUNT", "the name or number of a user or group"
    ) { it throws(ValueProblem) in
        guard (1...64).contains(it.value.utf8.count), !it.value.hasPrefix("-"),
            it.value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ":") })
        else { throw it.problem("\(it.quoted) is not an account") }
    }

    static let cookiePath = TextRule(
        "PREFIX", "a path such as /v1, without \"*\" and \";\"", pattern: "^/[^*?{;]*$"
    ) { it throws(ValueProblem) in
        if it.value.contains(";") {
            throw it.problem(
                "\(it.quoted) cannot be the path of a cookie, which ends at \";\"",
                suggestion: folder(above: it.value))
        }
        try startOfPath(it)
    }

    static let cookieDomain = TextRule(
        "HOST", "a domain such as example.com, without a dot before it"
    ) { it throws(ValueProblem) in
        guard isHostName(it.value) else {
            // A dot before it has no meaning (RFC 6265 §5.2.3), though everybody used to write it.
            let bare = String(it.value.drop { $0 == "." })
            throw it.problem(
                "\(it.quoted) is not a domain of cookies",
                suggestion: bare != it.value && isHostName(bare) ? bare : nil)
        }
    }

    static let defaultSet = TextRule(
        "DATE", "\"2026-1\"", schema: [("const", "\"2026-1\"")]
    ) { it throws(ValueProblem) in
        guard it.value == "2026-1" else {
            throw it.problem("\(it.quoted) is not a set of defaults this version knows", suggestion: "2026-1")
        }
    }

    fileprivate static func isHostName(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count) && !text.hasPrefix(".")
            && text.utf8.allSatisfy { $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "-._".utf8.contains($0) }
    }

    /// The folder in which the first segment with a semicolon stands: cookies for it are sent there too.
    fileprivate static func folder(above path: String) -> String? {
        guard path.hasPrefix("/"), let slash = path.prefix(while: { $0 != ";" }).lastIndex(of: "/") else {
            return nil
        }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// What nginx users write, in our words.
    fileprivate static func candidate(for text: String) -> String? {
        switch text {
        case "$uri": "{path}"
        case "$uri/": "{path}/"
        case _ where text.hasPrefix("=") && text.count == 4: "{ status: \(text.dropFirst()) }"
        case _ where text.hasPrefix("@"): "{ service: \(text.dropFirst()) }"
        case "": nil
        default: "/\(text)"
        }
    }

    /// token of RFC 9110 §5.6.2
    fileprivate static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 256
            && text.utf8.allSatisfy {
                $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }

    /// type/subtype, type/*, type/*+suffix or */*
    fileprivate static func checkMediaType(_ text: String) throws(ValueProblem) {
        let expectation = "expected \(TextRule.mediaType.expectation)"
        let quoted = "\"\(text.clipped(60))\""
        if text.contains(";") {
            let bare = String(text.prefix { $0 != ";" && $0 != " " })
            throw ValueProblem(
                message: "\(quoted) has parameters, which do not count", expectation: expectation,
                suggestion: bare)
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, isToken(String(parts[0])), isToken(String(parts[1])) else {
            throw ValueProblem(
                message: "\(quoted) is not a content type", expectation: expectation,
                suggestion: text == "*" ? "*/*" : nil)
        }
        let isWild = parts[1] == "*" || (parts[1].hasPrefix("*+") && !parts[1].dropFirst().contains("*"))
        guard text == "*/*" || (!parts[0].contains("*") && (isWild || !parts[1].contains("*"))) else {
            throw ValueProblem(message: "\(quoted) has \"*\" where it cannot be", expectation: expectation)
        }
    }

    /// "*", "name" or "*.name"; a name as clients send it in SNI, which has no addresses (RFC 6066 §3).
    fileprivate static func checkServerName(_ text: String) throws(ValueProblem) {
        let expectation = "expected \(TextRule.serverNamePattern.expectation)"
        let quoted = "\"\(text.clipped(60))\""
        if text == "*" { return }
        guard !Address.isIP(text[...], AF_INET), !text.hasPrefix("[") else {
            throw ValueProblem(
                message: "\(quoted) is an address: clients name no server when they connect to one",
                expectation: expectation, suggestion: "*")
        }
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        let labels = name.split(separator: ".", omittingEmptySubsequences: false)
        let isRight =
            name.utf8.count <= 253
            && labels.allSatisfy { label in
                (1...63).contains(label.utf8.count)
                    && label.utf8.allSatisfy {
                        $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || $0 == UInt8(ascii: "-")
                            || $0 == UInt8(ascii: "_")
                    }
            }
        guard isRight else {
            // What people write besides: a port, a dot at the end, an address of a page.
            var bare = text
            for scheme in ["https://", "http://"] where bare.hasPrefix(scheme) {
                bare.removeFirst(scheme.count)
            }
            bare = String(bare.prefix { $0 != ":" && $0 != "/" })
            if bare.hasSuffix(".") { bare.removeLast() }
            let isBetter = bare != text && !bare.isEmpty && (try? checkServerName(bare)) != nil
            throw ValueProblem(
                message: "\(quoted) is not a server name", expectation: expectation,
                suggestion: isBetter ? bare : nil)
        }
    }

    fileprivate static func checkBlock(_ text: String) throws(ValueProblem) {
        let expectation = "expected \(TextRule.cidr.expectation)"
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let host = parts.first ?? ""
        var room = in6_addr()
        let bits: Int
        if Address.isIP(host, AF_INET) {
            bits = 32
        } else if Address.isIP(host, AF_INET6) {
            bits = 128
        } else {
            throw ValueProblem(
                message: "\"\(text.clipped(60))\" is not an address block", expectation: expectation)
        }
        guard parts.count <= 2 else {
            throw ValueProblem(
                message: "\"\(text.clipped(60))\" is not an address block", expectation: expectation)
        }
        guard parts.count == 2 else { return }
        guard let prefix = Int(parts[1]), parts[1].utf8.allSatisfy({ $0 &- 48 < 10 }), prefix <= bits else {
            throw ValueProblem(
                message: "\"\(String(parts[1]).clipped(20))\" is not a prefix length (0 to \(bits))",
                expectation: expectation)
        }
        inet_pton(bits == 32 ? AF_INET : AF_INET6, String(host), &room)
        let wrong = withUnsafeMutableBytes(of: &room) { bytes in
            var wrong = false
            for index in 0..<bits / 8 {
                let kept = max(0, min(8, prefix - index * 8))
                let mask: UInt8 = kept == 0 ? 0 : ~UInt8(0) << UInt8(8 - kept)
                if bytes[index] & ~mask != 0 { wrong = true }
                bytes[index] &= mask
            }
            return wrong
        }
        guard wrong else { return }
        // 10.1.2.3/8 is more often a slip than a way to write 10.0.0.0/8.
        let base = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            inet_ntop(bits == 32 ? AF_INET : AF_INET6, &room, buffer.baseAddress, 64).map {
                String(cString: $0)
            }
        }
        throw ValueProblem(
            message: "\"\(text.clipped(60))\" has bits set after its prefix", expectation: expectation,
            suggestion: base.map { "\($0)/\(prefix)" })
    }
}
