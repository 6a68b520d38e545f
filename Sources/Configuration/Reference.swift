// The language as a manual: docs/reference.md is this output (a test compares them).
//
// Each entry has the same shape: syntax, where allowed, default, range, meaning, example.

import WeirExpressions

extension Configuration {
    /// The reference manual in Markdown, ending in a newline.
    public static func referenceMarkdown() -> String {
        var manual = Manual()
        manual.text = """
            # Configuration reference

            Generated from the definition of the language (`Sources/Configuration/Sections/`); do not edit.

            A configuration is one YAML document. Unknown keys, duplicate keys, wrong types and names that lead
            nowhere are errors; `weir check -c FILE` prints all of them. `weir schema` prints a JSON Schema for
            editors. [configuration.md](configuration.md) is about files, values that stand elsewhere
            (`${env:NAME}`, `${file:PATH}`), anchors, and what routes inherit.

            | value | written as |
            |---|---|
            | DURATION | a whole number with `ms`, `s`, `m`, `h` or `d`: `250ms`, `10s` |
            | SIZE | a whole number with `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`: `64KiB` |
            | SIZE/s, NUMBER/s | a rate: `240B/s`, `3/s` |
            | PERCENT% | `20%`, `0.5%` |
            | NAME | letters, digits, `-` and `_`, at most 64 |
            | FILE, FOLDER | a path; a relative one starts from the folder of the configuration file |
            | TEMPLATE | a text with variables: `{client.ip}`, `{request.host}`; `{{` and `}}` stand for braces |
            | EXPRESSION | a condition: `client.ip in ["10.0.0.0/8"]` ([expressions.md](expressions.md)) |

            ## Properties

            What templates (`{client.ip}`) and expressions can ask about a request. The name behind a dot may stand in brackets
            in expressions: `request.header["x-tenant"]`.


            """
        manual.text += Property.table
        manual.section(Configuration.section.shape, path: "")
        return manual.text
    }
}

private struct Manual {
    var text = ""
    /// Where a section stands, by its name and keys: it is said once.
    private var said: [[String]: String] = [:]

    mutating func section(_ section: SectionShape, path: String) {
        text += "\n## \(path.isEmpty ? "The file" : path)\n"
        if let whole = section.excerptOf {
            let names = section.keys.map { "`\($0.name)`" }.joined(separator: ", ")
            text += "\nAny of these keys of `\(whole)`: \(names).\n"
            return
        }
        let signature = [section.name] + section.keys.map(\.doc)
        if let place = said[signature] {
            text += "\nThe keys of `\(place)`.\n"
            return
        }
        said[signature] = path
        for group in section.exactlyOne {
            text += "\nExactly one of \(group.map { "`\($0)`" }.joined(separator: ", ")) has to be given.\n"
        }
        for key in section.keys { entry(key, path) }
        if !section.later.isEmpty {
            text +=
                "\nReserved for later versions: \(section.later.map { "`\($0)`" }.joined(separator: ", ")).\n"
        }
        for key in section.keys {
            for (suffix, inner) in key.kind.sections {
                self.section(inner, path: (path.isEmpty ? "" : path + ".") + key.name + suffix)
            }
        }
    }

    private mutating func entry(_ key: KeyShape, _ path: String) {
        text += "\n### \(key.name)\n\n"
        text += "- Syntax: `\(key.name): \(key.kind.syntax)`\n"
        text += "- Where: \(path.isEmpty ? "top level of the file" : "`\(path)`")\n"
        text +=
            "- Default: \(key.isRequired ? "none, required" : key.defaultText.map { "`\($0)`" } ?? "none")\n"
        if key.since != KeyShape.firstVersion { text += "- Since: \(key.since)\n" }
        if let range = key.kind.rangeText { text += "- Range: \(range)\n" }
        text += "\n\(key.doc)\n\n```yaml\n\(key.example)\n```\n"
    }
}
