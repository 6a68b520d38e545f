// Routing and templates by value.

import Testing
import WeirHTTP1
import WeirHTTPModel
import WeirRouting

@Suite struct RoutedRequestTests {
    private let router: Router

    init() throws {
        router = Router([
            RouteRule(name: "item", paths: [try PathPattern.parse("/items/{id}")], methods: ["GET"]),
            RouteRule(name: "admin", paths: [try PathPattern.parse("/admin/*")]),
        ])
    }

    private func head(_ line: String) throws -> OwnedRequestHead {
        let bytes = Array("\(line) HTTP/1.1\r\nHost: shop.example\r\nX-Long: \(long)\r\n\r\n".utf8)
        guard case .complete(let head) = RequestParser().parse(bytes) else {
            throw RoutingRefusal.noRoute
        }
        return head
    }
    private let long = String(repeating: "x", count: 5_000)

    @Test func routesAndTemplates() throws {
        let request = try head("GET /items/./7?full")
        let routed = try router.route(request)
        #expect(routed.name == "item" && routed.rule == 0 && routed.captures == ["id": "7"])
        let text = try Template.parse(
            "{route}: {request.scheme}://{request.host}/{path.id} {request.header.x-long}")
        #expect(
            text.text(for: routed, isSecure: true)
                == "item: https://shop.example/7 \(long)")
        #expect(try Template.parse("{request.method}").text(for: request) == "GET")
    }

    @Test func conditionsAreAsked() throws {
        var rule = RouteRule(name: "secure")
        rule.when = try RequestCondition("request.scheme == \"https\"", known: .request)
        let router = Router([rule])
        let request = try head("GET /items/7")
        #expect(try router.route(request, isSecure: true).name == "secure")
        #expect(throws: RoutingRefusal.noRoute) { try router.route(request) }
    }

    @Test func refusals() throws {
        #expect(throws: RoutingRefusal.methodNotAllowed) { try router.route(try head("POST /items/7")) }
        #expect(throws: RoutingRefusal.noRoute) { try router.route(try head("GET /nothing")) }
        #expect(throws: RoutingRefusal.ambiguousPath) { try router.route(try head("GET /items/a%2fb")) }
    }
}
