import WeirHTTPModel
import Testing

@testable import WeirRouting

@Suite struct TemplateTests {
    private func render(
        _ text: String, _ request: Request, secure: Bool = true, capacity: Int = 512,
        for place: Template.Place = .text
    ) throws -> (text: String, isClean: Bool, overflowed: Bool) {
        let template = try Template.parse(text, for: place)
        let router = Router([try rule("r", paths: ["/users/{id}/{rest*}", "/*"])])
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        defer { memory.deallocate() }
        return request.with { view in
            var match = RouteMatch()
            _ = router.match(view, scratch: RouteScratch(), into: &match)
            var writer = ByteWriter(memory, capacity: capacity)
            let ip = Array("192.0.2.1".utf8)
            let isClean = ip.withUnsafeBufferPointer { ip in
                withUnsafePointer(to: match) { match in
                    var context = RequestContext(request: view)
                    context.match = match
                    context.captureNames = router.captureNames
                    context.origin.isSecure = secure
                    context.clientIP = ip
                    context.clientPort = 50_708
                    let error = ErrorView(status: 502, phrase: "Bad Gateway", reason: "connect-refused")
                    return withUnsafePointer(to: error) {
                        switch place {
                        case .body, .page: context.error = $0
                        case .text, .target, .url: break
                        }
                        return template.render(into: &writer, context: context)
                    }
                }
            }
            let text = String(
                decoding: UnsafeBufferPointer(start: memory, count: writer.count), as: UTF8.self)
            return (text, isClean, writer.overflowed)
        }
    }

    @Test(arguments: [
        ("{request.scheme}://{request.host}{request.path}?{query.a}", "https://h.de/users/7/x/y?1"),
        ("{request.uri}|{request.query}|{request.method}", "/users/7/x/y?a=1&b=%20|a=1&b=%20|GET"),
        ("{path.id}-{path.rest}-{path.none}", "7-x/y-"), ("{client.ip}:{client.port}", "192.0.2.1:50708"),
        ("{request.header.X-Thing}{request.header.user-agent}{request.header.no}", "tu"),
        ("{cookie.sid}{query.b}{query.c}", "s "), ("{query}|{?query}", "a=1&b=%20|?a=1&b=%20"),
        ("{request.authority}|{request.port}", "h.de:81|81"), ("{{a}} plain", "{a} plain"), ("", ""),
        ("{route}", ""),
    ])
    func variables(template: String, expected: String) throws {
        let request = Request(
            "/users/7/x/y?a=1&b=%20", [("x-thing", "t"), ("User-Agent", "u"), ("cookie", "a=b; sid=s")],
            host: "h.de:81")
        let result = try render(template, request)
        #expect(result.text == expected)
        #expect(result.isClean)
    }

    @Test func portsThatAreNotWritten() throws {
        #expect(try render("{request.port}", Request("/", host: "a")).text == "443")
        #expect(try render("{request.port}", Request("/", host: "[::1]"), secure: false).text == "80")
        #expect(try render("{?query}", Request("/")).text == "")
        #expect(try render("{?query}", Request("/?")).text == "?")
    }

    @Test func parametersAreDecodedAndFieldsJoined() throws {
        let request = Request(
            "/?n=a%20b+c%C3%A9&bad=x%0d%0ay&p%61th=%2e%2e%2Fx",
            [("X-A", "1"), ("x-a", "2"), ("Cookie", "a=1"), ("cookie", "b=2")])
        #expect(try render("{query.n}", request).text == "a b cé")
        let bad = try render("[{query.bad}]", request)
        #expect(bad.text == "[]" && !bad.isClean)
        #expect(try render("{request.header.X-A}|{request.header.cookie}", request).text == "1, 2|a=1; b=2")
    }

