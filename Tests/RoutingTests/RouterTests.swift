import WeirHTTPModel
import Testing

@testable import WeirRouting

@Suite struct RouterTests {
    @Test func hostsFromExactToAny() throws {
        let router = Router([
            try rule("any"), try rule("wild", hosts: ["*.example.com"]),
            try rule("deep", hosts: ["*.eu.example.com"]),
            try rule("exact", hosts: ["api.eu.example.com"], paths: ["/v1/*"]),
            try rule("v6", hosts: ["[2001:db8::1]"]),
        ])
        #expect(router.name("api.eu.example.com", "/v1/x") == "exact")
        #expect(router.name("API.EU.Example.COM.", "/v1/x") == "exact")
        #expect(router.name("api.eu.example.com:8080", "/v1/x") == "exact")
        #expect(router.name("api.eu.example.com", "/other") == "deep")
        #expect(router.name("a.b.eu.example.com", "/") == "deep")
        #expect(router.name("eu.example.com", "/") == "wild")
        #expect(router.name("example.com", "/") == "any")
        #expect(router.name("badexample.com", "/") == "any")
        #expect(router.name(".example.com", "/") == "any")
        #expect(router.name("[2001:DB8::1]", "/") == "v6")
        #expect(router.name("", "/") == "any")
        #expect(router.name(String(repeating: "a.", count: 30_000), "/") == "any")
    }

