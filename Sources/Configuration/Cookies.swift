// Location and cookies of endpoints in the model: how what they say about themselves reaches clients.

extension Route {
    /// How cookies of endpoints change on their way to the client.
    public struct Cookies: Sendable, Equatable {
        public enum Path: Sendable, Equatable {
            /// What the route's rewrite exchanges, the other way round.
            case rewrite
            /// Whole segments at the start are exchanged.
            case prefix(from: Text, to: Text)
        }
        public enum Domain: Sendable, Equatable {
            /// The cookie is for the host the client asked.
            case remove
            case replace(from: Text, to: Text)
        }
        public enum SameSite: String, Sendable, CaseIterable {
            case strict, lax, none
        }
        // Nil: as the endpoint has it.
        public var path: Path?
        public var domain: Domain?
        public var secure: Bool?
        public var sameSite: SameSite?
        /// All of them are made HttpOnly.
        public var httpOnly = false

        public init() {}

        public var isEmpty: Bool { self == Cookies() }
    }
}

extension CrossCheck {
    /// Rewrites without a way back, and cookies that no browser takes.
    func wayBack(_ route: Node, _ check: inout SchemaCheck) {
        if let rewrite = route["rewrite"], let key = rewrite.key("path") ?? rewrite.key("pattern") {
            if route["location"]?.text == "rewrite" {
                check.report(
                    "location: rewrite cannot turn back what this rewrite does", key,
                    "expected rewrite: { prefix: … }, which goes both ways; or location: off, and headers: { response: { replace: { Location: … } } }"
                )
            }
            if route["cookies"]?["path"]?.text == "rewrite" {
                check.report(
                    "cookies: { path: rewrite } cannot turn back what this rewrite does", key,
                    "expected rewrite: { prefix: … }, which goes both ways; or cookies: { path: { from: …, to: … } }"
                )
            }
        }
        if let prefix = route["rewrite"]?["prefix"], route["cookies"]?["path"]?.text == "rewrite" {
            for value in [prefix["from"], prefix["to"]] {
                guard let value, let text = value.text, text.contains(";") else { continue }
                check.report(
                    "cookies: { path: rewrite } cannot exchange \"\(text.clipped(60))\": the path of a cookie ends at \";\"",
                    value.origin, "expected cookies: { path: { from: …, to: … } } with the folders above")
            }
        }
        if let cookies = route["cookies"], cookies["same-site"]?.text == "none",
            cookies["secure"]?.text == "off"
        {
            check.report(
                "browsers refuse cookies with same-site: none that are not Secure",
                cookies.key("same-site") ?? cookies.origin, "expected secure: on beside it")
        }
    }
}

extension ConfigurationBuilder {
    func cookies(_ node: Node?) -> Route.Cookies {
        var result = Route.Cookies()
        guard let node else { return result }
        if let path = node["path"] {
            if let from = path["from"]?.asText, let to = path["to"]?.asText {
                result.path = .prefix(from: from, to: to)
            } else if path.text == "rewrite" {
                result.path = .rewrite
            }
        }
        if let domain = node["domain"] {
            if let from = domain["from"]?.asText, let to = domain["to"]?.asText {
                result.domain = .replace(from: from, to: to)
            } else if domain.text == "remove" {
                result.domain = .remove
            }
        }
        switch node["secure"]?.text {
        case "on"?: result.secure = true
        case "off"?: result.secure = false
        default: break
        }
        result.sameSite = node["same-site"]?.text.flatMap(Route.Cookies.SameSite.init(rawValue:))
        result.httpOnly = node["http-only"]?.text == "on"
        return result
    }
}

extension Route.Cookies {
    /// For people: what changes.
    public var text: String {
        var parts: [String] = []
        switch path {
        case nil: break
        case .rewrite: parts.append("path=rewrite")
        case .prefix(let from, let to): parts.append("path=\(from.shown)->\(to.shown)")
        }
        switch domain {
        case nil: break
        case .remove: parts.append("domain=remove")
        case .replace(let from, let to): parts.append("domain=\(from.shown)->\(to.shown)")
        }
        if let secure { parts.append("secure=\(secure ? "on" : "off")") }
        if let sameSite { parts.append("same-site=\(sameSite.rawValue)") }
        if httpOnly { parts.append("http-only=on") }
        return parts.isEmpty ? "keep" : parts.joined(separator: " ")
    }
}
