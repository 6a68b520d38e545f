// The tree against the definition of the language: unknown keys, wrong types, units and ranges.
//
// Every error is collected; nothing stops at the first. What a wrong value leaves behind is handled by
// the builder, which takes the default instead (the result is then thrown away).

struct SchemaCheck {
    let file: String
    private(set) var problems: [ConfigurationError] = []
    /// Routes of the list at "routes" in which something is wrong.
    private(set) var faultyRoutes: Set<Int> = []
    /// How often something was found wrong: aliases find the same again, which is reported once.
    private var findings = 0
    private var reported: Set<Finding> = []

    /// Messages may differ in the path that led to an alias; what is expected does not.
    private struct Finding: Hashable {
        var line: Int
        var column: Int
        var expected: String
    }
    /// More than this many errors in one file help nobody.
    static let problemsMax = 200

    init(file: String) { self.file = file }

    /// A name of something that does not exist.
    mutating func dangling(_ name: Text, _ what: String, plural: String? = nil, _ known: [String]) {
        if isFull { return }
        report(
            "there is no \(what) \"\(name.value.clipped(64))\"", name.origin,
            known.isEmpty
                ? "the file has no \(plural ?? what + "s")"
                : "expected one of: \(known.prefix(12).joined(separator: ", "))\(known.count > 12 ? ", …" : "")",
            // Among many names the first slips are worth the search.
            suggestion: problems.count * known.count > 100_000
                ? nil : Suggestion.nearest(to: name.value, in: known))
    }

    mutating func report(
        _ message: String, _ origin: Origin, _ expectation: String? = nil, suggestion: String? = nil,
        severity: ConfigurationError.Severity = .error
    ) {
        findings += 1
        // Warnings take no error's place.
        guard severity == .error ? !isFull : problems.count < Self.problemsMax else { return }
        let error = ConfigurationError(
            message, at: origin, file: file, expectation: expectation, suggestion: suggestion,
            severity: severity)
        let finding = Finding(
            line: origin.line, column: origin.column, expected: error.expectation ?? error.message)
        if reported.insert(finding).inserted {
            problems.append(error)
            if severity == .error { errorCount += 1 }
        }
    }

    /// No more is reported: what costs time to say need not be worked out.
    var isFull: Bool { errorCount >= Self.problemsMax }
    private var errorCount = 0

    /// - Parameter path: how the message names the place, "routes[0].match"; empty at the top.
    mutating func check(_ node: Node, _ kind: Kind, path: String) {
        // What is wrong with a reference has been reported.
        if node.isFaulty {
            findings += 1
            return
        }
        switch kind {
        case .either(let kinds): either(node, kinds, path)
        case .section(let section): check(node, section, path)
        case .map(let inner, let rule):
            guard case .map(let entries) = node.content else { return mismatch(node, kind, path) }
            for entry in entries {
                name(entry.key, rule)
                check(entry.value, inner, path: "\(path).\(entry.key.value.clipped(64))")
            }
        case .list(let inner):
            guard case .list(let elements) = node.content else { return mismatch(node, kind, path) }
            for (index, element) in elements.enumerated() {
                let before = findings
                check(element, inner, path: "\(path)[\(index)]")
                if findings > before, path == "routes" { faultyRoutes.insert(index) }
            }
        case .oneOrMany(let inner):
            guard case .list(let elements) = node.content else { return check(node, inner, path: path) }
            for (index, element) in elements.enumerated() { check(element, inner, path: "\(path)[\(index)]") }
        default:
            guard let text = node.text else {
                // A quoted or empty text is a text; nothing at all is not.
                return mismatch(node, kind, path)
            }
            scalar(text, node, kind, path)
        }
    }

    private mutating func mismatch(_ node: Node, _ kind: Kind, _ path: String) {
        let place = path.isEmpty ? "the file" : path
        report("\(place) is \(node.shape)", node.origin, "expected \(kind.expectation)")
    }

