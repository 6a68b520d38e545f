// Changes of fields.

extension Route {
    public struct Headers: Sendable, Equatable {
        public var request = Changes()
        public var response = Changes()

        public init() {}
    }
    /// Applied in the order remove, replace, set, add.
    public struct Changes: Sendable, Equatable {
        public struct Field: Sendable, Equatable {
            public var name: Text
            /// Template of the value.
            public var value: Text

            public init(name: Text, value: Text) {
                self.name = name
                self.value = value
            }
        }
        public struct Replacement: Sendable, Equatable {
            public var name: Text
            /// A regular expression looked for in each value.
            public var pattern: Text
            /// Template of what takes the place of what it finds.
            public var with: Text

            public init(name: Text, pattern: Text, with: Text) {
                self.name = name
                self.pattern = pattern
                self.with = with
            }
        }
        public var replace: [Replacement] = []
        public var set: [Field] = []
        public var add: [Field] = []
        public var remove: [Text] = []

        public init() {}
        public var isEmpty: Bool { replace.isEmpty && self.set.isEmpty && add.isEmpty && remove.isEmpty }
    }
}

extension Route.Headers {
    static let section = Section("headers", { _ in Route.Headers() }) {
        Key(
            "request", Route.Changes.section, \.request,
            "Changes of the request sent to the service.",
            example: "request: { remove: [X-Debug] }")
        Key(
            "response", Route.Changes.section, \.response,
            "Changes of the response sent to the client.",
            example: "response: { set: { X-Frame-Options: DENY } }")
    }
}

extension Route.Changes {
    static let section = Section("changes", { _ in Route.Changes() }) {
        Key(
            "replace",
            MapOf(
                .fieldName, Replacement.section,
                { name, replacement in
                    var replacement = replacement
                    replacement.name = name
                    return replacement
                }, { ($0.name, $0) }), \.replace,
            "Fields in whose values a part is exchanged, in every line of that name.",
            example: "replace: { Destination: { pattern: \"^https:\", with: \"http:\" } }")
        Key(
            "set", fields, \.set,
            "Fields to have exactly this value, whatever was there.",
            example: "set: { X-Client: \"{client.ip}\" }")
        Key(
            "add", fields, \.add,
            "Fields to add to what is there.",
            example: "add: { Vary: Origin }")
        Key(
            "remove", OneOrMany(TextRule.fieldName), \.remove,
            "Fields to take out.",
            example: "remove: [Server, X-Powered-By]")
    }

    private static let fields = MapOf(
        .fieldName, TextRule.template, { Field(name: $0, value: $1) }, { ($0.name, $0.value) })
}

extension Route.Changes.Replacement {
    fileprivate static let section = Section(
        "replacement", { _ in Route.Changes.Replacement(name: Text(""), pattern: Text(""), with: Text("")) }
    ) {
        Key(
            "pattern", TextRule.regex, \.pattern, required: true,
            "A regular expression (PCRE2) looked for in the value; what it finds first is exchanged.",
            example: "pattern: \"^https:\"")
        Key(
            "with", TextRule.template, \.with, required: true,
            "What takes its place. `{match.1}` and `{match.NAME}` are groups of the expression, `{match.0}` is all that was found.",
            example: "with: \"http:\"")
    }
}
