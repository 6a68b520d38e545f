import Configuration
import Foundation
import WeirHTTPModel
import Reactor
import Testing

@testable import Control

@Suite struct ExplainTests {
    /// Routes on lines 10, 20, …; one listener "web" on line 2.
    func explain(
        _ method: String = "GET", _ url: String, headers: [(String, String)] = [],
        client: String = "192.0.2.9",
        routes: [Route], _ change: (inout Configuration) -> Void = { _ in }
    ) throws -> ListenerExplanation {
        var configuration = Configuration()
        configuration.listeners = [Listener(name: Text("web", at: Origin(line: 2, column: 3)))]
        configuration.routes = routes
        var service = Service(name: Text("api", at: Origin(line: 40, column: 3)))
        service.endpoints = [
            Endpoint(
                address: Address(kind: .ip(host: "10.0.0.1", port: 80), text: Text("10.0.0.1:80")), weight: 3)
        ]
        configuration.services = [service]
        change(&configuration)
        let (compiled, errors) = CompiledRoutes.compile(configuration, file: "weir.yaml")
        try #require(errors.isEmpty, "\(errors)")
        let question = ExplainQuestion(
            method: method, url: url, headers: headers.map { .init(name: $0.0, value: $0.1) },
            client: try #require(IPAddress(client)))
        let explanation = Explainer(configuration, compiled, file: "weir.yaml").explain(question)
        return try #require(explanation.listeners.first)
    }

    func route(
        _ name: String, line: Int = 10, hosts: [String] = [], paths: [String] = [], methods: [String] = [],
        _ action: Route.Action = .service(Text("api"))
    ) -> Route {
        var route = Route(name: Text(name, at: Origin(line: line, column: 5)), action: action)
        route.match.hosts = hosts.map { Text($0) }
        route.match.paths = paths.map { Text($0) }
        route.match.methods = methods.map { Text($0) }
        return route
    }

    func routed(_ listener: ListenerExplanation) throws -> RouteExplanation {
        guard case .routed(let route) = listener.outcome else {
            throw Unexpected(text: "\(listener.outcome)")
        }
        return route
    }

    func service(_ listener: ListenerExplanation) throws -> ServiceExplanation {
        guard case .service(let service) = try routed(listener).action else {
            throw Unexpected(text: "no service")
        }
        return service
    }

    func refused(_ listener: ListenerExplanation) throws -> Refusal {
        guard case .refused(let refusal) = listener.outcome else {
            throw Unexpected(text: "\(listener.outcome)")
        }
        return refusal
    }

    struct Unexpected: Error { let text: String }

    /// The order of policies is that of docs/configuration.md.
    @Test func policiesStandInTheirOrder() throws {
        var all = route("all")
        all.timeout.totalMs = 5_000
        all.bodyLimit = .bytes(10)
        all.grpcWeb = true
        all.decompression = Route.Decompression(bytesMax: 100)
        all.compression = Route.Compression()
        all.rewritesLocation = true
        all.cookies.secure = true
        all.headers.response.remove = [Text("Server")]
        let listener = try explain("GET", "/", routes: [all]) { $0.trustedProxies = [Text("10.0.0.0/8")] }
        var names = try routed(listener).policies.map(\.name)
        // It has two steps at one hook.
        let again = try #require(names.lastIndex(of: "decompress-requests"))
        #expect(again == names.firstIndex(of: "hold").map { $0 + 1 })
        names.remove(at: again)
        let manual = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(
                path: "../../docs/configuration.md"), encoding: .utf8)
        #expect(manual.contains(names.joined(separator: " → ")), "\(names.joined(separator: " → "))")
    }

    @Test func everyRouteIsTriedInOrderAndSaysWhyItLost() throws {
        let routes = [
            route("other-host", line: 10, hosts: ["b.example"]),
            route("everything", line: 20),
            route("posts", line: 30, paths: ["/v1/*"], methods: ["POST"]),
            route("users", line: 35, hosts: ["a.example"], paths: ["/v1/users/{id}"]),
        ]
        let result = try explain("GET", "http://a.example/v1/users/7?x=1", routes: routes)
        #expect(result.line == 2)
        #expect(result.trials.map(\.route) == ["users", "posts", "everything", "other-host"])
        #expect(result.trials.map(\.line) == [35, 30, 20, 10])
        #expect(result.trials.map(\.won) == [true, false, false, false])
        #expect(result.trials[1].text == "method does not match")
        #expect(result.trials[3].text == "host does not match")
        let won = try routed(result)
        #expect(won.name == "users")
        #expect(won.captures == [.init(name: "id", value: "7")])
        let service = try service(result)
        #expect(service.endpoints.map(\.address) == ["10.0.0.1:80"])
        #expect(service.endpoints[0].weight == 3)
        #expect(service.line == 40)
        #expect(service.target == "/v1/users/7?x=1")
    }

