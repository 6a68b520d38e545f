// What becomes of the path before it goes to a service.

extension Route {
    public enum Rewrite: Sendable, Equatable {
        /// `rewrite: { path: TEMPLATE }`: the whole path (with query, unless the template has one).
        case path(Text)
        /// `rewrite: { prefix: { from: /old, to: /new } }`: whole path segments at the start are
        /// exchanged; other paths are left alone.
        case prefix(from: Text, to: Text)
        /// `rewrite: { pattern: REGEX, with: TEMPLATE }`: what the expression finds in the path is exchanged.
        case pattern(Text, with: Text)
    }
}

extension Route.Rewrite {
    /// The cases as they are written.
    fileprivate struct Parts: Sendable {
        var path: Text?
        var prefix: Prefix?
        var pattern: Text?
        var with: Text?
    }

    fileprivate struct Prefix: Sendable {
        var from = Text("")
        var to = Text("/")
    }

    static let form: some Form<Route.Rewrite> = section.mapped(to: { Route.Rewrite($0) }, from: { Parts($0) })

    private static let section = Section(
        "rewrite", { _ in Parts() }, exactlyOne: [["path", "prefix", "pattern"]]
    ) {
        Key(
            "path", TextRule.template, \.path,
            "The whole new path. The query is kept unless the template has one.",
            example: "path: \"/users/{path.id}\"")
        Key(
            "prefix", Prefix.section, \.prefix,
            "Exchanges whole segments at the start of the path.",
            example: "prefix: { from: /v1, to: / }")
        Key(
            "pattern", TextRule.regex, \.pattern,
            "A regular expression (PCRE2) looked for in the path, which it sees as routes do; what it finds first is exchanged for `with`. Other paths are left alone.",
            example: "pattern: \"^/user/([0-9]+)\"\nwith: \"/u/{match.1}\"")
        Key(
            "with", TextRule.template, \.with,
            "What takes the place of what `pattern` finds. `{match.1}` and `{match.NAME}` are its groups, `{match.0}` is all of it.",
            example: "with: \"/u/{match.1}\"")
    }

    /// Nil without the other half of a pattern: the file is refused then.
    private init?(_ parts: Parts) {
        if let path = parts.path {
            self = .path(path)
        } else if let prefix = parts.prefix {
            self = .prefix(from: prefix.from, to: prefix.to)
        } else if let pattern = parts.pattern, let with = parts.with {
            self = .pattern(pattern, with: with)
        } else {
            return nil
        }
    }
}

extension Route.Rewrite.Parts {
    fileprivate init(_ rewrite: Route.Rewrite) {
        switch rewrite {
        case .path(let path): self.path = path
        case .prefix(let from, let to): prefix = .init(from: from, to: to)
        case .pattern(let pattern, let with):
            self.pattern = pattern
            self.with = with
        }
    }
}

extension Route.Rewrite.Prefix {
    fileprivate static let section = Section("prefix", { _ in Route.Rewrite.Prefix() }) {
        Key(
            "from", TextRule.prefix, \.from, required: true,
            "What the path starts with; other paths are left alone.",
            example: "from: /v1")
        Key(
            "to", TextRule.prefix, \.to,
            "What it starts with afterwards.",
            example: "to: /api")
    }
}
