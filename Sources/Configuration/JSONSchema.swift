// The language as JSON Schema (draft 2020-12), for editors (yaml-language-server) and other tools.
//
// It says what can be said without the rest of the file: keys, types, units, words. Ranges of values
// with units and names that have to exist are checked by `weir check` alone.
//
// Written line by line for people to read, which `JSONWriter` does not do; strings are its.

import JSON

extension Configuration {
    /// The JSON Schema of the configuration language, ending in a newline.
    public static func jsonSchema() -> String {
        var writer = SchemaWriter()
        writer.section(
            Language.file,
            head: [
                ("$schema", "https://json-schema.org/draft/2020-12/schema"),
                ("title", "Weir configuration"),
            ])
        return writer.text + "\n"
    }
}

private struct SchemaWriter {
    var text = ""
    private var depth = 0

    private mutating func line(_ content: String) {
        text += "\n" + String(repeating: "  ", count: depth) + content
    }

    /// `{ … }` with each member written by a closure, separated by commas.
    private mutating func object(_ members: [(String, (inout SchemaWriter) -> Void)]) {
        text += "{"
        depth += 1
        for (index, member) in members.enumerated() {
            line(JSONWriter.quoted(member.0) + ": ")
            member.1(&self)
            if index < members.count - 1 { text += "," }
        }
        depth -= 1
        line("}")
    }

    private static func string(_ value: String) -> (inout SchemaWriter) -> Void {
        { $0.text += JSONWriter.quoted(value) }
    }

    private static func strings(_ values: [String]) -> (inout SchemaWriter) -> Void {
        { $0.text += "[" + values.map(JSONWriter.quoted).joined(separator: ", ") + "]" }
    }

    private static func raw(_ value: String) -> (inout SchemaWriter) -> Void { { $0.text += value } }