    @Test(arguments: [
        ("/old/a?b=c", "/new/a?b=c"), ("/older/a", "/older/a"), ("/old", "/new"), ("/old/", "/new/"),
        ("/", "/"),
    ])
    func prefixIsExchangedInWholeSegments(_ url: String, _ expected: String) throws {
        var route = route("all")
        route.rewrite = .prefix(from: Text("/old", at: Origin(line: 12, column: 1)), to: Text("/new"))
        let service = try service(explain("GET", url, routes: [route]))
        #expect(service.target == expected)
        #expect(service.rewriteLine == 12)
    }

    @Test(arguments: [("/a", "", "/"), ("/a/b", "", "/b"), ("/a/b", "/", "/b"), ("/a", "/", "/")])
    func aPrefixTakenAwayLeavesAPath(_ url: String, _ to: String, _ expected: String) throws {
        var route = route("all")
        route.rewrite = .prefix(from: Text("/a"), to: Text(to))
        #expect(try service(explain("GET", url, routes: [route])).target == expected)
    }

    @Test func templatesAreRenderedForThisRequest() throws {
        var route = route("all", paths: ["/u/{id}"])
        route.rewrite = .path(Text("/users/{path.id}"))
        route.headers.request.set = [
            .init(
                name: Text("X-Who", at: Origin(line: 14, column: 9)),
                value: Text("{client.ip} {request.header.x-in}"))
        ]
        route.headers.request.remove = [Text("X-Debug", at: Origin(line: 15, column: 9))]
        route.headers.response.add = [.init(name: Text("X-Id"), value: Text("{request.id} {service}"))]
        let result = try explain("GET", "/u/7?q", headers: [("X-In", "yes")], routes: [route])
        #expect(try service(result).target == "/users/7?q")
        let routed = try routed(result)
        #expect(
            routed.requestChanges == [
                FieldChange(kind: .remove, name: "X-Debug", value: "", line: 15),
                FieldChange(kind: .set, name: "X-Who", value: "192.0.2.9 yes", line: 14),
            ])
        #expect(routed.responseChanges.map(\.value) == ["<request-id> api"])
    }

    @Test func pathsAreExplainedInTheirOneForm() throws {
        let routes = [route("admin", paths: ["/@admin/*"]), route("all")]
        let result = try explain("GET", "/x/../%40admin/%7ea", routes: routes)
        #expect(try routed(result).name == "admin")
        #expect(try service(result).target == "/%40admin/~a")
        let ambiguous = try refused(explain("GET", "//@admin/x", routes: routes))
        #expect(ambiguous.status == 400 && ambiguous.section == "RFC 3986 §3.3")
        #expect(try routed(explain("GET", "//x", routes: routes)).name == "all")
        var part = route("all")
        part.rewrite = .pattern(Text("^/u/([0-9]+)"), with: Text("/user/{match.1}"))
        #expect(try service(explain("GET", "/u/7/x?y", routes: [part])).target == "/user/7/x?y")
    }

    @Test func redirectsShowTheirLocation() throws {
        let redirect = Route.Redirect(
            to: Text("https://{request.host}{request.uri}", at: Origin(line: 11, column: 9)))
        let result = try explain("GET", "http://a.example/x?y=1", routes: [route("up", .redirect(redirect))])
        #expect(
            try routed(result).action
                == .redirect(status: 308, location: "https://a.example/x?y=1", line: 11))
    }

    @Test func whatTheParserRefusesIsExplainedWithItsClause() throws {
        let all = [route("all")]
        let dots = try refused(explain("GET", "/a/%2e%2e/b", routes: all))
        #expect(dots.status == 400)
        #expect(dots.reason == "request-malformed")
        #expect(dots.text == "a dot segment in the path")
        #expect(dots.section == "RFC 3986 §3.3")
        #expect(dots.position != nil)
        let both = [("Content-Length", "1"), ("Transfer-Encoding", "chunked")]
        #expect(try refused(explain("POST", "/", headers: both, routes: all)).section == "RFC 9112 §6.3")
        #expect(try refused(explain("GET", "/#top", routes: all)).section == "RFC 9112 §3.2.1")
        #expect(try refused(explain("GET", "/", headers: [("Expect", "else")], routes: all)).status == 417)
    }

    @Test func theListenersLimitsCount() throws {
        let result = try explain("GET", "/" + String(repeating: "x", count: 100), routes: [route("all")]) {
            $0.listeners[0].limits.targetBytes = 100
        }
        #expect(try refused(result).status == 414)
        let fits = try explain("GET", "/" + String(repeating: "x", count: 99), routes: [route("all")]) {
            $0.listeners[0].limits.targetBytes = 100
        }
        #expect(try routed(fits).name == "all")
    }

    @Test func noRouteAndWrongMethod() throws {
        let routes = [route("posts", paths: ["/a"], methods: ["POST", "PUT"])]
        let wrong = try refused(explain("GET", "/a", routes: routes))
        #expect(wrong.status == 405)
        #expect(wrong.allow == ["POST", "PUT"])
        let none = try refused(explain("GET", "/b", routes: routes))
        #expect(none.status == 404)
        #expect(none.reason == "route-not-found")
        #expect(
            try refused(explain("CONNECT", "a.example:443", routes: routes)).reason == "connect-not-allowed"
        )
    }

    @Test func upgradesAreIgnoredOrRefusedAndOffersOfHTTP2Ignored() throws {
        func upgrade(_ to: String, refuses: Bool = true) throws -> ListenerExplanation {
            var all = route("all")
            all.refusesOtherUpgrades = refuses
            return try explain(
                "GET", "/", headers: [("Connection", "upgrade"), ("Upgrade", to)], routes: [all])
        }
        #expect(try refused(upgrade("spdy")).reason == "upgrade-not-allowed")
        #expect(try routed(upgrade("spdy", refuses: false)).name == "all")
        #expect(try routed(upgrade("WebSocket")).name == "all")
        #expect(try routed(upgrade("h2c")).name == "all")
    }

    @Test func theClientIsFoundThroughTrustedProxies() throws {
        let headers = [("X-Forwarded-For", "203.0.113.5, 10.0.0.2")]
        let trusting = try explain("GET", "/", headers: headers, client: "10.0.0.1", routes: [route("all")]) {
            $0.trustedProxies = [Text("10.0.0.0/8")]
        }
        #expect(trusting.client?.address == "203.0.113.5")
        let plain = try explain("GET", "/", headers: headers, client: "10.0.0.1", routes: [route("all")])
        #expect(plain.client?.address == "10.0.0.1")
        #expect(plain.client?.text == "the peer, which is not a trusted proxy")
    }

    @Test func settingsSayWhetherTheyAreDefaults() throws {
        var route = route("all")
        route.timeout.headMs = 90_000
        route.retry.on = [.connect, .status(503)]
        let settings = try routed(explain("GET", "/", routes: [route])).settings
        #expect(settings.contains(.init(name: "timeout.head", value: "90s", isDefault: false)))
        #expect(settings.contains(.init(name: "retry.on", value: "connect, 503", isDefault: false)))
        #expect(settings.contains(.init(name: "hold", value: "64KiB", isDefault: true)))
    }

    @Test func tcpListenersAreLeftOutAndRoutesOfOtherListenersToo() throws {
        var elsewhere = route("elsewhere", paths: ["/x"])
        elsewhere.listeners = [Text("other")]
        var configuration = Configuration()
        configuration.listeners = ["web", "other", "db"].map { Listener(name: Text($0)) }
        configuration.listeners[2].protocol = .tcp
        configuration.listeners[2].service = Text("api")
        configuration.routes = [elsewhere, route("all")]
        let (compiled, _) = CompiledRoutes.compile(configuration, file: "f")
        let explanation = Explainer(configuration, compiled, file: "f").explain(
            .init(method: "GET", url: "/x"))
        #expect(explanation.listeners.map(\.name) == ["web", "other"])
        #expect(try explanation.listeners.map { try routed($0).name } == ["all", "elsewhere"])
    }

    @Test(arguments: [
        ("GET", "http://h:81/p?q", "GET /p?q HTTP/1.1\r\nHost: h:81\r\n\r\n"),
        ("GET", "h/p", "GET /p HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("GET", "h", "GET / HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("GET", "h?q", "GET /?q HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("GET", "/p", "GET /p HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("OPTIONS", "*", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ("CONNECT", "h:1", "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n"),
    ])
    func theHeadThatIsJudged(_ method: String, _ url: String, _ head: String) {
        #expect(ExplainQuestion(method: method, url: url).headText() == head)
    }
}
