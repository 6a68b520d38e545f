import Testing

@testable import WeirRouting

@Suite struct PatternTests {
    @Test(arguments: [
        ("", 0), ("a b", 1), ("*foo.com", 1), ("a.*.com", 2), ("a:80", 1), ("http://a", 4), ("a..b", 2),
        ("é.com", 0), ("[::1", 4), ("[::1]:80", 5), ("[x]", 1), ("*", -1), ("*.b.c", -1), ("A-b.c.", -1),
        ("[2001:db8::1]", -1),
    ])
    func hosts(text: String, position: Int) {
        #expect(errorPosition { _ = try HostPattern.parse(text) } == position)
    }

    @Test(arguments: [
        ("", 0), ("a", 0), ("/a*", 2), ("/*/b", 2), ("/a/{}", 4), ("/{a}/{a}", 6), ("/{a", 3), ("/{a}b", 4),
        ("/a{b}", 2), ("/a?b", 2), ("/a#", 2), ("/a b", 2), ("/%4", 2), ("/a/../b", 3), ("/%2e/b", 1),
        ("~", 1), ("~(", 2), ("~(?<a>x)", -1), ("/{rest*}/x", 8), ("/{a b}", 3), ("/a//b/", -1), ("/*", -1),
        ("/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", 33),
    ])
    func paths(text: String, position: Int) {
        #expect(errorPosition { _ = try PathPattern.parse(text) } == position)
    }

    private func errorPosition(_ body: () throws -> Void) -> Int? {
        do {
            try body()
            return -1
        } catch let error as PatternError {
            return error.message.isEmpty ? nil : error.position
        } catch {
            return nil
        }
    }
}
