// The definition of the language against what is made from it: model defaults, manual, JSON Schema.

import Foundation
import Testing

@testable import Configuration

@Suite struct LanguageTests {
    /// Every section reachable from the top, each once.
    private let sections: [SectionShape] = {
        var found: [SectionShape] = []
        func add(_ section: SectionShape) {
            guard !found.contains(where: { $0 === section }) else { return }
            found.append(section)
            for key in section.keys { for inner in key.kind.sections { add(inner.section) } }
        }
        add(Configuration.section.shape)
        return found
    }()

    /// The fields of a value of the model, as text.
    private func fields(_ model: Any) -> [String: String] {
        let mirror = Mirror(reflecting: model)
        guard mirror.displayStyle == .struct else { return ["self": String(describing: model)] }
        return Dictionary(
            mirror.children.map { ($0.label ?? "", String(describing: $0.value)) },
            uniquingKeysWith: { first, _ in first })
    }

    private func node(_ text: String) throws -> Node {
        let root = try #require(try YAMLDocument(Array(text.utf8), surroundings).root)
        return Node(content: root.content, origin: .none)
    }

    /// Fields that say where something stands, and names that are keys of maps.
    private let besides: Set<String> = [
        "name", "origin", "workersOrigin", "isFaulty",
        // There is one set so far.
        "defaults",
        // The short form of a map.
        "file",
    ]

    /// A value that is not the default has to arrive in the model, in one field; and no field is without a key.
    @Test func everyKeyFillsAFieldAndEveryFieldHasAKey() throws {
        let groups = sections.flatMap(\.keys).filter(\.isGroup).flatMap { $0.kind.sections.map(\.section) }
        for section in sections where section.excerptOf == nil {
            let empty = fields(section.model(try node("{}")))
            var filled: Set<String> = []
            for key in section.keys where !key.isPassedOn {
                let with = fields(section.model(try node(key.example)))
                let changed = empty.keys.filter { empty[$0] != with[$0] && !besides.contains($0) }
                filled.formUnion(changed)
                #expect(
                    !changed.isEmpty || besides.contains(key.name),
                    "\(section.name).\(key.name): \(key.example)")
                // A group has several fields, an example may need a second key, and `try` ends in who answers.
                let written = try node(key.example).entries.count
                let isMore = key.isGroup || written > 1 || key.name == "try"
                #expect(changed.count <= 1 || isMore, "\(section.name).\(key.name): \(changed)")
            }
            let left = Set(empty.keys).subtracting(filled).subtracting(besides)
            #expect(left.isEmpty || groups.contains { $0 === section }, "\(section.name): \(left)")
        }
    }

    /// What the manual says is the default is what the model has.
    @Test func writingADefaultChangesNothing() throws {
        for section in sections where section.excerptOf == nil {
            let empty = fields(section.model(try node("{}")))
            for key in section.keys {
                guard let value = key.defaultNode, let text = key.defaultText, text == value.yaml else {
                    continue
                }
                let with = fields(section.model(try node("\(key.name): \(text)")))
                for (name, was) in empty where !name.lowercased().hasSuffix("origin") {
                    #expect(with[name].map(places) == places(was), "\(section.name).\(key.name)")
                }
            }
        }
    }

    /// Without lines and columns.
    private func places(_ text: String) -> String {
        text.replacing(/Origin\(line: \d+, column: \d+, length: \d+/, with: "Origin(")
    }

    @Test func movingLinesIsNoChange() throws {
        let text = "listeners: { web: { address: \":8080\" } }\nroutes: [{ name: all, respond: {} }]\n"
        let first = try parsed(text)
        let moved = try parsed("# moved\n\n" + text)
        let changed = try parsed(text.replacingOccurrences(of: "8080", with: "8081"))
        #expect(first == moved)
        #expect(first != changed)
        #expect(first.listeners[0].name.origin.line == 1)
        #expect(moved.listeners[0].name.origin.line == 3)
    }

    @Test func everyKeyIsDocumentedWithAnExampleOfIt() throws {
        let all = sections
        #expect(all.count >= 20)
        for section in all {
            #expect(Set(section.keys.map(\.name)).count == section.keys.count)
            #expect(Set(section.later).isDisjoint(with: section.keys.map(\.name)))
            for key in section.keys {
                #expect(key.doc.hasSuffix("."), "\(section.name).\(key.name)")
                #expect(key.example.hasPrefix("\(key.name):"), "\(section.name).\(key.name)")
                // The example has to be right for the key it is an example of.
                let node = try #require(
                    try YAMLDocument(Array(key.example.utf8), surroundings).root?[key.name])
                var check = SchemaCheck(file: "example")
                check.check(node, key.kind, path: key.name)
                #expect(check.problems.isEmpty, "\(check.problems.map(\.description))")
            }
        }
    }

    @Test func theCommittedManualIsFresh() throws {
        let url = repository.appendingPathComponent("docs/reference.md")
        let manual = Configuration.referenceMarkdown()
        if ProcessInfo.processInfo.environment["WEIR_UPDATE_GOLDEN"] != nil {
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(manual.utf8).write(to: url)
        }
        let committed = try String(contentsOf: url, encoding: .utf8)
        #expect(committed == manual, "docs/reference.md is stale: run with WEIR_UPDATE_GOLDEN=1")
    }

    @Test func theSchemaIsJSONAndClosed() throws {
        let data = Data(Configuration.jsonSchema().utf8)
        let root = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        #expect(root["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(root["additionalProperties"] as? Bool == false)
        #expect(root["required"] as? [String] == ["listeners"])
        let properties = try #require(root["properties"] as? [String: [String: Any]])
        #expect(Set(properties.keys) == Set(Configuration.section.shape.keys.map(\.name)))
        let drain = try #require(properties["drain"])
        #expect(drain["pattern"] as? String == "^[0-9]+(ms|s|m|h|d)$|[$][{](env|file):")
        #expect((root["patternProperties"] as? [String: Bool]) == ["^x-": true])
        #expect((drain["description"] as? String)?.contains("Default: 30s.") == true)
    }
}

