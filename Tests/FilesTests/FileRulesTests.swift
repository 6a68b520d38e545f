import Testing

@testable import WeirFiles

@Suite struct FileRulesTests {
    @Test(arguments: [
        ("index.html", "text/html; charset=utf-8"),
        ("a/b/STYLE.CSS", "text/css; charset=utf-8"),
        ("app.min.js", "text/javascript; charset=utf-8"),
        ("data.json", "application/json"),
        ("x.svg", "image/svg+xml"),
        ("site.webmanifest", "application/manifest+json"),
        ("a.tar.gz", "application/gzip"),
        ("README", "application/octet-stream"),
        ("a.b/README", "application/octet-stream"),
        ("x.unknown", "application/octet-stream"),
        ("x.", "application/octet-stream"),
        (".html", "text/html; charset=utf-8"),
        ("x.abcdefghijklmnopq", "application/octet-stream"),
        ("", "application/octet-stream"),
    ])
    func types(path: String, expected: String) {
        let types = ContentTypes()
        #expect(withBytes(path) { text(types.type($0)) } == expected)
    }

    @Test func overrides() {
        let types = ContentTypes(overrides: [
            ("LOG", "text/x-log"), ("html", "text/html"), ("abcdefghijklmnop", "x/y"), ("*", "text/plain"),
        ])
        #expect(withBytes("a.log") { text(types.type($0)) } == "text/x-log")
        #expect(withBytes("a.html") { text(types.type($0)) } == "text/html")
        #expect(withBytes("a.abcdefghijklmnop") { text(types.type($0)) } == "x/y")
        #expect(withBytes("a.css") { text(types.type($0)) } == "text/css; charset=utf-8")
        #expect(withBytes("README") { text(types.type($0)) } == "text/plain")
        #expect(withBytes("README") { text(types.known($0)) } == nil)
    }

    @Test func everyExtensionOfTheListIsFound() {
        let types = ContentTypes()
        var seen: Set<Substring> = []
        for (type, extensions) in ContentTypes.builtIn {
            for name in extensions.split(separator: " ") {
                #expect(withBytes("x.\(name)") { text(types.known($0)) } == type)
                #expect(seen.insert(name).inserted, "\(name) stands twice")
            }
        }
        #expect(seen.count > 120)
    }

    @Test(arguments: [
        ("*.css", "a.css", true), ("*.css", "x/y/a.css", true), ("*.css", "a.css.map", false),
        ("*.css", "css", false), ("index.html", "a/index.html", true), ("index.html", "a/xindex.html", false),
        ("/assets/*", "assets/a/b.js", true), ("/assets/*", "x/assets/a", false),
        ("/assets/*", "assets", false),
        ("/robots.txt", "robots.txt", true), ("/robots.txt", "a/robots.txt", false), ("/*", "", true),
        ("/*", "a/b", true), ("*", "a/b", true), ("*.*.js", "app.1234.js", true), ("*.*.js", "app.js", false),
        ("a*b*c", "aXbXbc", true), ("a*b*c", "aXbXb", false), ("*a", "aaaa", true), ("", "a", false),
    ])
    func patterns(pattern: String, path: String, expected: Bool) {
        #expect(withBytes(path) { FilePattern(pattern).matches($0) } == expected)
    }

    @Test func manyStarsTakeNoTime() {
        let pattern = String(repeating: "a*", count: 100) + "b"
        #expect(!withBytes(String(repeating: "a", count: 4000)) { FilePattern(pattern).matches($0) })
    }

    @Test func theFirstRuleDecides() {
        let rules = FileRules(
            index: [], fallback: nil, allowsHidden: false, precompressed: [],
            cache: [
                CacheRule(patterns: [FilePattern("*.html")], control: "no-cache"),
                CacheRule(patterns: [FilePattern("/a/*"), FilePattern("*.js")], expiresSeconds: 60),
            ], types: ContentTypes())
        func control(_ path: String) -> String? {
            withBytes(path) { rules.cacheRule($0).map { String(decoding: $0.control, as: UTF8.self) } }
        }
        #expect(control("a/x.html") == "no-cache")
        #expect(control("a/x.css") == "max-age=60")
        #expect(control("b/x.js") == "max-age=60")
        #expect(control("b/x.css") == nil)
    }

    @Test(arguments: [
        ("users/42", true), ("users/john.doe", true), ("page.html", true), ("app.js", false),
        ("favicon.ico", false), ("", true),
    ])
    func fallback(path: String, expected: Bool) {
        func rules(_ fallback: String?) -> FileRules {
            FileRules(
                index: [], fallback: fallback, allowsHidden: false, precompressed: [], cache: [],
                types: ContentTypes())
        }
        #expect(withBytes(path) { rules("index.html").fallsBack(for: $0) } == expected)
        #expect(withBytes(path) { !rules(nil).fallsBack(for: $0) })
    }
}
