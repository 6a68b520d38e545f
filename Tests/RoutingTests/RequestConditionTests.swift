// What properties are for one request, and routes with conditions.

import Testing
import WeirExpressions
import WeirHTTPModel

@testable import WeirRouting

@Suite struct RequestConditionTests {
    private func outcome(
        _ text: String, _ request: Request, known: Known = .end,
        _ change: (inout RequestContext) -> Void = { _ in }
    ) throws -> ConditionOutcome {
        let condition = try RequestCondition(text, known: known)
        return request.with { view in
            var context = RequestContext(request: view)
            change(&context)
            return withUnsafePointer(to: context) { condition.evaluate($0, scratch: RouteScratch()) }
        }
    }

    @Test(arguments: [
        #"request.method == "GET""#, #"request.scheme == "http""#, #"request.host == "shop.example""#,
        #"request.host endsWith ".example""#, #"request.authority == "shop.example.:8080""#,
        "request.port == 8080",
        #"request.path == "/a b/c""#, #"request.query == "x=1&y=%41+b&x=2&z""#, #"request.query["x"] == "1""#,
        #"request.query.y == "A b""#, "has(request.query.z)", #"request.query.z == """#,
        "!has(request.query.none)",
        #"request.uri == "/a%20b/c?x=1&y=%41+b&x=2&z""#, #"request.protocol == "HTTP/1.1""#,
        #"request.header["X-One"] == "1""#, #"request.header["x-two"] == "a, b""#,
        #"request.header["user-agent"] startsWith "Test""#, #"request.cookie["sid"] == "7""#,
        #"request.cookie.last == "x""#, "!has(request.cookie.none)",
        #"request.header.cookie == "a=b; sid=7; last=x; sid=8""#,
        #"request.query["x"] != request.cookie["sid"]"#, #"request.query["y"] == request.header["x-same"]"#,
        #"request.header["x-two"] != request.header["x-three"]"#,
        #"request.path matches "^/a b/(?<rest>c)$""#,
        "!has(client.ip)", "!client.certificate.verified", "!has(client.certificate.subject)", "!has(route)",
        "!has(response.status)", "!has(error.reason)", "!has(listener)", "!has(path.id)",
    ])
    func whatARequestHas(text: String) throws {
        let request = Request(
            "/a%20b/c?x=1&y=%41+b&x=2&z",
            [
                ("X-One", "1"), ("X-Two", "a"), ("x-two", "b"), ("x-three", "a"), ("X-Three", "c"),
                ("User-Agent", "Test/1"), ("cookie", "a=b; sid=7"), ("Cookie", "last=x; sid=8"),
                ("x-same", "A b"),
            ], host: "Shop.Example.:8080")
        #expect(try outcome(text, request) == .holds)
    }

    @Test func whatIsNoPartOfTheHead() throws {
        let request = Request("/", host: "a.example")
        let texts = ["web", "api", "users", "10.0.0.1:80", "0123456789abcdef", "2026-01-31T12:00:00Z"].map {
            StaticBytes($0)
        }
        var outcomeView = OutcomeView()
        outcomeView.status = 502
        outcomeView.attempts = 2
        outcomeView.durationUs = 1_500_000
        outcomeView.bytesIn = 100
        outcomeView.bytesOut = 10_240
        let error = ErrorView(status: 502, phrase: "Bad Gateway", reason: "connect-refused")
        for text in [
            #"client.ip in ["192.0.2.0/24"]"#, "client.port == 5000", #"listener == "web""#,
            #"route == "api""#,
            #"service == "users""#, #"endpoint == "10.0.0.1:80""#, #"request.id == "0123456789abcdef""#,
            #"time.iso >= "2026-01-01" && time.iso < "2027""#, "response.status == 502", "attempts == 2",
            "request.duration > 1s && request.duration < 2s", "request.bytes == 100B",
            "response.bytes == 10KiB",
            #"error.reason == "connect-refused" && error.status == 502 && error.phrase == "Bad Gateway""#,
            "request.scheme == \"https\" && request.port == 443",
        ] {
            let result = try withUnsafePointer(to: outcomeView) { outcomeView in
                try withUnsafePointer(to: error) { error in
                    try outcome(text, request) { context in
                        context.clientAddress = ClientBits(high: 0, low: 0xffff_c000_0207)
                        context.clientPort = 5_000
                        context.origin.isSecure = true
                        context.listener = texts[0].bytes
                        context.route = texts[1].bytes
                        context.service = texts[2].bytes
                        context.endpoint = texts[3].bytes
                        context.requestID = texts[4].bytes
                        context.timeISO = texts[5].bytes
                        context.outcome = outcomeView
                        context.error = error
                    }
                }
            }
            #expect(result == .holds, "\(text)")
        }
    }

    /// TCP and UDP: no request, and nothing of one.
    @Test func withoutARequest() throws {
        let head = RequestHead()
        let condition = try RequestCondition(
            "has(request.method) || has(request.scheme) || has(request.port) || has(request.path) || has(request.host) || has(request.uri) || has(request.query) || request.protocol != \"tcp\"",
            known: .end)
        var outcome = OutcomeView()
        outcome.proto = "tcp"
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { bytes in
            withUnsafeTemporaryAllocation(of: Field.self, capacity: 1) { fields in
                withUnsafePointer(to: head) { head in
                    withUnsafePointer(to: outcome) { outcome in
                        var context = RequestContext(
                            request: RequestView(
                                bytes: UnsafePointer(bytes.baseAddress!), head: head,
                                fields: UnsafePointer(fields.baseAddress!)))
                        context.outcome = outcome
                        withUnsafePointer(to: context) {
                            #expect(condition.evaluate($0, scratch: RouteScratch()) == .fails)
                        }
                    }
                }
            }
        }
    }

