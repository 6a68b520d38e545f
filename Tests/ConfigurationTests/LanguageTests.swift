// The definition of the language against what is made from it: model defaults, manual, JSON Schema.

import Foundation
import Testing

@testable import Configuration

@Suite struct LanguageTests {
    /// Writes every default of a section the way the manual shows it.
    private func defaults(_ section: Section, indent: String, udp: Bool = false) -> String {
        section.keys.compactMap { key in
            // Some keys are for UDP listeners, and some only for others.
            if key.doc.hasSuffix("UDP only.") != udp { return nil }
            // One is for TCP listeners that have another besides.
            if key.doc.hasSuffix("with `sni` that has `*`.") { return nil }
            // Defaults in words ("all HTTP listeners") are no values.
            guard let value = key.defaultText,
                ![
                    "any", "all HTTP listeners", "{} (every request)", "the system's CAs",
                    "the endpoint's name or address",
                ].contains(value)
            else {
                return nil
            }
            return "\(indent)\(key.name): \(value)\n"
        }.joined()
    }

    @Test func writingEveryDefaultChangesNothing() throws {
        let short = """
            listeners:
              web: { address: ":8080" }
              dns: { address: ":53", protocol: udp, service: api }
            routes:
              - { name: all, service: api }
              - { name: ok, respond: {} }
              - { name: gone, redirect: { to: /x } }
              - { name: strip, service: api, rewrite: { prefix: { from: /a } } }
            services:
              api: { endpoints: [127.0.0.1:3000] }
            """
        let long = """
            \(defaults(Language.file, indent: ""))
            client-address:
            \(defaults(Language.clientAddress, indent: "  "))
            forwarded:
            \(defaults(Forwarded.definition.section, indent: "  "))
            resolver:
            \(defaults(Resolver.definition.section, indent: "  "))
            telemetry:
            \(defaults(Language.telemetry, indent: "  "))
            listeners:
              web:
                address: ":8080"
            \(defaults(Language.listener, indent: "    "))
                timeout:
            \(defaults(Listener.Timeout.definition.section, indent: "      "))
                limits:
            \(defaults(Listener.Limits.definition.section, indent: "      "))
              dns:
                address: ":53"
                protocol: udp
                service: api
                limits:
            \(defaults(Listener.Limits.definition.section, indent: "      ", udp: true))
                udp:
                  per: session
                  responses: any
            routes:
              - name: all
                service: api
            \(defaults(Language.route, indent: "    "))
                timeout:
            \(defaults(Route.Timeout.definition.section, indent: "      "))
                retry:
            \(defaults(Route.Retry.definition.section, indent: "      "))
              - name: ok
                respond:
            \(defaults(Language.respond, indent: "      "))
              - name: gone
                redirect:
                  to: /x
            \(defaults(Language.redirect, indent: "      "))
              - name: strip
                service: api
                rewrite:
                  prefix:
                    from: /a
            \(defaults(Language.prefixRewrite, indent: "        "))
            services:
              api:
            \(defaults(Language.service, indent: "    "))
                endpoints:
                  - address: 127.0.0.1:3000
            \(defaults(Language.endpoint, indent: "        "))
                timeout:
            \(defaults(Service.Timeout.definition.section, indent: "      "))
                connections:
            \(defaults(Service.Connections.definition.section, indent: "      "))
                retry-budget:
            \(defaults(Service.RetryBudget.definition.section, indent: "      "))
            """
        #expect(long.contains("min-body-rate: 240B/s"))
        let written = try parsed(long)
        let unwritten = try parsed(short)
        #expect(written.normalForm() == unwritten.normalForm())
    }

    /// What the normal form leaves out, two files can differ in without anybody seeing it.
    @Test(arguments: [
        ("listener", "limits: { streams: 256 }"), ("route", "timeout: { upgraded: 10m }"),
        ("route", "upgrades: [websocket, connect]"), ("route", "upgrades: []"), ("service", "protocol: h2"),
    ])
    func theNormalFormTellsApart(place: String, line: String) throws {
        func normal(_ written: [String: String]) throws -> String {
            try parsed(
                """
                listeners: { web: { address: ":8080", \(written["listener"] ?? "paths: normalize") } }
                routes: [{ name: all, service: api, \(written["route"] ?? "hold: 64KiB") }]
                services: { api: { endpoints: [127.0.0.1:3000], \(written["service"] ?? "balance: least-request") } }
                """
            ).normalForm()
        }
        #expect(try normal([place: line]) != normal([:]))
    }

    @Test func fileDefaults() throws {
        func parse(_ files: String) throws -> Configuration {
            try parsed(
                """
                listeners: { web: { address: ":8080" } }
                routes: [{ name: all, service: site }]
                services:
                  site:
                    files:
                      root: /srv/www
                \(files)
                """)
        }
        let written = try parse(defaults(Language.files, indent: "      "))
        #expect(written == (try parse("")))
        #expect(written.services[0].files?.index.map(\.value) == ["index.html"])
    }

    @Test func logDefaults() throws {
        let rest = "\nlisteners: { web: { address: \":8080\" } }\nroutes: [{ name: all, respond: {} }]\n"
        let written = try parsed(
            "telemetry:\n  access-log:\n" + defaults(Language.accessLog, indent: "    ") + rest)
        let unwritten = try parsed("telemetry: { access-log: {} }" + rest)
        #expect(written == unwritten)
        #expect(unwritten.accessLog?.destination == .stdout)
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

    /// Every section reachable from the top.
    private func sections(_ section: Section) -> [Section] {
        [section] + section.keys.flatMap { $0.kind.sections.flatMap { sections($0.section) } }
    }

    @Test func everyKeyIsDocumentedWithAnExampleOfIt() throws {
        let all = sections(Language.file)
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
        #expect(Set(properties.keys) == Set(Language.file.keys.map(\.name)))
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