    @Test func pathsFromExactToPrefix() throws {
        let router = Router([
            try rule("all", paths: ["/*"]), try rule("v1", paths: ["/v1/*"]),
            try rule("v1users", paths: ["/v1/users/*"]), try rule("user", paths: ["/v1/users/{id}"]),
            try rule("me", paths: ["/v1/users/me"]),
            try rule("digits", paths: [#"~^/v1/users/(?<n>\d+)/x$"#]),
            try rule("posts", paths: ["/v1/{kind}/{id}/posts"]), try rule("root", paths: ["/"]),
        ])
        #expect(router.name("h", "/") == "root")
        #expect(router.name("h", "/v1") == "v1")
        #expect(router.name("h", "/v1/") == "v1")
        #expect(router.name("h", "/v1x") == "all")
        #expect(router.name("h", "/v1/users/me") == "me")
        #expect(router.name("h", "/v1/users/me/") == "v1users")
        #expect(router.name("h", "/v1/users/7") == "user")
        #expect(router.name("h", "/v1/users/") == "v1users")
        #expect(router.name("h", "/v1/users/7/x") == "digits")
        #expect(router.name("h", "/v1/users/a/x") == "v1users")
        #expect(router.name("h", "/v1/users/a/posts") == "posts")
        #expect(router.route(Request("", method: "OPTIONS", host: "h", form: .asterisk)).name == "all")
        #expect(router.route(Request("", host: "h", form: .absolute)).name == "root")
    }

    @Test func capturesAreBytesAsReceived() throws {
        let router = Router([
            try rule("post", paths: ["/users/{id}/posts/{post}", "/users/*"]),
            try rule("file", paths: ["/files/{rest*}"]),
            try rule("re", paths: [#"~^/r/(?<a>[a-z]+)-(?<b>\d+)"#]),
        ])
        #expect(router.route(Request("/users/7/posts/%61b")).captures == ["id": "7", "post": "%61b"])
        #expect(router.route(Request("/%75sers/a%2Fb/posts/x")).captures == ["id": "a%2Fb", "post": "x"])
        #expect(router.route(Request("/files/a/b//c")).captures == ["rest": "a/b//c"])
        #expect(router.route(Request("/files")).captures == ["rest": ""])
        #expect(router.route(Request("/files/")).captures == ["rest": ""])
        #expect(router.route(Request("/r/abc-12/x")).captures == ["a": "abc", "b": "12"])
        #expect(router.route(Request("/files/a")).match.pathPrefixCount == 6)
        #expect(router.route(Request("/f%69les/a")).match.pathPrefixCount == 8)
        #expect(router.route(Request("/files")).match.pathPrefixCount == 6)
        #expect(router.route(Request("/r/abc-12/x")).match.pathPrefixCount == 9)
    }

    @Test func capturesOfAWayThatLedNowhereAreForgotten() throws {
        let router = Router([
            try rule("end", paths: ["/api/{x}/end"]), try rule("three", paths: ["/{a}/{b}/{c}"]),
        ])
        #expect(router.route(Request("/api/1/end")).captures == ["x": "1"])
        #expect(router.route(Request("/api/1/other")).captures == ["a": "api", "b": "1", "c": "other"])
    }

    @Test func encodingCannotDodgeARoute() throws {
        let router = Router([
            try rule("admin", paths: ["/admin/*"]), try rule("cafe", paths: ["/café"]),
            try rule("me", paths: ["/@me/*"]), try rule("all", paths: ["/*"]),
        ])
        #expect(router.name("h", "/%40me/x") == "me")
        #expect(router.name("h", "/%61dmin") == "admin")
        #expect(router.name("h", "/%61%64m%69n/x") == "admin")
        #expect(router.name("h", "/caf%c3%A9") == "cafe")
        #expect(router.name("h", "/a%2") == "all")
        #expect(router.name("h", "/%zz") == "all")
        #expect(router.name("h", "/" + String(repeating: "%61", count: 20_000)) == "all")
    }

    /// A path that another server may read as one of another route is nobody's.
    @Test(arguments: [
        ("/x//y", "all"), ("/x%2Fy", "all"), ("/admin//x", "admin"), ("/admin/a%2Fb", "admin"), ("//", "all"),
        ("//admin/x", nil), ("/x/..%5Cadmin", "all"), ("/%5Cadmin", nil), ("/admin%2Fx", nil),
        ("/admin%2f", nil),
        ("/api/a%2Fb", nil), ("/api//a", nil), ("/admin%252Fx", "all"), ("/static%2F..", "all"),
    ])
    func pathsThatAreReadDifferently(path: String, name: String?) throws {
        let router = Router([
            try rule("admin", paths: ["/admin/*"]), try rule("item", paths: ["/api/{id}"]),
            try rule("all", paths: ["/*"]),
        ])
        let result = router.route(Request(path))
        #expect(result.name == name)
        #expect(result.match.isAmbiguous == (name == nil))
    }

    @Test func prefixesBeforeExpressions() throws {
        let router = Router([
            try rule("php", paths: [#"~\.php$"#]), try rule("late", paths: ["/late/*"]),
            try rule("static", paths: ["/static/*", "/late/early/{rest*}"], isBeforeExpressions: true),
            try rule("exact", paths: ["/static/a.php"]), try rule("all", paths: ["/*"]),
        ])
        #expect(router.name("h", "/static/x.php") == "static")
        #expect(router.name("h", "/static/a.php") == "exact")
        #expect(router.name("h", "/late/x.php") == "php")
        #expect(router.name("h", "/late/early/x.php") == "static")
        #expect(router.name("h", "/late/x") == "late")
        #expect(router.name("h", "/statics/x.php") == "php")
        #expect(router.unreachable.isEmpty)
    }

    @Test func expressionsSeeCharacters() throws {
        let router = Router([
            try rule("e", paths: ["~^/[éà]$"]), try rule("any", paths: ["~^/z.z$"]),
            try rule("all", paths: ["/*"]),
        ])
        #expect(router.name("h", "/%C3%A9") == "e")
        #expect(router.name("h", "/%c3%a0") == "e")
        #expect(router.name("h", "/z%E2%82%ACz") == "any")
        #expect(router.name("h", "/z%0Az") == "all")
        #expect(router.name("h", "/%C3") == "all")
    }

    @Test func failedConditionsFallBack() throws {
        let router = Router([
            try rule("all", paths: ["/*"]), try rule("write", paths: ["/v1/*"], methods: ["POST", "PURGE"]),
            try rule(
                "tenant", paths: ["/v1/*"], conditions: [Condition(.field("X-Tenant"), .equals("blue"))]),
            try rule(
                "both", paths: ["/v1/*"], methods: ["POST"],
                conditions: [Condition(.field("x-tenant"), .equals("blue"))]),
        ])
        #expect(router.name("h", "/v1/x") == "all")
        #expect(router.name("h", "/v1/x", method: "POST") == "write")
        #expect(router.name("h", "/v1/x", method: "PURGE") == "write")
        #expect(router.name("h", "/v1/x", method: "BREW") == "all")
        #expect(router.name("h", "/v1/x", [("X-TENANT", "blue")]) == "tenant")
        #expect(router.name("h", "/v1/x", [("x-tenant", "blue")], method: "POST") == "both")
        #expect(router.name("h", "/v1/x", [("x-tenant", "blueish")]) == "all")
    }

    @Test func oneOfSeveralFieldsIsEnough() throws {
        let router = Router([
            try rule("blue", paths: ["/*"], conditions: [Condition(.field("x-tenant"), .equals("blue"))])
        ])
        #expect(router.name("h", "/", [("X-Tenant", "red"), ("X-Tenant", "blue")]) == "blue")
        #expect(router.name("h", "/", [("X-Tenant", "red"), ("X-Tenant", "green")]) == nil)
    }

    @Test func methodMismatchIsForgottenWhereAnotherRouteMatches() throws {
        let router = Router([
            try rule("get", paths: ["/a"], methods: ["GET"]), try rule("all", paths: ["/*"]),
        ])
        let found = router.route(Request("/a", method: "POST"))
        #expect(found.name == "all" && !found.match.methodMismatch)
    }

    @Test func labelsOf63BytesAreTheLongest() throws {
        let label = String(repeating: "a", count: 63)
        #expect(try HostPattern.parse("\(label).example").name == "\(label).example")
        #expect(throws: PatternError.self) { try HostPattern.parse("a\(label).example") }
        #expect(throws: PatternError.self) { try HostPattern.parse("\(label)a") }
    }

    @Test func methodMismatchIsKnown() throws {
        let router = Router([
            try rule("get", paths: ["/a"], methods: ["GET"]),
            try rule("put", paths: ["/a"], methods: ["PUT", "GET"]),
        ])
        let post = Request("/a", method: "POST")
        #expect(router.route(post).name == nil)
        #expect(router.route(post).match.methodMismatch)
        #expect(post.with { router.allowedMethods($0) } == ["GET", "PUT"])
        #expect(!router.route(Request("/b", method: "POST")).match.methodMismatch)
        #expect(!router.route(Request("/a", method: "GET")).match.methodMismatch)
    }

    @Test func queryAndCookies() throws {
        let number = try RegularExpression(#"^\d+$"#)
        let router = Router([
            try rule("page", conditions: [Condition(.query("page"), .expression(number))]),
            try rule("blank", conditions: [Condition(.query("a b"), .equals("c d"))]),
            try rule("cookie", conditions: [Condition(.cookie("sid"), .prefix("x"))]),
            try rule("agent", conditions: [Condition(.field("user-agent"), .present, isNegated: true)]),
        ])
        let agent = [("User-Agent", "t")]
        #expect(router.name("h", "/?x=1&page=%31%32", agent) == "page")
        #expect(router.name("h", "/?page=a", agent) == nil)
        #expect(router.name("h", "/?p%61ge=3", agent) == "page")
        #expect(router.name("h", "/?a+b=c%20d", agent) == "blank")
        #expect(router.name("h", "/", agent + [("cookie", "a=b; sid=xy")]) == "cookie")
        #expect(router.name("h", "/", agent + [("cookie", "sid2=xy;SID=x")]) == nil)
        #expect(router.name("h", "/") == "agent")
        #expect(router.name("h", "/?page=", agent) == nil)
    }

    @Test func anExpressionAtItsLimitFailsClosed() throws {
        let router = Router([try rule("re", paths: ["~^(a+|/|a)+$"]), try rule("all")])
        let result = router.route(Request("/" + String(repeating: "a", count: 2_000) + "!"))
        #expect(result.name == nil)
        #expect(result.match.expressionFailed)
        #expect(router.name("h", "/zzz") == "all")
    }

    @Test func manyRoutesEachFound() throws {
        var rules: [RouteRule] = [try rule("all")]
        for i in 0..<1_000 {
            rules.append(
                try rule("r\(i)", hosts: ["h\(i % 50).example.com"], paths: ["/s\(i)/*", "/e\(i)/{id}/x"]))
        }
        let router = Router(rules)
        #expect(router.unreachable.isEmpty)
        for i in 0..<1_000 {
            #expect(router.name("h\(i % 50).example.com", "/s\(i)/a") == "r\(i)")
            #expect(router.name("h\(i % 50).example.com", "/e\(i)/7/x") == "r\(i)")
            #expect(router.name("h\((i + 1) % 50).example.com", "/s\(i)/a") == "all")
        }
    }

    @Test func routesThatNeverWin() throws {
        let tenant = Condition(.field("X-T"), .present)
        let router = Router([
            try rule("a", paths: ["/users/{id}"]), try rule("b", paths: ["/users/{name}"]),
            try rule("c", paths: ["/users/{id}"], methods: ["GET"]),
            try rule("d", paths: ["/x"], methods: ["GET", "PUT"]),
            try rule("e", paths: ["/x"], methods: ["PUT"]),
            try rule("f", paths: ["/x", "/y"], methods: ["PUT"]),
            try rule("g", paths: ["/z"], conditions: [tenant]),
            try rule("h", paths: ["/z"], conditions: [Condition(.field("x-t"), .present)]),
            try rule("i", paths: ["/z"], conditions: [Condition(.field("x-t"), .present, isNegated: true)]),
        ])
        #expect(
            router.unreachable == [
                UnreachableRoute(route: 1, shadowedBy: 0), UnreachableRoute(route: 4, shadowedBy: 3),
                UnreachableRoute(route: 7, shadowedBy: 6),
            ])
    }

    @Test func explainAgreesWithMatchAndSaysWhy() throws {
        let router = Router([
            try rule("all", paths: ["/*"]), try rule("post", paths: ["/v1/*"], methods: ["POST"]),
            try rule("head", paths: ["/v1/*"], conditions: [Condition(.field("x-a"), .present)]),
            try rule("v1", paths: ["/v1/*"]), try rule("other", hosts: ["b.com"]),
            try rule("path", paths: ["/v2"]),
        ])
        let trials = Request("/v1/x", host: "a.com").with { router.explain($0) }
        #expect(trials.map { $0.name } == ["post", "head", "v1", "all", "other", "path"])
        #expect(
            trials.map { $0.outcome } == [
                .method, .condition("header x-a"), .won, .outranked, .host, .path,
            ])
        #expect(router.name("a.com", "/v1/x") == "v1")
    }
}