    @Test func dataInTargetsIsNoStructure() throws {
        let request = Request("/x?f=..%2Fa%3Fb%23&d=%2e%2e&e=ok", [("X-A", "a b?c/d%")])
        #expect(try render("/get/{query.f}", request, for: .target).text == "/get/..%2Fa%3Fb%23")
        #expect(try render("/get/{query.d}/x", request, for: .target).text == "/get//x")
        #expect(
            try render("/{request.header.x-a}?q={query.e}", request, for: .target).text
                == "/a%20b%3Fc%2Fd%25?q=ok")
        #expect(try render("{request.path}{?query}", request, for: .target).text.hasPrefix("/x?f=..%2Fa"))
    }

    @Test(arguments: [
        ("{request.path}/", "//evil.example", "/.//evil.example/"), ("{request.uri}", "//e?x", "/.//e?x"),
        ("{request.path}/", "/a", "/a/"), ("/{query.n}", "/?n=/evil", "/%2Fevil"),
        ("/{query}", "/?/evil", "/.//evil"), ("/{query}", "/?\\evil", "/./\\evil"), ("/", "/", "/"),
        ("https://w.example{request.path}", "//evil", "https://w.example//evil"),
        ("https://{query.s}.w.example/", "/?s=evil%2F%40x", "https://evil%2F%40x.w.example/"),
        ("https://w.example/{query.n}", "/?n=a%09b", "https://w.example/a%09b"),
        ("{request.scheme}://{request.authority}/x", "/", "https://h.de:8/x"),
        ("{request.scheme}://{request.host}:{request.port}{request.uri}", "/y?z", "https://h.de:8/y?z"),
        ("{?query}", "/?a", "?a"), ("https://w.example", "/", "https://w.example"),
        ("page/{query.n}", "/?n=1", "page/1"),
    ])
    func urls(template: String, target: String, expected: String) throws {
        #expect(try render(template, Request(target, host: "h.de:8"), for: .url).text == expected)
    }

    @Test(arguments: [
        ("{query.next}", 0), ("{path.rest}", 0), ("https://{query.h}/", 8),
        ("https://w.example{path.rest}", 17),
        ("https://w.example{query}", 17), ("//{cookie.h}/x", 2), ("https:{query.n}", 6), ("http{query.n}", 4),
        ("{request.scheme}{query.n}", 0), ("https://{request.header.x}:80/", 8), ("https://a.{path.t}./", 10),
        ("https://{path.t}.w.example{path.t}", 26), ("https://w.example:8{query.n}", 19),
    ])
    func urlsThatAClientCouldTurn(template: String, position: Int) {
        do {
            _ = try Template.parse(template, for: .url)
            Issue.record("\(template) was taken")
        } catch {
            #expect(error.position == position, "\(error.message)")
        }
    }

    @Test func substitutions() throws {
        func run(_ pattern: String, _ with: String, _ text: String, isPath: Bool = false) throws -> String? {
            let expression = try RegularExpression(pattern, isText: isPath)
            let substitution = Substitution(expression, with: try Template.parse(with, of: expression))
            let bytes = Array(text.utf8)
            return bytes.withUnsafeBufferPointer { bytes in
                let outcome =
                    isPath
                    ? substitution.find(inPath: bytes, scratch: RouteScratch())
                    : substitution.find(in: bytes, scratch: RouteScratch())
                guard case .found(let groups) = outcome else { return nil }
                return Request("/").with { view in
                    var room = [UInt8](repeating: 0, count: 200)
                    return room.withUnsafeMutableBufferPointer { room in
                        guard let start = room.baseAddress else { return nil }
                        var writer = ByteWriter(start, capacity: room.count)
                        withUnsafePointer(to: groups) { groups in
                            var context = RequestContext(request: view)
                            context.groups = groups
                            substitution.with.render(into: &writer, context: context)
                        }
                        let found = "\(groups.found.offset)+\(groups.found.count) "
                        return found
                            + String(
                                decoding: UnsafeBufferPointer(start: start, count: writer.count),
                                as: UTF8.self)
                    }
                }
            }
        }
        #expect(try run("^https:", "http:", "https://h/x") == "0+6 http:")
        #expect(try run("^https:", "http:", "http://h/x") == nil)
        #expect(
            try run("/([a-z]+)-(?<n>[0-9]+)", "{match.n}{match.1}{match.0}", "x/ab-12/") == "1+6 12ab/ab-12")
        #expect(try run("(a)|(b)", "[{match.2}]", "a") == "0+1 []")
        #expect(try run("^/é(.*)$", "/e{match.1}", "/%C3%A9/%40x", isPath: true) == "0+12 /e/%40x")
        #expect(throws: PatternError.self) { try run("a", "{match.1}", "") }
        #expect(throws: PatternError.self) { try run("a", "{match.n}", "") }
        #expect(throws: PatternError.self) { try Template.parse("{match.0}") }
    }

    /// What a client sends is text in a page, wherever it stands in a request.
    @Test(arguments: [
        ("{query.n}", "/?n=%3Cscript%3E", "&lt;script&gt;", "\\u003cscript\\u003e"),
        ("{request.path}", "/<b>\"'&", "/&lt;b&gt;&quot;&#39;&amp;", "/\\u003cb\\u003e\\\"\\u0027\\u0026"),
        ("{query.j}", "/?j=%27%60$%7b1}", "&#39;`${1}", "\\u0027\\u0060\\u0024{1}"),
        ("{request.uri}", "/?<a>", "/?&lt;a&gt;", "/?\\u003ca\\u003e"),
        ("{?query}", "/?\"", "?&quot;", "?\\\""), ("{query}", "/?\\<", "\\&lt;", "\\\\\\u003c"),
        ("{path.id}", "/users/<i>/x", "&lt;i&gt;", "\\u003ci\\u003e"),
        ("{request.header.x}", "/", "&lt;x y=&quot;&#39;&quot;&gt;", "\\u003cx y=\\\"\\u0027\\\"\\u003e"),
        ("{cookie.c}", "/", "a&lt;b", "a\\u003cb"),
        ("{request.host}", "/", "h.de", "h.de"),
        // Tabs stay, other control characters take the value with them.
        ("{query.n}", "/?n=a%09b", "a\tb", "a\\tb"), ("[{query.n}]", "/?n=%00%3Cb", "[]", "[]"),
        // UTF-8, and what is none: a lone byte, an overlong "<", a surrogate, a cut sequence, beyond the last.
        ("{query.n}", "/?n=%C3%A9%E2%82%AC%F0%9F%98%80", "é€😀", "é€😀"),
        ("{query.n}", "/?n=%80a%C0%BC", "\u{fffd}a\u{fffd}\u{fffd}", "\u{fffd}a\u{fffd}\u{fffd}"),
        (
            "{query.n}", "/?n=%ED%A0%80%E2%82", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        ),
        (
            "{query.n}", "/?n=%E2%82%3Cb%F4%90%80%80",
            "\u{fffd}\u{fffd}&lt;b\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            "\u{fffd}\u{fffd}\\u003cb\u{fffd}\u{fffd}\u{fffd}\u{fffd}"
        ),
        (
            "{error.status} {error.phrase}: {error.reason}", "/", "502 Bad Gateway: connect-refused",
            "502 Bad Gateway: connect-refused"
        ),
    ])
    func valuesInBodiesAreNoMarkup(template: String, target: String, html: String, json: String) throws {
        let request = Request(target, [("x", "<x y=\"'\">"), ("cookie", "c=a<b")], host: "h.de")
        #expect(try render(template, request, for: .body(.html)).text == html)
        #expect(try render(template, request, for: .body(.json)).text == json)
    }

    @Test func bodiesHaveLinesAndMarkupOfTheirOwn() throws {
        let text = "<h1>{error.status}</h1>\r\n\t<p style=\"a\">{{}}\n"
        #expect(
            try render(text, Request("/"), for: .body(.html)).text == "<h1>502</h1>\r\n\t<p style=\"a\">{}\n")
        #expect(try render("{request.path}", Request("/<b>"), for: .body(.text)).text == "/<b>")
        #expect(try Template.parse("a{{b}}\n", for: .body(.json)).literal == Array("a{b}\n".utf8))
        #expect(try Template.parse("", for: .body(.json)).literal == [])
        #expect(try Template.parse("{error.status}", for: .body(.json)).literal == nil)
    }

    @Test func targetsOfPagesKnowErrorsAndAreURLs() throws {
        let request = Request("/a?b=c%20d", [("x", "e/f g")], host: "h.de")
        #expect(
            try render(
                "/{error.status} {error.phrase}/{request.header.x}{request.path}?{query.b}", request,
                for: .page
            ).text == "/502%20Bad%20Gateway/e%2Ff%20g/a?c%20d")
    }

    @Test func errorsAreKnownWhereThereIsOne() throws {
        #expect(throws: PatternError(at: 1, "'error.reason' is known under errors only")) {
            try Template.parse("{error.reason}")
        }
        #expect(throws: PatternError(at: 1, "unknown variable 'error.reson'; did you mean 'error.reason'?")) {
            try Template.parse("{error.reson}", for: .body(.text))
        }
    }

    @Test func valuesWithLineBreaksAreLeftOut() throws {
        let result = try render("a{request.header.x}b", Request("/", [("x", "1\r\nSet-Cookie: a")]))
        #expect(result.text == "ab")
        #expect(!result.isClean)
    }

    @Test func tooLittleRoomShows() throws {
        #expect(try render("0123456789", Request("/"), capacity: 9).overflowed)
        #expect(try !render("0123456789", Request("/"), capacity: 10).overflowed)
        #expect(try render("{client.port}", Request("/"), capacity: 5).text == "50708")
    }

    @Test func errorsHavePositionAndSuggestion() {
        #expect(throws: PatternError(at: 2, "unknown variable 'request.hots'; did you mean 'request.host'?"))
        {
            try Template.parse("a{request.hots}")
        }
        #expect(throws: PatternError(at: 1, "expected '}}' for a brace that is text")) {
            try Template.parse("a}b")
        }
        #expect(throws: PatternError.self) { try Template.parse("a{request.host") }
        #expect(throws: PatternError.self) { try Template.parse("a\r\nb") }
        #expect(throws: PatternError.self) { try Template.parse("{path.}") }
        #expect(throws: PatternError(at: 17, "expected a letter, digit or '-'")) {
            try Template.parse("{request.header.a:b}")
        }
    }
}
