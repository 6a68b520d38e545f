import HTTPModel
import Testing

@testable import Routing

@Suite struct TemplateTests {
    private func render(_ text: String, _ request: Request, secure: Bool = true, capacity: Int = 512) throws
        -> (text: String, isClean: Bool, overflowed: Bool)
    {
        let template = try Template.parse(text)
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
                    var context = TemplateContext(request: view)
                    context.match = match
                    context.captureNames = router.captureNames
                    context.isSecure = secure
                    context.clientIP = ip
                    context.clientPort = 50_708
                    return template.render(into: &writer, context: context)
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
        ("{cookie.sid}{query.b}{query.c}", "s%20"), ("{{a}} plain", "{a} plain"), ("", ""), ("{route}", ""),
    ])
    func variables(template: String, expected: String) throws {
        let request = Request(
            "/users/7/x/y?a=1&b=%20", [("x-thing", "t"), ("User-Agent", "u"), ("cookie", "a=b; sid=s")],
            host: "h.de")
        let result = try render(template, request)
        #expect(result.text == expected)
        #expect(result.isClean)
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
