// Whatever the spelling of a path: when it opens a file, the route of that file has decided.

import WeirFiles
import WeirHTTP1
import WeirHTTPModel
import WeirBalancing
import Testing

@testable import WeirRouting

@Suite struct SpellingTests {
    /// The file a target opens, and the route that decides for it; nil when the target is refused.
    private func served(_ target: String, _ router: Router) -> (file: String, route: Int32)? {
        let text = Array("GET \(target) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        let room = text.count + target.utf8.count
        return withUnsafeTemporaryAllocation(of: Field.self, capacity: 200) { fields in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room) { bytes in
                guard let base = bytes.baseAddress, let table = fields.baseAddress else { return nil }
                base.update(from: text, count: text.count)
                var head = RequestHead()
                guard
                    RequestParser().parse(base, count: text.count, fields: table, into: &head) == .complete
                else { return nil }
                if head.pathTraits.needWriting {
                    let count = PathForm.write(
                        base + Int(head.path.offset), Int(head.path.count), into: base + text.count)
                    head.path = ByteRange(text.count, count)
                }
                var match = RouteMatch()
                let found = withUnsafePointer(to: head) {
                    router.match(
                        RequestView(bytes: base, head: $0, fields: table), scratch: RouteScratch(),
                        into: &match)
                }
                guard found else { return nil }
                return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4096) { out in
                    guard let start = out.baseAddress else { return nil }
                    switch FilePath.resolve(
                        head.path.bytes(in: base), allowsHidden: true, into: start, capacity: 4096)
                    {
                    case .refused: return nil
                    case .file(let count), .folder(let count):
                        let file = String(
                            decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
                        return (file, match.route)
                    }
                }
            }
        }
    }

    @Test func theRouteOfTheFileDecides() throws {
        let router = Router([
            try rule("admin", paths: ["/@admin/*"]), try rule("cafe", paths: ["/café/*", "/a%20b/{x}"]),
            try rule("expression", paths: ["~^/x[+;][^/]*é"]),
            try rule("exact", paths: ["/@admin/open.txt", "/100%25"]),
            try rule("all", paths: ["/*"]),
        ])
        let names = ["@admin", "s.txt", "open.txt", "café", "a b", "x+é", "x;yé", "100%", "z\\", "=&", "..x"]
        var random = SeededRandom(seed: 1)
        var opened = 0
        for _ in 0..<20_000 {
            let path = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                names.randomElement(using: &random)!
            }
            func spelling(isPlain: Bool) -> String {
                path.reduce(into: "") { text, name in
                    text += "/"
                    if !isPlain {
                        text += ["", "", "", "./", "q/../", "%71/../", "/", "%2F", "%2e/"].randomElement(
                            using: &random)!
                    }
                    for octet in name.utf8 {
                        let mayStay =
                            octet > 0x20 && octet < 0x7f && !"%\\".utf8.contains(octet)
                        if mayStay && (isPlain || Int.random(in: 0..<3, using: &random) > 0) {
                            text += String(UnicodeScalar(octet))
                        } else {
                            text += "%" + String(octet, radix: 16, uppercase: Bool.random(using: &random))
                        }
                    }
                }
            }
            let target = spelling(isPlain: false)
            guard let result = served(target, router) else { continue }
            opened += 1
            let expected = served(spelling(isPlain: true), router)
            #expect(result.route == expected?.route && result.file == expected?.file, "\(target)")
        }
        #expect(opened > 5_000)
    }
}