@Suite struct SchemaPatterns {
    @Test(arguments: [
        ("1", true), ("80", true), ("080", true), ("9999", true), ("10000", true), ("59999", true),
        ("65535", true), ("0", false), ("65536", false), ("65540", false), ("65600", false), ("66000", false),
        ("70000", false), ("99999", false), ("100000", false), ("", false),
    ])
    func portsAreThoseTheReaderTakes(_ port: String, _ isRight: Bool) throws {
        let listener = ["properties", "listeners", "additionalProperties", "properties", "address"]
        let endpoints = [
            "properties", "services", "additionalProperties", "properties", "endpoints", "items",
        ]
        let text = "127.0.0.1:\(port)"
        for keys in [listener, endpoints] {
            let data = try JSONSerialization.jsonObject(with: Data(Configuration.jsonSchema().utf8))
            var node: [String: Any]? = data as? [String: Any]
            for key in keys { node = node?[key] as? [String: Any] }
            let kinds = try #require(node?["anyOf"] as? [[String: Any]])
            let pattern = try NSRegularExpression(pattern: try #require(kinds[0]["pattern"] as? String))
            let range = NSRange(text.startIndex..., in: text)
            #expect((pattern.firstMatch(in: text, range: range) != nil) == isRight, "\(keys)")
        }
        for role in [Address.Role.listen, .endpoint] {
            #expect(((try? Address(Text(text), role: role)) != nil) == isRight)
        }
    }
}

@Suite struct ValueTests {
    @Test(arguments: [
        ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0), ("2d", 172_800_000),
    ])
    func durations(_ text: String, _ ms: Int64) throws {
        #expect(try Values.duration(text) == ms)
    }

