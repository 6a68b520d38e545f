import WeirBalancing
import Testing

@testable import WeirHTTPModel

/// Runs one of the functions from bytes to bytes.
private func written(
    _ text: String,
    _ body: (UnsafePointer<UInt8>, Int, UnsafeMutablePointer<UInt8>) -> Int
) -> String {
    let bytes = Array(text.utf8) + [0]
    var out = [UInt8](repeating: 0, count: bytes.count)
    let count = body(bytes, bytes.count - 1, &out)
    return String(decoding: out.prefix(count), as: UTF8.self)
}

func itself(_ path: String) -> String { written(path) { PathForm.write($0, $1, into: $2) } }
func deciding(_ path: String) -> String { written(path) { PathForm.writeDeciding($0, $1, into: $2) } }

@Suite struct PathFormTests {
    @Test(arguments: [
        ("/", "/"), ("", ""), ("/a/b", "/a/b"), ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/a/b/../../c", "/c"),
        ("/a/..", "/"), ("/a/.", "/a/"), ("/./", "/"), ("/.", "/"), ("/a/./", "/a/"), ("/a/b/..", "/a/"),
        ("/a//b/", "/a//b/"), ("/.//a", "//a"), ("/...", "/..."), ("/.a/..b", "/.a/..b"),
        ("/%61%7e%2D", "/a~-"), ("/%2f%5c%3a", "/%2F%5C%3A"), ("/%40%2B+@", "/%40%2B+@"),
        ("/%zz%4", "/%zz%4"),
        ("/caf%c3%a9", "/caf%C3%A9"), ("/../a", "/a"),
    ])
    func thePathItself(raw: String, expected: String) {
        #expect(itself(raw) == expected)
    }

    @Test(arguments: [
        ("/%40admin", "/@admin"), ("/caf%C3%A9", "/café"), ("/a%20b", "/a b"), ("/%3B%3d%2B", "/;=+"),
        ("/%2f%5c%25", "/%2F%5C%25"), ("/%0a%7f", "/%0A%7F"), ("/%ff", "/%FF"), ("/%c3", "/%C3"),
        ("/%c3%28", "/%C3("), ("/%c0%af", "/%C0%AF"), ("/%ed%a0%80", "/%ED%A0%80"), ("/%e2%82%ac", "/€"),
        ("/%f0%9f%90%9d", "/🐝"), ("/%f4%90%80%80", "/%F4%90%80%80"), ("/%e2%82", "/%E2%82"),
        ("/%2541", "/%2541"), ("/%e0%80%af", "/%E0%80%AF"), ("/%e0%9f%bf", "/%E0%9F%BF"),
        ("/%f0%8f%bf%bf", "/%F0%8F%BF%BF"),
    ])
    func whatDecides(path: String, expected: String) {
        #expect(deciding(path) == expected)
    }

    @Test func otherReadings() {
        func reading(_ reading: PathForm.Reading, _ path: String) -> String {
            written(path) { PathForm.write(reading, of: $0, $1, into: $2) }
        }
        #expect(reading(.merged, "//a///b/") == "/a/b/")
        #expect(reading(.merged, "/a%2F/b") == "/a%2F/b")
        #expect(reading(.separated, "/a%2F/b%5Cc%25") == "/a/b/c%25")
    }

    @Test func prefixesAreComparedInEverySpelling() {
        func count(_ path: String, _ prefix: String) -> Int? {
            let path = Array(path.utf8)
            let prefix = Array(prefix.utf8)
            return path.withUnsafeBufferPointer { path in
                prefix.withUnsafeBufferPointer { PathForm.prefixCount(of: path, $0) }
            }
        }
        #expect(count("/%40me/x", "/@me") == 6)
        #expect(count("/caf%C3%A9", "/café") == 10)
        #expect(count("/caf%C3", "/café") == nil)
        #expect(count("/a%2Fb", "/a/b") == nil)
        #expect(count("/a%2Fb", "/a%2F") == 5)
        #expect(count("/a", "/ab") == nil)
        #expect(count("/a", "") == 0)
    }

    /// One text decides for every spelling of the same octets, and it is UTF-8; writing it again, or writing
    /// the path itself again, changes nothing.
    @Test func everySpellingDecidesAlike() {
        var random = SeededRandom(seed: 1)
        let octets: [UInt8] =
            Array("ab.~@+;%/\\ \n".utf8) + [0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xff, 0xed, 0xa0, 0x80]
        for _ in 0..<4_000 {
            let segment = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                octets.randomElement(using: &random)!
            }
            func spelling() -> String {
                segment.reduce(into: "/x") { text, octet in
                    let isPlain = octet < 0x80 && octet > 0x20 && !"%/\\".utf8.contains(octet)
                    if isPlain && Bool.random(using: &random) {
                        text += String(UnicodeScalar(octet))
                    } else {
                        let digits = String(octet, radix: 16, uppercase: Bool.random(using: &random))
                        text += "%" + (digits.count == 1 ? "0" : "") + digits
                    }
                }
            }
            let one = spelling()
            let first = itself(one)
            #expect(itself(first) == first)
            let decides = deciding(first)
            #expect(deciding(itself(spelling())) == decides, "\(one)")
            #expect(!decides.utf8.isEmpty && String(validating: Array(decides.utf8), as: UTF8.self) != nil)
        }
    }

    @Test(
        "dot segments in paths that were made of parts",
        arguments: [
            ("/a/../b", true), ("/..", true), ("/.", true), ("/a/..%2Fb", true), ("/a/%2e%2E/b", true),
            ("/a%5C..", true), ("/a\\..\\b", true), ("/..;x/b", true), ("/.;", true),
            ("/a/...", false), ("/.a/b..", false), ("/a..b/c", false), ("/", false), ("", false),
            ("/.git", false),
            ("/%252e%252e/", false), ("/..a;b", false),
        ])
    func dotSegments(path: String, has: Bool) {
        var bytes = Array(path.utf8)
        bytes.append(0)
        #expect(PathForm.hasDotSegment(bytes, bytes.count - 1) == has)
    }
}
