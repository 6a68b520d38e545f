// WeirRouting: what its page shows.

import WeirHTTP1
import WeirHTTPModel
import WeirRouting

enum RoutingExample {
    static func run(_ print: (String) -> Void) throws {
        // The page quotes from here…
        let router = Router([
            RouteRule(name: "users", paths: [try PathPattern.parse("/users/{id}")], methods: ["GET"]),
            RouteRule(
                name: "api", hosts: [try HostPattern.parse("*.example.com")],
                paths: [try PathPattern.parse("/v1/*")]),
        ])
        let bytes = Array("GET /users/./42?full HTTP/1.1\r\nHost: example.com\r\n\r\n".utf8)
        guard case .complete(let request) = RequestParser().parse(bytes) else { return }
        let routed = try router.route(request)
        print("\(routed.name) \(routed.captures)")
        let template = try Template.parse("https://{request.host}/profiles/{path.id}{?query}", for: .url)
        print(template.text(for: routed) ?? "no text")
        // …to here.
    }
}