    @Test(arguments: ["", "s", "10", "10S", "1e3s", "10 s", "+1s", "-1s", "1s ", "9223372036854775807h"])
    func noDurations(_ text: String) {
        #expect(throws: ValueProblem.self) { try Values.duration(text) }
    }

    @Test(arguments: [("20%", 200), ("0.5%", 5), ("100%", 1000), ("0%", 0)])
    func percentages(_ text: String, _ perMille: Int64) throws {
        #expect(try Values.perMille(text) == perMille)
    }

    @Test(arguments: ["20", "%", ".5%", "5.%", "1.25%", "-1%", "1.2.3%"])
    func noPercentages(_ text: String) {
        #expect(throws: ValueProblem.self) { try Values.perMille(text) }
    }

    @Test func suggestionsAreNearOrNone() {
        let names = ["service", "redirect", "respond"]
        #expect(Suggestion.nearest(to: "servce", in: names) == "service")
        #expect(Suggestion.nearest(to: "serivce", in: names) == "service")
        #expect(Suggestion.nearest(to: "zebra", in: names) == nil)
        #expect(Suggestion.nearest(to: "", in: names) == nil)
        #expect(Suggestion.nearest(to: String(repeating: "x", count: 10_000), in: names) == nil)
    }

    @Test func theWholeFileIsBounded() {
        let large = [UInt8](repeating: UInt8(ascii: "#"), count: YAMLBounds.fileBytes + 1)
        #expect(throws: YAMLDocument.Problem.self) { try YAMLDocument(large, surroundings) }
        #expect(throws: Never.self) { try YAMLDocument(Array(large.dropLast()), surroundings) }
    }
}

@Suite struct BoundTests {
    private func check(_ text: String) -> [ConfigurationError] {
        Configuration.check(Array(text.utf8), file: "test.yaml").problems
    }

    @Test func warningsEndSomewhereAndTakeNoErrorsPlace() {
        let unused = (0..<300).map { "  s\($0): { endpoints: [127.0.0.1:\(3000 + $0)] }\n" }.joined()
        let listeners = "listeners: { web: { address: \":8080\" } }\n"
        let right = "\(listeners)services:\n\(unused)routes: [{ name: a, respond: { status: 404 } }]\n"
        let warnings = check(right)
        #expect(warnings.count == SchemaCheck.problemsMax)
        #expect(warnings.allSatisfy { $0.severity == .warning })
        let wrong = "\(listeners)services:\n\(unused)routes: [{ name: a, service: missing }]\n"
        let problems = check(wrong)
        #expect(
            problems.filter { $0.severity == .error }.map(\.message) == ["there is no service \"missing\""])
    }

    @Test func routesOnListenersThatDifferAreBounded() throws {
        func file(routes: Int, listeners: Int, differ: Bool, named: Bool = false) -> String {
            "listeners:\n"
                + (0..<listeners).map {
                    "  l\($0): { address: \":\($0 + 1024)\", routes-defaults: { timeout: { head: \(differ ? $0 + 1 : 1)s } } }\n"
                }.joined() + "routes:\n"
                + (0..<routes).map {
                    "  - { name: r\($0), match: { path: /\($0) }, service: a\(named ? ", listeners: l\($0 % listeners)" : "") }\n"
                }.joined() + "services: { a: { endpoints: [127.0.0.1:3000] } }\n"
        }
        let problems = check(file(routes: 1001, listeners: 100, differ: true))
        #expect(
            problems.map(\.message) == [
                "1001 routes on listeners with different routes-defaults are more than 100000 routes"
            ])
        #expect(problems.first?.line == 102 && problems.first?.column == 1)
        // Those that share their defaults share their routes, and a route on one listener stands once.
        for text in [
            file(routes: 1001, listeners: 100, differ: false),
            file(routes: 1001, listeners: 100, differ: true, named: true),
        ] {
            #expect(try parsed(text).routes.count == 1001)
        }
    }
}