    @Test func aWrongPatternIsShownInItsPlace() {
        #expect(throws: ExpressionError(at: 26, "invalid regular expression: missing closing parenthesis")) {
            try RequestCondition(#"request.path matches "^/(a""#, known: .request)
        }
        #expect(throws: PatternError.self) { try RegularExpression("^/(a") }
    }

    // MARK: routes

    private func rule(_ name: String, _ when: String?, paths: [String] = [], methods: [String] = []) throws
        -> RouteRule
    {
        RouteRule(
            name: name, paths: try paths.map { try PathPattern.parse($0) }, methods: methods,
            when: try when.map { try RequestCondition($0, known: .request) })
    }

    private func winner(
        _ router: Router, _ request: Request, _ change: (inout RequestContext) -> Void = { _ in }
    ) -> (name: String?, match: RouteMatch) {
        request.with { view in
            var match = RouteMatch()
            var context = RequestContext(request: view)
            change(&context)
            let isFound = withUnsafePointer(to: context) {
                router.match(view, scratch: RouteScratch(), context: $0, into: &match)
            }
            return (isFound ? router.rules[Int(match.route)].name : nil, match)
        }
    }

    @Test func aConditionMakesARouteMoreSpecific() throws {
        let router = Router([
            try rule("all", nil), try rule("blue", #"request.header["x-tenant"] == "blue""#),
            try rule("path", nil, paths: ["/p/*"]),
        ])
        #expect(router.asksForContext && !router.asksForCertificates)
        #expect(winner(router, Request("/", [("x-tenant", "blue")])).name == "blue")
        #expect(winner(router, Request("/", [("x-tenant", "red")])).name == "all")
        #expect(winner(router, Request("/")).name == "all")
        // A longer path counts more.
        #expect(winner(router, Request("/p/x", [("x-tenant", "blue")])).name == "path")
        #expect(try !Router([rule("all", nil)]).asksForContext)
        #expect(try Router([rule("a", "client.certificate.verified")]).asksForCertificates)
        #expect(try Router([rule("a", "time.iso > \"2026\"")]).asksForTime)
        #expect(!router.asksForTime)
    }

    /// What decides is decoded, and another reading of the path is asked as well.
    @Test func thePathCannotBeDodged() throws {
        let router = Router([
            try rule("admin", #"request.path startsWith "/admin/""#), try rule("all", nil),
        ])
        #expect(winner(router, Request("/admin/x")).name == "admin")
        #expect(winner(router, Request("/%61dmin/x")).name == "admin")
        #expect(winner(router, Request("/other//x")).name == "all")
        for target in ["//admin/x", "/admin%2Fx"] {
            let found = winner(router, Request(target))
            #expect(found.name == nil && found.match.isAmbiguous, "\(target)")
        }
    }

    @Test func methodsAreJudgedBehindIt() throws {
        let router = Router([try rule("put", #"has(request.header["x"])"#, methods: ["PUT"])])
        #expect(winner(router, Request("/")).match.methodMismatch == false)
        #expect(winner(router, Request("/", [("x", "1")])).match.methodMismatch)
        let allowed = Request("/", [("x", "1")]).with { view in
            withUnsafePointer(to: RequestContext(request: view)) { router.allowedMethods(view, context: $0) }
        }
        #expect(allowed == ["PUT"])
    }

    /// A pattern at its limits is no answer: no route is guessed.
    @Test func limitsOfAPattern() throws {
        let router = Router([try rule("slow", #"request.header.x matches "^(a+)+$""#), try rule("all", nil)])
        let found = winner(router, Request("/", [("x", String(repeating: "a", count: 40) + "!")]))
        #expect(found.name == nil && found.match.expressionFailed)
        #expect(winner(router, Request("/", [("x", "aa")])).name == "slow")
    }

    @Test func twoWithOneCondition() throws {
        let same = Router([try rule("a", "client.port > 1"), try rule("b", "client.port > 1")])
        #expect(same.unreachable == [UnreachableRoute(route: 1, shadowedBy: 0)])
        #expect(try Router([rule("a", "client.port > 1"), rule("b", "client.port > 2")]).unreachable.isEmpty)
        #expect(try Router([rule("a", "client.port > 1"), rule("b", nil)]).unreachable.isEmpty)
    }

    @Test func whyARouteLost() throws {
        let router = Router([
            try rule("blue", #"request.header["x-tenant"] == "blue""#), try rule("all", nil),
            try rule("other", "true", paths: ["/other"]),
        ])
        let trials = Request("/", [("x-tenant", "red")]).with { view in
            withUnsafePointer(to: RequestContext(request: view)) { router.explain(view, context: $0) }
        }
        #expect(trials.map(\.outcome) == [.when, .won, .path])
        #expect(trials[0].outcome.description == "when does not hold")
        #expect(
            trials[0].when?.text
                == #"request.header["x-tenant"] == "blue" is false (request.header["x-tenant"] is "red")"#)
        #expect(trials[1].when == nil && trials[2].when == nil)
    }
}
