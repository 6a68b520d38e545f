// What a publish builds anew when an address of a name, a certificate, or a line of the file has changed.

import Configuration
import Foundation
import Proxy
import Reactor
import Telemetry
import Testing

@testable import Control

@Suite struct PublishTests {
    /// A configuration that is published, changed, and published again.
    private struct Publisher {
        var configuration: Configuration
        var names: NameTable = [:]
        var certificates = CertificateSet()
        private var objects = LongLivedObjects()
        private let metrics = MetricsRegistry(workers: 1, build: BuildInfo(version: "1"))
        private var known: CompiledRoutes.Known?
        private var snapshot: Snapshot?
        private(set) var plans = PlanCounts()

        init(_ configuration: Configuration) { self.configuration = configuration }

        /// As a reload does it.
        mutating func reload() throws -> Snapshot {
            let (compiled, errors) = CompiledRoutes.compile(
                configuration, file: "weir.yaml", keeping: known)
            try #require(errors.isEmpty)
            let previous = snapshot.map { SnapshotBuilder.Previous(snapshot: $0, known: known) }
            known = (configuration, compiled)
            return build(compiled, previous)
        }

        /// As after a change of addresses or certificates.
        mutating func publish() throws -> Snapshot {
            build(try #require(known).compiled, SnapshotBuilder.Previous(snapshot: try #require(snapshot)))
        }

        private mutating func build(_ compiled: CompiledRoutes, _ previous: SnapshotBuilder.Previous?)
            -> Snapshot
        {
            var builder = SnapshotBuilder(
                configuration: configuration, compiled: compiled, certificates: certificates,
                metrics: metrics, workerCount: 1, previous: previous)
            let made = builder.build(generation: (snapshot?.generation ?? 0) + 1, names: names, &objects)
            snapshot = made
            plans = builder.plans
            return made
        }

        /// How many plans the last snapshot did not take over: listeners, routes, services.
        var built: [UInt64] { [plans.listeners.built, plans.routes.built, plans.services.built] }
        var reused: [UInt64] { [plans.listeners.reused, plans.routes.reused, plans.services.reused] }
    }

    private static func configuration(services: Int = 40, routes: Int = 200) -> Configuration {
        var configuration = Configuration()
        configuration.listeners = [Listener(name: Text("web"))]
        configuration.services = (0..<services).map { number in
            var service = Service(name: Text("s\(number)"))
            let host = "app\(number).test"
            service.endpoints = [
                Endpoint(address: Address(kind: .name(host: host, port: 80), text: Text(host)))
            ]
            return service
        }
        configuration.routes = (0..<routes).map { number in
            var route = Route(name: Text("r\(number)"), action: .service(Text("s\(number % services)")))
            route.match.paths = [Text("/p\(number)/*")]
            return route
        }
        return configuration
    }

    private static func response(_ body: String) -> Route.Action {
        var response = Route.Response()
        response.body = Text(body)
        return .respond(response)
    }

    private static func changed<Plan: AnyObject>(_ old: [Plan?], _ new: [Plan?]) -> [Int] {
        zip(old, new).enumerated().filter { $0.element.0 !== $0.element.1 }.map(\.offset)
    }

