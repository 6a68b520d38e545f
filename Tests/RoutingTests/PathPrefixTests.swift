import WeirHTTPModel
import Testing

@testable import WeirRouting

@Suite struct PathPrefixTests {
    @Test(arguments: [
        // from, to, the client's path, the endpoint's
        ("/shop", "/", "/shop/cart", "/cart"), ("/shop", "/", "/shop", "/"), ("/shop", "/", "/shop/", "/"),
        ("/shop", "/app", "/shop/cart", "/app/cart"), ("/shop", "/app", "/shop", "/app"),
        ("/shop", "/app/", "/shop/cart", "/app/cart"), ("/shop/", "/app", "/shop/cart", "/app/cart"),
        ("/", "/app", "/cart", "/app/cart"), ("/shop", "/app", "/shopping", "/shopping"),
        ("/caf\u{e9}", "/\u{e4}", "/caf%C3%A9/x%2Fy", "/%C3%A4/x%2Fy"), ("/@me", "/me", "/%40me/x", "/me/x"),
        ("/shop", "/app", "", "/"),
    ])
    func inwards(from: String, to: String, path: String, expected: String) {
        let prefix = PathPrefix(from: from, to: to)
        #expect(inward(prefix, path) == expected)
    }

    @Test(arguments: [
        // from, to, the endpoint's path, the client's
        ("/shop", "/", "/cart", "/shop/cart"), ("/shop", "/", "/", "/shop/"),
        ("/shop", "/app", "/app/cart", "/shop/cart"), ("/shop", "/app", "/app", "/shop"),
        ("/shop", "/app", "/app/", "/shop/"), ("/shop", "/app", "/application", nil),
        ("/shop", "/app", "/", nil), ("/shop", "/app", "/%61pp/x", "/shop/x"),
        ("/shop/", "/app", "/app", "/shop/"), ("/", "/app", "/app", "/"), ("/", "/app", "/app/x", "/x"),
        // What that means in a reference is the reference's affair.
        ("/", "/app", "/app//x", "//x"), ("/a", "/app", "/app//x", "/a//x"),
        ("/caf\u{e9}", "/\u{e4}", "/%c3%a4/x", "/caf%C3%A9/x"),
    ])
    func outwards(from: String, to: String, path: String, expected: String?) {
        let prefix = PathPrefix(from: from, to: to)
        #expect(outward(prefix, path) == expected)
    }

    @Test func everyPathComesBack() {
        for (from, to) in [("/shop", "/"), ("/shop", "/app"), ("/", "/app"), ("/a/b", "/c/d")] {
            let prefix = PathPrefix(from: from, to: to)
            for rest in ["/x", "/x/", "/x//y", "/%2F", "/a.b;c"] {
                let path = (from == "/" ? "" : from) + rest
                let inner = inward(prefix, path)
                #expect(outward(prefix, inner) == path)
            }
        }
    }
}

private func inward(_ prefix: PathPrefix, _ path: String) -> String {
    let path = StaticBytes(path)
    return withExtendedLifetime(path) { written { prefix.writeInward(path.bytes, &$0) } }
}

private func outward(_ prefix: PathPrefix, _ path: String) -> String? {
    let path = StaticBytes(path)
    return withExtendedLifetime(path) {
        var isTurned = false
        let text = written { isTurned = prefix.writeOutward(path.bytes, &$0) }
        return isTurned || !text.isEmpty ? text : nil
    }
}

/// What a body writes.
func written(capacity: Int = 1024, _ body: (inout ByteWriter) -> Void) -> String {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: capacity)
    body(&writer)
    return String(decoding: UnsafeBufferPointer(start: room, count: writer.count), as: UTF8.self)
}
