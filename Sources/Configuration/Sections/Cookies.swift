// Location and cookies of endpoints: how what they say about themselves reaches clients.

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

extension Route.Cookies {
    static let section = Section("cookies", { _ in Route.Cookies() }) {
        Key(
            "path",
            Exchange.path.mapped(
                to: { Path.prefix(from: $0.from, to: $0.to) },
                from: { if case .prefix(let from, let to) = $0 { Exchange(from: from, to: to) } else { nil } }
            ).or("keep").or("rewrite", means: .rewrite), \.path,
            "The `Path` of cookies. `rewrite`: they get back what the route's `rewrite: { prefix: … }` took off. Cookies whose names begin with `__Host-` stay as they are.",
            example: "path: { from: /app, to: /shop }")
        Key(
            "domain",
            Exchange.domain.mapped(
                to: { Domain.replace(from: $0.from, to: $0.to) },
                from: {
                    if case .replace(let from, let to) = $0 { Exchange(from: from, to: to) } else { nil }
                }
            ).or("keep").or("remove", means: .remove), \.domain,
            "The `Domain` of cookies. `remove`: they are for the host the client asked, and no other.",
            example: "domain: { from: app.internal, to: shop.example.com }")
        Key(
            "secure", Choice([("on", true), ("off", false), ("keep", nil)]), \.secure,
            "`on`: all are `Secure`. `off`: none is, but for those that browsers would refuse without it: `__Secure-` and `__Host-` names, `SameSite=None` and `Partitioned`.",
            example: "secure: on")
        Key(
            "same-site", Choice(SameSite.allCases.map { ($0.rawValue, $0) } + [("keep", nil)]), \.sameSite,
            "The `SameSite` all cookies get. `none` makes all `Secure` too: browsers refuse it without.",
            example: "same-site: lax")
        Key(
            "http-only", Choice([("on", true), ("keep", false)]), \.httpOnly,
            "`on`: scripts cannot read any of them.",
            example: "http-only: on")
    }
}

/// `{ from: …, to: … }`
private struct Exchange: Sendable {
    var from = Text("")
    var to = Text("")

    static let path = Section("path", { _ in Exchange() }) {
        Key(
            "from", TextRule.cookiePath, \.from, required: true,
            "What the endpoint's path starts with, in whole segments; other paths are left alone.",
            example: "from: /app")
        Key(
            "to", TextRule.cookiePath, \.to, required: true,
            "What it starts with for the client.",
            example: "to: /shop")
    }

    static let domain = Section("domain", { _ in Exchange() }) {
        Key(
            "from", TextRule.cookieDomain, \.from, required: true,
            "The endpoint's domain, in any case; other domains are left alone.",
            example: "from: app.internal")
        Key(
            "to", TextRule.cookieDomain, \.to, required: true,
            "The domain for the client.",
            example: "to: shop.example.com")
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