    @Test func oneAnswerBuildsOneServiceAnew() throws {
        var publisher = Publisher(Self.configuration())
        for number in 0..<40 {
            publisher.names["app\(number).test"] = [try #require(IPAddress("10.0.0.\(number + 1)"))]
        }
        let first = try publisher.reload()
        #expect(publisher.built == [1, 200, 40])
        publisher.names["app7.test"]?.append(try #require(IPAddress("10.0.1.1")))
        let second = try publisher.publish()

        #expect(publisher.built == [0, 0, 1])
        #expect(publisher.reused == [1, 200, 39])
        let changed = zip(first.services, second.services).filter { $0 !== $1 }
        #expect(changed.map { "\($0.1?.name.description ?? "")" } == ["s7"])
        #expect(changed.first?.1?.endpoints.count == 2)
        #expect(changed.first?.1?.endpoints.first === changed.first?.0?.endpoints.first)
        #expect(zip(first.routes, second.routes).allSatisfy { $0 === $1 })
        #expect(second.routes.count == 200)
        #expect(zip(first.listeners, second.listeners).allSatisfy { $0 === $1 })
    }

    /// A thousand services and ten thousand routes, of which one line is another.
    @Test func oneLineBuildsOnePlanAnew() throws {
        var publisher = Publisher(Self.configuration(services: 1_000, routes: 10_000))
        let first = try publisher.reload()
        #expect(publisher.built == [1, 10_000, 1_000])

        publisher.configuration.routes[4_321].timeout.headMs = 7_000
        let second = try publisher.reload()
        #expect(publisher.built == [0, 1, 0])
        #expect(publisher.reused == [1, 9_999, 1_000])
        #expect(Self.changed(first.routes, second.routes) == [4_321])
        #expect(second.routes[4_321].headTimeoutMs == 7_000)

        publisher.configuration.services[77].connections.idle = 3
        let third = try publisher.reload()
        #expect(publisher.built == [0, 0, 1])
        #expect(Self.changed(second.services, third.services) == [77])

        publisher.configuration.listeners[0].timeout.idleMs = 1_000
        let fourth = try publisher.reload()
        #expect(publisher.built == [1, 0, 0])
        #expect(fourth.listeners.first??.router === first.listeners.first??.router)

        // What a route matches is its listener's business too, and so is where it stands.
        publisher.configuration.routes[5].match.paths = [Text("/elsewhere")]
        let fifth = try publisher.reload()
        #expect(publisher.built == [1, 1, 0])
        publisher.configuration.routes.swapAt(8, 9)
        let sixth = try publisher.reload()
        #expect(publisher.built == [1, 0, 0])
        #expect(sixth.routes[8] === fifth.routes[9])
        #expect(sixth.routes[9] === fifth.routes[8])

        publisher.configuration.routes.remove(at: 0)
        _ = try publisher.reload()
        #expect(publisher.built == [1, 0, 0])
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0])
    }

    /// A listener finds its routes by their places, which others' routes move.
    @Test func aListenerFollowsItsRoutes() throws {
        var publisher = Publisher(Self.configuration())
        publisher.configuration.listeners.append(Listener(name: Text("other")))
        for index in publisher.configuration.routes.indices {
            publisher.configuration.routes[index].listeners = [Text("web")]
        }
        let first = try publisher.reload()
        var elsewhere = Route(name: Text("elsewhere"), action: Self.response("other"))
        elsewhere.match.paths = [Text("/*")]
        elsewhere.listeners = [Text("other")]
        publisher.configuration.routes.insert(elsewhere, at: 0)
        let second = try publisher.reload()

        let before = try #require(first.listeners[0])
        let after = try #require(second.listeners[0])
        #expect(after.router === before.router, "it has the same routes")
        #expect(after.routeIndexes == before.routeIndexes.map { $0 + 1 })
        #expect(publisher.built == [2, 1, 0])
    }