    mutating func section(
        _ section: Section, head: [(String, String)] = [], annotations: [(String, String)] = []
    ) {
        var members = (head + annotations).map { ($0.0, Self.string($0.1)) }
        members.append(("type", Self.string("object")))
        members.append(("additionalProperties", Self.raw("false")))
        let required = section.keys.filter(\.isRequired).map(\.name)
        if !required.isEmpty { members.append(("required", Self.strings(required))) }
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
                            + group.map { "{ \"required\": [\(JSONWriter.quoted($0))] }" }.joined(
                                separator: ", ") + "]"
                    }
                ))
        }
        object(members)
    }

    private mutating func key(_ key: Key) {
        var doc = key.doc
        if let range = key.kind.rangeText { doc += "\nRange: \(range)." }
        if let value = key.defaultText { doc += "\nDefault: \(value)." }
        kind(key.kind, annotations: [("description", doc + "\nExample: \(key.example)")])
    }

    private mutating func kind(_ kind: Kind, annotations: [(String, String)] = []) {
        if case .section(let inner) = kind { return section(inner, annotations: annotations) }
        object(annotations.map { ($0.0, Self.string($0.1)) } + members(kind))
    }

    /// Added to patterns: a reference stands wherever a value does.
    private static let reference = "[$][{](env|file):"

    /// The members that constrain a value of this kind.
    private func members(_ kind: Kind) -> [(String, (inout SchemaWriter) -> Void)] {
        func pattern(_ text: String) -> [(String, (inout SchemaWriter) -> Void)] {
            [("type", Self.string("string")), ("pattern", Self.string("\(text)|\(Self.reference)"))]
        }
        switch kind {
        case .text(let rule): return members(rule)
        case .bool:
            return [
                ("type", Self.strings(["boolean", "string"])), ("pattern", Self.string(Self.reference)),
            ]
        case .integer(let range):
            return [
                ("type", Self.strings(["integer", "string"])),
                ("minimum", Self.raw("\(range.lowerBound)")), ("maximum", Self.raw("\(range.upperBound)")),
                ("pattern", Self.string(Self.reference)),
            ]
        case .duration: return pattern("^[0-9]+(\(Values.durationUnits.map(\.name).joined(separator: "|")))$")
        case .size: return pattern("^[0-9]+(\(Values.sizeUnits.map(\.name).joined(separator: "|")))$")
        case .byteRate: return pattern("^[0-9]+(\(Values.sizeUnits.map(\.name).joined(separator: "|")))/s$")
        case .rate: return pattern("^[0-9]+/s$")
        case .percent: return pattern("^[0-9]{1,4}([.][0-9])?%$")
        case .choice(let words, _):
            // `status: 308` is a number to a YAML editor.
            let values = words.map { Int($0) == nil ? JSONWriter.quoted($0) : $0 }
            let words = "{ \"enum\": [" + values.joined(separator: ", ") + "] }"
            let reference = "{ \"type\": \"string\", \"pattern\": \(JSONWriter.quoted(Self.reference)) }"
            return [("anyOf", Self.raw("[\(words), \(reference)]"))]
        case .word(let word): return [("const", Self.string(word))]
        case .list(let inner):
            return [("type", Self.string("array")), ("items", { $0.kind(inner) })]
        case .oneOrMany(let inner): return members(.either([inner, .list(inner)]))
        case .map(let inner, let rule):
            return [
                ("type", Self.string("object")), ("propertyNames", { $0.kind(.text(rule)) }),
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

    /// 1 to 65535, with zeros in front as the reader takes them.
    private static let port =
        "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"

    private func members(_ rule: TextRule) -> [(String, (inout SchemaWriter) -> Void)] {
        let pattern: String? =
            switch rule {
            case .name: "^[A-Za-z0-9_-]{1,64}$"
            case .path: "^[/~]"
            case .prefix: "^/[^*?{]*$"
            case .cookiePath: "^/[^*?{;]*$"
            case .method, .fieldName: "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$"
            case .listenAddress:
                "^(unix:.+|[0-9.]*:\(Self.port)|\\[[0-9A-Fa-f:.]+(%[^/ ]{1,15})?\\]:\(Self.port))$"
            case .endpointAddress:
                "^(unix:.+|[A-Za-z0-9._-]+:\(Self.port)|\\[[0-9A-Fa-f:.]+\\]:\(Self.port))$"
            case .resolverAddress: "^([0-9.]+|\\[[0-9A-Fa-f:.]+\\])(:\(Self.port))?$"
            case .logPath: "^(stdout|stderr|.*[/.].*)$"
            case .applicationProtocol: "^[!-~]{1,255}$"
            case .serverNamePattern: "^([*]|([*][.])?[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*)$"
            case .fileMode: "^0?[0-7]{3}$"
            case .errorStatus: "^([45][0-9]{2}|[45]xx)$"
            case .fingerprint: "^[0-9A-Fa-f]{2}(:?[0-9A-Fa-f]{2}){31}$"
            default: nil
            }
        switch rule {
        case .defaultSet: return [("const", Self.string("2026-1"))]
        case .retryCondition:
            return [
                (
                    "anyOf",
                    Self.raw(
                        "[{ \"enum\": [\"connect\", \"reset\", \"timeout\"] }, { \"type\": \"integer\", \"minimum\": 500, \"maximum\": 599 }]"
                    )
                )
            ]
        case .free, .template, .fieldValue, .body:
            // Any scalar is taken as it was written: `set: { X-Level: 3 }`.
            return [("type", Self.strings(["string", "number", "boolean"]))]
        case .name, .fieldName:
            return [("type", Self.strings(["string", "number"]))]
                + (pattern.map { [("pattern", Self.string("\($0)|\(Self.reference)"))] } ?? [])
        default:
            return [("type", Self.string("string"))]
                + (pattern.map { [("pattern", Self.string("\($0)|\(Self.reference)"))] } ?? [])
        }
    }
}
