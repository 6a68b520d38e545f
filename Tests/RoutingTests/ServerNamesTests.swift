import Testing

@testable import WeirRouting

@Suite struct ServerNamesTests {
    private func names(_ patterns: String...) throws -> ServerNames {
        var names = ServerNames()
        for (i, pattern) in patterns.enumerated() {
            names.add(try HostPattern.parse(pattern), choice: i)
        }
        return names
    }

    @Test func theMostSpecificWins() throws {
        let names = try names("*", "*.example.com", "*.a.example.com", "API.example.com", "example.com")
        for (name, choice) in [
            ("api.example.com", 3), ("example.com", 4), ("b.example.com", 1), ("x.y.example.com", 1),
            ("b.a.example.com", 2), ("x.b.a.example.com", 2), ("a.example.com", 1),
            ("x.api.example.com", 1),
            ("notexample.com", 0), ("com", 0), ("example.com.evil.org", 0), ("192.0.2.1", 0),
        ] {
            #expect(names.choice(for: name) == choice, "\(name)")
        }
        #expect(names.choice(for: nil) == 0)
        #expect(names.other == 0)
    }

    @Test func withoutADefaultNobodyIsGuessed() throws {
        let names = try names("api.example.com", "*.w.example.com")
        for name in ["w.example.com", "api.example.co", "xapi.example.com", ".", "", "..", ".w.example.com"] {
            #expect(names.choice(for: name) == nil, "\(name)")
        }
        #expect(names.choice(for: nil) == nil)
        #expect(names.choice(for: "a.w.example.com") == 1)
        #expect(ServerNames().choice(for: "a") == nil)
    }

    @Test func ofTwoEqualNamesTheFirstStays() throws {
        #expect(try names("a.b", "A.B").choice(for: "a.b") == 0)
        #expect(try names("*.a.b", "*.A.B.").choice(for: "x.a.b") == 0)
        #expect(try names("*", "*").choice(for: nil) == 0)
    }
}
