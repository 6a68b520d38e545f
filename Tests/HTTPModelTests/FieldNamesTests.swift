import WeirHTTPModel
import Testing

@Suite struct FieldNamesTests {
    private func with<Result>(_ name: String, _ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
        let bytes = StaticBytes(name)
        return withExtendedLifetime(bytes) { body(bytes.base, bytes.count) }
    }

    /// Every place in names of every length, words that overlap included.
    @Test func underscoresAreFoundWherever() {
        for count in 0...40 {
            // Bytes next to it in ASCII, and such as a carry could be taken for.
            for filler in ["-", "^", "`", "a", "\u{1}", "\u{5E}"] {
                let name = String(repeating: filler, count: count)
                #expect(!with(name, FieldNames.hasUnderscore))
                for at in 0..<count {
                    var bytes = Array(name.utf8)
                    bytes[at] = UInt8(ascii: "_")
                    #expect(with(String(decoding: bytes, as: UTF8.self), FieldNames.hasUnderscore))
                }
            }
        }
    }

    @Test(arguments: [
        ("x_forwarded_for", true), ("X-FORWARDED_user", true), ("X_Real-IP", true), ("content_length", true),
        ("Transfer_Encoding", true), ("x_forwarded_", false), ("x_forwardedfor", false),
        ("x_real_ip_", false),
        ("x_user", false), ("_", false),
    ])
    func aliases(_ name: String, _ isGuarded: Bool) {
        #expect(with(name, FieldNames.isAliasOfGuarded) == isGuarded)
    }

    @Test func namesThatStandOnce() {
        #expect(FieldNames.standsOnce("Location") && FieldNames.standsOnce("content-type"))
        #expect(!FieldNames.standsOnce("Vary") && !FieldNames.standsOnce("Set-Cookie"))
    }
}
