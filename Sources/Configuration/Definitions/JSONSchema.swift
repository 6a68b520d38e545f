// The language as JSON Schema (draft 2020-12), for editors (yaml-language-server) and other tools.
//
// It says what can be said without the rest of the file: keys, types, units, words. Ranges of values
// with units and names that have to exist are checked by `weir check` alone.

import WeirJSON

extension Configuration {
    /// The JSON Schema of the configuration language, ending in a newline.
    public static func jsonSchema() -> String {
        var writer = SchemaWriter()
        writer.section(
            Configuration.section.shape,
            head: [
                ("$schema", "https://json-schema.org/draft/2020-12/schema"),
                ("title", "Weir configuration"),
            ])
        return writer.text + "\n"
    }
}

private struct SchemaWriter {
    typealias Member = (String, (inout SchemaWriter) -> Void)

    var text = ""
    private var depth = 0

    private mutating func line(_ content: String) {
        text += "\n" + String(repeating: "  ", count: depth) + content
    }

    /// `{ … }` with each member written by a closure, separated by commas.
    private mutating func object(_ members: [Member]) {
        text += "{"
        depth += 1
        for (index, member) in members.enumerated() {
            line(SchemaText.quoted(member.0) + ": ")
            member.1(&self)
            if index < members.count - 1 { text += "," }
        }
        depth -= 1
        line("}")
    }

    private static func string(_ value: String) -> (inout SchemaWriter) -> Void {
        raw(SchemaText.quoted(value))
    }

    private static func raw(_ value: String) -> (inout SchemaWriter) -> Void { { $0.text += value } }

    mutating func section(
        _ section: SectionShape, head: [(String, String)] = [], annotations: [(String, String)] = []
    ) {
        var members = (head + annotations).map { ($0.0, Self.string($0.1)) }
        members.append(("type", Self.string("object")))
        members.append(("additionalProperties", Self.raw("false")))
        let required = section.keys.filter(\.isRequired).map(\.name)
        if !required.isEmpty { members.append(("required", Self.raw(SchemaText.listed(required)))) }
        members.append(
            (
                "properties",
                { writer in
                    writer.object(section.keys.map { key in (key.name, { $0.key(key) }) })
                }
            ))
        if section.hasExtensions { members.append(("patternProperties", Self.raw("{ \"^x-\": true }"))) }
        if let group = section.exactlyOne.first {
            members.append(
                (
                    "oneOf",
                    {
                        $0.text +=
                            "["
                            + group.map { "{ \"required\": [\(SchemaText.quoted($0))] }" }.joined(
                                separator: ", ") + "]"
                    }
                ))
        }
        object(members)
    }

    private mutating func key(_ key: KeyShape) {
        var doc = key.doc
        if let range = key.kind.rangeText { doc += "\nRange: \(range)." }
        if let value = key.defaultText { doc += "\nDefault: \(value)." }
        kind(key.kind, annotations: [("description", doc + "\nExample: \(key.example)")])
    }

    private mutating func kind(_ kind: Kind, annotations: [(String, String)] = []) {
        if case .section(let inner) = kind { return section(inner, annotations: annotations) }
        object(annotations.map { ($0.0, Self.string($0.1)) } + members(kind))
    }

    /// The members that constrain a value of this kind.
    private func members(_ kind: Kind) -> [Member] {
        switch kind {
        case .scalar(let form): return form.schema.map { ($0.name, Self.raw($0.value)) }
        case .word(let word): return [("const", Self.string(word))]
        case .list(let inner):
            return [("type", Self.string("array")), ("items", { $0.kind(inner) })]
        case .oneOrMany(let inner): return members(.either([inner, .list(inner)]))
        case .map(let inner, let rule):
            return [
                ("type", Self.string("object")), ("propertyNames", { $0.kind(.scalar(rule)) }),
                ("additionalProperties", { $0.kind(inner) }),
            ]
        case .section:
            return [
                (
                    "allOf",
                    {
                        $0.text += "["
                        $0.kind(kind)
                        $0.text += "]"
                    }
                )
            ]
        case .either(let kinds):
            return [
                (
                    "anyOf",
                    { writer in
                        writer.text += "["
                        for (index, kind) in kinds.enumerated() {
                            if index > 0 { writer.text += ", " }
                            writer.kind(kind)
                        }
                        writer.text += "]"
                    }
                )
            ]
        }
    }
}

/// Pieces of JSON.
enum SchemaText {
    /// Added to patterns: a reference stands wherever a value does.
    static let reference = "[$][{](env|file):"
    /// Types of a scalar that is taken as it was written: `set: { X-Level: 3 }`.
    static let scalars = ["string", "number", "boolean"]

    static func listed(_ texts: [String]) -> String {
        "[" + texts.map(quoted).joined(separator: ", ") + "]"
    }

    /// The schema of a text of a certain look.
    static func pattern(_ pattern: String) -> [JSONMember] {
        [("type", quoted("string")), ("pattern", quoted("\(pattern)|\(reference)"))]
    }

    static func quoted(_ text: String) -> String { JSONWriter.quoted(text) }
}