    private mutating func either(_ node: Node, _ kinds: [Kind], _ path: String) {
        if let text = node.text {
            var words: [String] = []
            for case .word(let word) in kinds {
                if word == text { return }
                words.append(word)
            }
            for kind in kinds {
                switch kind {
                case .word, .section, .map, .list: continue
                default:
                    let before = problems.count
                    check(node, kind, path: path)
                    if problems.count > before, !words.isEmpty {
                        if let near = Suggestion.nearest(to: text, in: words) {
                            problems[before].suggestion = near
                        }
                        problems[before].expectation = "expected " + Kind.either(kinds).expectation
                    }
                    return
                }
            }
            return report(
                "\(path) is \(node.shape)", node.origin, "expected \(Kind.either(kinds).expectation)",
                suggestion: Suggestion.nearest(to: text, in: words))
        }
        for kind in kinds {
            switch (kind, node.content) {
            case (.section, .map), (.map, .map), (.list, .list), (.oneOrMany, .list):
                return check(node, kind, path: path)
            default: continue
            }
        }
        mismatch(node, .either(kinds), path)
    }

    private mutating func check(_ node: Node, _ section: SectionShape, _ path: String) {
        guard case .map(let entries) = node.content else { return mismatch(node, .section(section), path) }
        let place = path.isEmpty ? "" : " in \(path)"
        let names = section.names
        var nearMisses: Set<String> = []
        for entry in entries {
            let name = entry.key.value
            if let key = section[name] {
                check(entry.value, key.kind, path: path.isEmpty ? name : "\(path).\(name)")
            } else if section.later.contains(name) {
                report(
                    "\"\(name)\"\(place) is not in this version of Weir", entry.key.origin,
                    "expected one of: \(names.joined(separator: ", "))")
            } else if !(section.hasExtensions && name.hasPrefix("x-")) {
                let near = Suggestion.nearest(to: name, in: names)
                if let near { nearMisses.insert(near) }
                report(
                    "unknown key \"\(name.clipped(40))\"\(place)", entry.key.origin,
                    "expected one of: \(names.joined(separator: ", "))", suggestion: near)
            }
        }
        // A key that was only misspelt has been reported; that it is missing as well is no news.
        for key in section.keys
        where key.isRequired && node[key.name] == nil && !nearMisses.contains(key.name) {
            report(
                "\"\(key.name)\" is missing\(place)", node.origin, "expected \(key.name): \(key.kind.syntax)")
        }
        for group in section.exactlyOne {
            let given = entries.filter { group.contains($0.key.value) }
            if given.isEmpty, nearMisses.isDisjoint(with: group) {
                report(
                    "one of \(group.joined(separator: ", ")) is missing\(place)", node.origin,
                    "expected exactly one of: \(group.joined(separator: ", "))")
            }
            for extra in given.dropFirst() {
                report(
                    "\"\(extra.key.value)\" besides \"\(given[0].key.value)\"\(place)", extra.key.origin,
                    "expected exactly one of: \(group.joined(separator: ", "))")
            }
        }
    }

    private mutating func name(_ key: Text, _ rule: TextRule) {
        do throws(ValueProblem) { try rule.check(Scalar(text: key, isPlain: true, path: "")) } catch {
            report(error.message, key.origin, error.expectation, suggestion: error.suggestion)
        }
    }

    private mutating func scalar(_ text: String, _ node: Node, _ kind: Kind, _ path: String) {
        guard case .scalar(let form) = kind else { return }
        do throws(ValueProblem) {
            try form.check(Scalar(text: Text(text, at: node.origin), isPlain: node.isPlain, path: path))
        } catch {
            guard let hidden = node.origin.substitution else {
                let place = error.span.map { node.origin.place(of: $0, in: text) } ?? node.origin
                return report(error.message, place, error.expectation, suggestion: error.suggestion)
            }
            report(
                "what \"\(hidden.shown.clipped(60))\" stands for cannot stand here", node.origin,
                error.expectation)
        }
    }
}

extension Node {
    var bool: Bool? {
        guard case .scalar(let text, plain: true) = content else { return nil }
        switch text {
        case "true", "True", "TRUE": return true
        case "false", "False", "FALSE": return false
        default: return nil
        }
    }
}
