import Testing

@testable import WeirFiles

@Suite struct FilePathTests {
    static func resolve(_ path: String, hidden: Bool = false, capacity: Int = FilePath.bytesMax) -> String {
        withBytes(path) { bytes in
            let out = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            defer { out.deallocate() }
            switch FilePath.resolve(bytes, allowsHidden: hidden, into: out, capacity: capacity) {
            case .file(let count):
                guard out[count] == 0 else { return "no NUL" }
                return "file "
                    + String(decoding: UnsafeBufferPointer(start: out, count: count), as: UTF8.self)
            case .folder(let count):
                guard out[count] == 0 else { return "no NUL" }
                return "folder "
                    + String(decoding: UnsafeBufferPointer(start: out, count: count), as: UTF8.self)
            case .refused(let refusal): return "\(refusal)"
            }
        }
    }

    @Test(arguments: [
        ("/", "folder "),
        ("/a", "file a"),
        ("/a/b.css", "file a/b.css"),
        ("/a/", "folder a/"),
        ("/a%20b", "file a b"),
        ("/caf%C3%A9.txt", "file café.txt"),
        ("/a+b", "file a+b"),
        // Decoded once: what comes out is not decoded again.
        ("/%252e%252e/x", "file %2e%2e/x"),
        ("/a..b/c...", "file a..b/c..."),
        ("/%61%62", "file ab"),
        ("/.well-known/acme-challenge/x", "file .well-known/acme-challenge/x"),
        ("", "notAbsolute"),
        ("a", "notAbsolute"),
        ("*", "notAbsolute"),
        ("//", "emptySegment"),
        ("//a", "emptySegment"),
        ("/a//b", "emptySegment"),
        ("/a//", "emptySegment"),
        ("/..", "dotSegment"),
        ("/../a", "dotSegment"),
        ("/a/../b", "dotSegment"),
        ("/a/./b", "dotSegment"),
        ("/a/.", "dotSegment"),
        ("/%2e%2e/a", "dotSegment"),
        ("/%2E./a", "dotSegment"),
        ("/a/%2e", "dotSegment"),
        ("/a%2fb", "separator"),
        ("/..%2Fetc/passwd", "separator"),
        ("/%2f", "separator"),
        ("/a%5cb", "separator"),
        ("/..%5C..%5cetc", "separator"),
        ("/a\\b", "separator"),
        ("/a%00.html", "control"),
        ("/%0a", "control"),
        ("/a\u{7f}", "control"),
        ("/%", "badEscape"),
        ("/%4", "badEscape"),
        ("/%zz", "badEscape"),
        ("/%c0%ae%c0%ae/x", "file \u{fffd}\u{fffd}\u{fffd}\u{fffd}/x"),
        ("/.git/config", "hidden"),
        ("/a/.htaccess", "hidden"),
        ("/%2ehtaccess", "hidden"),
        ("/...", "hidden"),
        ("/..;/x", "hidden"),
        ("/a/.well-known/x", "hidden"),
        ("/.well-knownx", "hidden"),
    ])
    func table(path: String, expected: String) {
        #expect(Self.resolve(path) == expected)
    }

    @Test func hiddenFilesOnRequest() {
        #expect(Self.resolve("/.git/config", hidden: true) == "file .git/config")
        #expect(Self.resolve("/a/...", hidden: true) == "file a/...")
        #expect(Self.resolve("/a/..", hidden: true) == "dotSegment")
        #expect(Self.resolve("/%2e", hidden: true) == "dotSegment")
    }

    @Test func theRoomIsTheBound() {
        #expect(Self.resolve("/abc", capacity: 4) == "file abc")
        #expect(Self.resolve("/abcd", capacity: 4) == "tooLong")
        #expect(Self.resolve("/ab/", capacity: 4) == "folder ab/")
        #expect(Self.resolve("/abc/", capacity: 4) == "tooLong")
        let long = "/" + String(repeating: "x", count: FilePath.bytesMax - 1)
        #expect(Self.resolve(long).utf8.count == FilePath.bytesMax - 1 + 5)
        #expect(Self.resolve(long + "x") == "tooLong")
    }
}
