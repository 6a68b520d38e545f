// Trees → text. What is written here is read as the same values again.

extension Node {
    /// On one line, maps and lists in braces and brackets.
    var yaml: String {
        switch content {
        case .scalar: return scalarText
        case .list(let elements): return "[" + elements.map(\.yaml).joined(separator: ", ") + "]"
        case .map(let entries):
            if entries.isEmpty { return "{}" }
            return "{ "
                + entries.map { "\(Self.text($0.key).scalarText): \($0.value.yaml)" }.joined(separator: ", ")
                + " }"
        }
    }

    /// On lines of its own down to `depth`, below that on one.
    ///
    /// - Parameter indent: of each line but the first.
    func yaml(depth: Int, indent: String = "") -> String {
        let inner = indent + "  "
        switch content {
        case .map(let entries) where depth > 0 && !entries.isEmpty:
            return entries.map { entry in
                let name = Self.text(entry.key).scalarText
                return entry.value.isLine(depth - 1)
                    ? "\(name): \(entry.value.yaml)"
                    : "\(name):\n\(inner)\(entry.value.yaml(depth: depth - 1, indent: inner))"
            }.joined(separator: "\n\(indent)")
        case .list(let elements) where depth > 0 && elements.contains { !$0.isLine(depth - 1) }:
            return elements.map { "- \($0.yaml(depth: depth - 1, indent: inner))" }.joined(
                separator: "\n\(indent)")
        default: return yaml
        }
    }

    private func isLine(_ depth: Int) -> Bool {
        switch content {
        case .scalar: true
        case .list(let elements): depth == 0 || elements.allSatisfy { $0.isLine(depth - 1) }
        case .map(let entries): depth == 0 || entries.isEmpty
        }
    }

    /// A scalar with the quotes it needs.
    private var scalarText: String {
        guard case .scalar(let text, let isPlain) = content else { return "" }
        // A text made from references is written as it was, with them.
        if let written = origin.substitution?.written { return Self.quoted(written) }
        return isPlain || Self.needsNoQuotes(text) ? text : Self.quoted(text)
    }

    /// Whether YAML reads the text as it is, wherever it stands. Less than YAML would take.
    private static func needsNoQuotes(_ text: String) -> Bool {
        guard let first = text.utf8.first, let last = text.utf8.last, last != UInt8(ascii: ":"),
            (first | 32) &- 97 < 26 || first &- 48 < 10 || first == UInt8(ascii: "/")
        else { return false }
        return !["null", "Null", "NULL"].contains(text)
            && text.utf8.allSatisfy {
                ($0 | 32) &- 97 < 26 || $0 &- 48 < 10 || "-_./:+@%=*~^$()".utf8.contains($0)
            }
    }

    /// Between double quotes; references uncovered.
    private static func quoted(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { SourceText.covered($0.value) != nil }) else {
            return SchemaText.quoted(text)
        }
        var result = "\""
        for scalar in text.unicodeScalars {
            if let byte = SourceText.covered(scalar.value) {
                result.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                result += SchemaText.quoted(String(scalar)).dropFirst().dropLast()
            }
        }
        return result + "\""
    }
}
