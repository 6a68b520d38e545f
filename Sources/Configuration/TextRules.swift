// What the texts of the language have to look like.
//
// Only what can be said without compiling them; patterns and templates are compiled by the control
// plane, which reports what is wrong with them in the same form.

import Glibc

extension TextRule {
    /// Methods of RFC 9110 §9 and RFC 5789, to suggest from.
    static let knownMethods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT",
    ]

    /// Checks a text; throws what is wrong with it.
    func check(_ text: Text) throws(ValueProblem) {
        let value = text.value
        func problem(_ message: String, suggestion: String? = nil) -> ValueProblem {
            ValueProblem(message: message, expectation: "expected \(expectation)", suggestion: suggestion)
        }
        let quoted = "\"\(value.clipped(60))\""
        switch self {
        case .free:
            guard value.utf8.count <= 1 << 20 else { throw problem("the text is longer than 1 MiB") }
        case .template, .fieldValue, .regex:
            // A line break in a field value would start another field (RFC 9110 §5.5).
            guard !value.utf8.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 }) else {
                throw problem("a line break or NUL in the text")
            }
            guard value.utf8.count <= 16_384 else { throw problem("the text is longer than 16 KiB") }
            if case .regex = self, value.isEmpty { throw problem("an empty regular expression") }
        case .body:
            guard !value.utf8.contains(0) else { throw problem("a NUL in the text") }
            guard value.utf8.count <= 65_536 else {
                throw ValueProblem(
                    message: "the text is longer than 64 KiB", expectation: "expected less, or a file")
            }
        case .errorStatus:
            guard ErrorPage.Statuses(value) == nil else { break }
            throw problem("\(quoted) is not the status of an error", suggestion: Self.errorStatus(for: value))
        case .name:
            guard
                (1...64).contains(value.utf8.count),
                value.utf8.allSatisfy({
                    $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || $0 == UInt8(ascii: "-")
                        || $0 == UInt8(ascii: "_")
                })
            else { throw problem("\(quoted) cannot be a name") }
        case .host:
            guard !value.isEmpty, !value.contains("/") else { throw problem("\(quoted) is not a host") }
        case .path:
            guard value.hasPrefix("/") || value.hasPrefix("~") else {
                throw problem("\(quoted) is not a path", suggestion: value.isEmpty ? nil : "/\(value)")
            }
        case .cookiePath where value.contains(";"):
            throw problem(
                "\(quoted) cannot be the path of a cookie, which ends at \";\"",
                suggestion: Self.folder(above: value))
        case .prefix, .cookiePath:
            guard value.hasPrefix("/"), !value.contains("*"), !value.contains("?"), !value.contains("{")
            else {
                let bare = value.filter { $0 != "*" }
                throw problem(
                    "\(quoted) is not the start of a path",
                    suggestion: value.hasSuffix("/*")
                        ? String(value.dropLast(2)) : bare.hasPrefix("/") ? nil : "/\(bare)")
            }
        case .method:
            guard Self.isToken(value) else { throw problem("\(quoted) is not a method") }
            // Methods are case-sensitive (RFC 9110 §9.1): "get" would never match.
            if value != value.uppercased() {
                throw problem(
                    "\(quoted) would never match: methods are case-sensitive", suggestion: value.uppercased())
            }
            if let near = Suggestion.nearest(to: value, in: Self.knownMethods), near != value,
                near.utf8.count == value.utf8.count, Set(near.utf8) == Set(value.utf8)
            {
                throw problem("\(quoted) is not a method that is known", suggestion: near)
            }
        case .fieldName:
            if value.hasPrefix(":") {
                // HTTP/2's way to write what is no field (RFC 9113 §8.3).
                throw ValueProblem(
                    message: "\(quoted) is not the name of a field",
                    expectation:
                        "it is HTTP/2's form of another part: Host is a field in every version, rewrite changes the path, and methods and statuses stay",
                    suggestion: value.lowercased() == ":authority" ? "Host" : nil)
            }
            guard Self.isToken(value) else { throw problem("\(quoted) is not the name of a field") }
        case .cidr: if value != "unix" { try Self.checkBlock(value) }
        case .fileMode:
            guard SocketAccess.mode(value) != nil else { throw problem("\(quoted) is not a file's mode") }
        case .account:
            guard (1...64).contains(value.utf8.count), !value.hasPrefix("-"),
                value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ":") })
            else { throw problem("\(quoted) is not an account") }
        case .hostName:
            guard Self.isHostName(value) else {
                let bare = String(value.prefix { $0 != ":" && $0 != "/" })
                throw problem(
                    "\(quoted) is not a host name",
                    suggestion: bare != value && Self.isHostName(bare) ? bare : nil)
            }
        case .cookieDomain:
            guard Self.isHostName(value) else {
                // A dot before it has no meaning (RFC 6265 §5.2.3), though everybody used to write it.
                let bare = String(value.drop { $0 == "." })
                throw problem(
                    "\(quoted) is not a domain of cookies",
                    suggestion: bare != value && Self.isHostName(bare) ? bare : nil)
            }
        case .listenAddress: _ = try Address(text, role: .listen)
        case .endpointAddress: _ = try Address(text, role: .endpoint)
        case .resolverAddress: _ = try Address(text, role: .resolver)
        case .defaultSet:
            guard value == "2026-1" else {
                throw problem("\(quoted) is not a set of defaults this version knows", suggestion: "2026-1")
            }
        case .logPath:
            guard value == "stdout" || value == "stderr" || (value.hasPrefix("/") && !value.utf8.contains(0))
            else {
                throw problem(
                    "\(quoted) is not a place for a log",
                    suggestion: Suggestion.nearest(to: value, in: ["stdout", "stderr"]))
            }
        case .file:
            guard value.hasPrefix("/"), !value.utf8.contains(0), value.utf8.count <= 4_095 else {
                throw problem("\(quoted) is not a path")
            }
        case .applicationProtocol:
            guard (1...255).contains(value.utf8.count), value.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
            else { throw problem("\(quoted) is not the name of a protocol") }
            if ["http1", "http1.1", "http/1", "http"].contains(value.lowercased()) {
                throw problem("\(quoted) is not how ALPN writes it", suggestion: "http/1.1")
            }
            if ["http2", "http/2", "h2c"].contains(value.lowercased()) {
                throw problem("\(quoted) is not how ALPN writes it", suggestion: "h2")
            }
        case .serverName:
            let isAddress = Address.isIP(value[...], AF_INET) || Address.isIP(value[...], AF_INET6)
            guard isAddress || Self.isHostName(value) else { throw problem("\(quoted) is not a host name") }
        case .folder:
            guard value.hasPrefix("/"), !value.utf8.contains(0), value.utf8.count < 4096 else {
                throw problem("\(quoted) is not a path")
            }
        case .fileName:
            guard (1...255).contains(value.utf8.count), value != ".", value != "..",
                !value.utf8.contains(where: { $0 == UInt8(ascii: "/") || $0 < 0x20 })
            else { throw problem("\(quoted) is not the name of a file") }
        case .filePath:
            let segments = value.split(separator: "/", omittingEmptySubsequences: false)
            guard value.utf8.count < 1024, !value.utf8.contains(where: { $0 < 0x20 }),
                segments.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." })
            else {
                let bare = value.drop { $0 == "/" }
                throw problem(
                    "\(quoted) is not a path below the root",
                    suggestion: value.hasPrefix("/") && !bare.isEmpty ? String(bare) : nil)
            }
        case .fileCandidate:
            guard !value.contains("?") else {
                // "/index.php?$args" runs a program elsewhere; here it would be handed out as a file.
                throw problem(
                    "\(quoted) has a query, and names of files have none", suggestion: "{ service: NAME }")
            }
            guard value.hasPrefix("/") || value.hasPrefix("{"), value.utf8.count < 1024,
                !value.utf8.contains(where: { $0 < 0x20 })
            else {
                throw problem(
                    "\(quoted) is not a path below the root", suggestion: Self.candidate(for: value))
            }
        case .filePattern:
            guard (1...1024).contains(value.utf8.count), !value.utf8.contains(where: { $0 < 0x20 }),
                value.hasPrefix("/") || !value.contains("/")
            else {
                throw problem(
                    "\(quoted) is not a pattern for files",
                    suggestion: value.contains("/") ? "/\(value)" : nil)
            }
        case .fileExtension:
            guard
                value == "*"
                    || ((1...16).contains(value.utf8.count)
                        && value.utf8.allSatisfy {
                            $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "-_+~".utf8.contains($0)
                        })
            else {
                throw problem(
                    "\(quoted) is not an extension",
                    suggestion: value.hasPrefix(".") && value.count > 1 ? String(value.dropFirst()) : nil)
            }
        case .mediaType: try Self.checkMediaType(value)
        case .serverNamePattern: try Self.checkServerName(value)
        case .fingerprint:
            let digits = value.utf8.filter { $0 != UInt8(ascii: ":") }
            guard digits.count == 64, digits.allSatisfy({ $0 &- 48 < 10 || ($0 | 32) &- 97 < 6 }) else {
                throw problem("\(quoted) is not a SHA-256 fingerprint")
            }
        case .retryCondition:
            guard Route.Retry.Condition(value) != nil else {
                throw problem(
                    "\(quoted) is not a reason to retry",
                    suggestion: Suggestion.nearest(to: value, in: ["connect", "reset", "timeout"]))
            }
        }
    }

    private static func isHostName(_ text: String) -> Bool {
        (1...253).contains(text.utf8.count) && !text.hasPrefix(".")
            && text.utf8.allSatisfy { $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "-._".utf8.contains($0) }
    }

    /// The folder in which the first segment with a semicolon stands: cookies for it are sent there too.
    private static func folder(above path: String) -> String? {
        guard path.hasPrefix("/"), let slash = path.prefix(while: { $0 != ";" }).lastIndex(of: "/") else {
            return nil
        }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// What was meant by "5XX", "50x", "5**" or "500-599".
    private static func errorStatus(for text: String) -> String? {
        guard let digit = text.first, "45".contains(digit) else { return nil }
        let rest = text.dropFirst().lowercased()
        let isClass = rest.allSatisfy { "0123456789x*-".contains($0) } && rest.contains { "x*-".contains($0) }
        return isClass || rest.isEmpty ? "\(digit)xx" : nil
    }

    /// What nginx users write, in our words.
    private static func candidate(for text: String) -> String? {
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
    private static func isToken(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 256
            && text.utf8.allSatisfy {
                $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "!#$%&'*+-.^_`|~".utf8.contains($0)
            }
    }

    /// type/subtype, type/*, type/*+suffix or */*
    private static func checkMediaType(_ text: String) throws(ValueProblem) {
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
    private static func checkServerName(_ text: String) throws(ValueProblem) {
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

    private static func checkBlock(_ text: String) throws(ValueProblem) {
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

extension SocketAccess {
    /// "0660" or "660".
    static func mode(_ text: String) -> UInt32? {
        guard (3...4).contains(text.utf8.count), let value = UInt32(text, radix: 8), value <= 0o777 else {
            return nil
        }
        return value
    }
}

extension Route.Retry.Condition {
    init?(_ text: String) {
        switch text {
        case "connect": self = .connect
        case "reset": self = .reset
        case "timeout": self = .timeout
        default:
            guard text.utf8.count == 3, let status = Int(text), (500...599).contains(status) else {
                return nil
            }
            self = .status(status)
        }
    }

    var text: String {
        switch self {
        case .connect: "connect"
        case .reset: "reset"
        case .timeout: "timeout"
        case .status(let status): "\(status)"
        }
    }
}