    /// Where a line stands, and what it is called in the file, is no input.
    @Test func whatOnlyMovedIsTheSame() throws {
        var publisher = Publisher(Self.configuration())
        publisher.configuration.routes[1].headers.request.set = [
            Route.Changes.Field(name: Text("X"), value: Text("{client.ip}", at: Origin(line: 3, column: 1)))
        ]
        _ = try publisher.reload()
        publisher.configuration.routes[1].headers.request.set[0].value.origin = Origin(line: 9, column: 4)
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0])
    }

    /// `${env:NAME}` may stand for what would be a variable: then it is text.
    @Test(arguments: ["", "\""]) func theTextOfATemplateCounts(quote: String) throws {
        func parsed(_ value: String) throws -> Configuration {
            let text = """
                listeners: { web: { address: ":8080" } }
                routes:
                  - name: all
                    match: { path: /* }
                    respond: { status: 200 }
                    headers: { response: { set: { X-Path: '\(quote)\(value)\(quote)' } } }
                """
            return Configuration.check(Array(text.utf8), file: "weir.yaml").configuration
        }
        setenv("WEIR_TEST_TEMPLATE", "{request.path}", 1)
        let variable = try parsed("{request.path}")
        let text = try parsed("${env:WEIR_TEST_TEMPLATE}")
        let field = variable.routes[0].headers.response.set[0].value
        try #require(text.routes[0].headers.response.set[0].value.value == field.value)
        #expect(variable.routes[0] != text.routes[0])
        var publisher = Publisher(variable)
        _ = try publisher.reload()
        publisher.configuration = text
        _ = try publisher.reload()
        #expect(publisher.built == [0, 1, 0])
        publisher.configuration = try parsed("${env:WEIR_TEST_TEMPLATE}")
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0])
    }

    /// What references stand for is text between quotes, or a number: never a part of an expression.
    @Test func referencesInConditionsAreData() throws {
        func parsed(_ condition: String) throws -> (Configuration, [String]) {
            let text = """
                listeners: { web: { address: ":8080" } }
                routes:
                  - name: all
                    match: { path: /*, when: '\(condition)' }
                    respond: { status: 200 }
                """
            let checked = Configuration.check(Array(text.utf8), file: "weir.yaml")
            return (checked.configuration, checked.problems.map { "\($0)" })
        }
        func expression(_ condition: String, _ value: String) throws -> String {
            setenv("WEIR_TEST_CONDITION", value, 1)
            return try #require(try parsed(condition).0.routes.first?.match.when?.expression)
        }
        let reference = "${env:WEIR_TEST_CONDITION}"
        #expect(try expression("length(request.path) > \(reference)", "12") == "length(request.path) > 12")
        #expect(
            try expression("request.path == \(reference)", "/a\" || \"")
                == "request.path == \"/a\\\" || \\\"\"")
        // A backslash before the reference takes nothing of it away.
        #expect(
            try expression("request.path == \"a\\\(reference)\"", "\" || \"")
                == "request.path == \"a\\\\\\\" || \\\"\"")
        setenv("WEIR_TEST_CONDITION", "1 || true", 1)
        #expect(!(try parsed("length(request.path) > \(reference)").1.isEmpty))
        // The same value, and another meaning.
        setenv("WEIR_TEST_CONDITION", "a\\\\.b", 1)
        let referred = try parsed("request.path matches \"\(reference)\"").0
        let written = try parsed("request.path matches \"a\\\\.b\"").0
        try #require(referred.routes[0].match.when?.value == written.routes[0].match.when?.value)
        #expect(referred.routes[0] != written.routes[0])
    }

    @Test func filesOfErrorPagesCount() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/weir-pages-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func write(_ name: String, _ text: String) throws {
            try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
        }
        try write("a.html", "<p>one</p>")
        try write("b.html", "<p>two</p>")
        try write("top.html", "<p>three</p>")
        let text = """
            listeners: { web: { address: ":8080" } }
            errors: { 4xx: { file: \(folder)/top.html } }
            routes:
              - { name: a, match: { path: /a/* }, respond: { status: 204 }, errors: { 5xx: { file: \(folder)/a.html } } }
              - { name: b, match: { path: /b/* }, respond: { status: 204 }, errors: { 5xx: { file: \(folder)/b.html } } }
              - { name: c, match: { path: /c/* }, respond: { status: 204 } }
            """
        let checked = Configuration.check(Array(text.utf8), file: "weir.yaml")
        try #require(checked.problems.isEmpty, "\(checked.problems)")
        var publisher = Publisher(checked.configuration)
        let first = try publisher.reload()
        #expect(publisher.built == [1, 3, 0])
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0])
        try write("b.html", "<p>another</p>")
        let second = try publisher.reload()
        #expect(publisher.built == [0, 1, 0])
        #expect(Self.changed(first.routes, second.routes) == [1])
        try write("top.html", "<p>another</p>")
        _ = try publisher.reload()
        #expect(publisher.built == [1, 0, 0])
        try write("a.html", "<p>one</p>")
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0], "written, but with what was there")
    }

    /// The service a route names, and the pages of listeners, are inputs of its plan where they say something.
    @Test func whatARouteNamesCounts() throws {
        var publisher = Publisher(Self.configuration(services: 4, routes: 8))
        _ = try publisher.reload()
        publisher.configuration.services[2].endpoints = []
        publisher.configuration.services[2].files = ServedFiles(root: Text("/tmp"))
        let second = try publisher.reload()
        #expect(publisher.built == [0, 2, 1], "routes 2 and 6")
        guard case .files = second.routes[6].action else { return #expect(Bool(false)) }
        publisher.configuration.routes[3].action = Self.response("one")
        _ = try publisher.reload()
        #expect(publisher.built == [0, 1, 0])
        publisher.configuration.routes[3].action = Self.response("two")
        let last = try publisher.reload()
        #expect(publisher.built == [0, 1, 0])
        guard case .respond(_, _, let body, _) = last.routes[3].action else { return #expect(Bool(false)) }
        #expect("\(body)" == "two")
    }

    /// One certificate of many that is replaced on the disk.
    /// Whom to believe is a policy of every route.
    @Test func trustedProxiesCount() throws {
        var publisher = Publisher(Self.configuration(services: 2, routes: 4))
        _ = try publisher.reload()
        publisher.configuration.trustedProxies = [Text("10.0.0.0/8")]
        let snapshot = try publisher.reload()
        #expect(publisher.built[1] == 4)
        #expect(
            snapshot.routes.allSatisfy { $0.policies.policies.first?.name.description == "client-address" })
    }

    @Test func oneCertificateBuildsOneListenerAnew() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/weir-certificates-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func issue(_ name: String) throws {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
            process.arguments = [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "30",
                "-subj", "/CN=\(name).test", "-keyout", "\(folder)/\(name).key", "-out",
                "\(folder)/\(name).pem",
            ]
            process.standardError = FileHandle.nullDevice
            try process.run()
            process.waitUntilExit()
            try #require(process.terminationStatus == 0)
        }
        var configuration = Self.configuration(services: 20, routes: 50)
        try issue("first")
        func copy(_ name: String, from source: String) throws {
            for kind in ["key", "pem"] {
                let path = "\(folder)/\(name).\(kind)"
                try? FileManager.default.removeItem(atPath: path)
                try FileManager.default.copyItem(atPath: "\(folder)/\(source).\(kind)", toPath: path)
            }
        }
        configuration.listeners = try (0..<30).map { number in
            try copy("l\(number)", from: "first")
            var listener = Listener(name: Text("l\(number)"))
            var tls = Listener.TLS()
            tls.certificates = [
                .init(cert: Text("\(folder)/l\(number).pem"), key: Text("\(folder)/l\(number).key"))
            ]
            listener.tls = tls
            return listener
        }
        for number in 0..<20 {
            try copy("s\(number)", from: "first")
            var tls = Service.TLS()
            tls.ca = Text("\(folder)/s\(number).pem")
            configuration.services[number].tls = tls
        }
        var publisher = Publisher(configuration)
        func load() throws {
            let (set, problems) = CertificateSet.load(
                configuration, file: "weir.yaml", keeping: publisher.certificates,
                nowSeconds: Int64(Clock.wallUs() / 1_000_000))
            try #require(problems.isEmpty, "\(problems)")
            publisher.certificates = set
        }
        try load()
        let first = try publisher.reload()
        #expect(publisher.built == [30, 50, 20])
        try issue("second")
        try copy("l7", from: "second")
        try load()
        let second = try publisher.publish()
        #expect(publisher.built == [1, 0, 0])
        #expect(publisher.reused == [29, 50, 20])
        #expect(
            Self.changed(first.listeners, second.listeners).map {
                "\(second.listeners[$0]?.name.description ?? "")"
            } == ["l7"])

        try copy("s3", from: "second")
        try load()
        let third = try publisher.publish()
        #expect(publisher.built == [0, 0, 1])
        #expect(Self.changed(second.services, third.services).count == 1)
        // A reload keeps what did not change of them as well.
        _ = try publisher.reload()
        #expect(publisher.built == [0, 0, 0])
    }
}
