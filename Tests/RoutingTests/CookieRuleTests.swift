import WeirHTTPModel
import Testing

@testable import WeirRouting

@Suite struct CookieRuleTests {
    private func turn(
        _ value: String, path: (String, String)? = nil, domain: CookieRule.Domain? = nil, secure: Bool? = nil,
        sameSite: CookieRule.SameSite? = nil, httpOnly: Bool = false
    ) -> String {
        let rule = CookieRule(
            path: path.map { PathPrefix(from: $0.0, to: $0.1) }, domain: domain, secure: secure,
            sameSite: sameSite, httpOnly: httpOnly)
        let value = StaticBytes(value)
        return withExtendedLifetime(value) { written { rule.write(value.bytes, into: &$0) } }
    }

    @Test(arguments: [
        "a=b", "a=b; Path=/; HttpOnly", "a=\"x; y\"; Path=/x", "a=b=c;;  ; =; Unknown=1;Path", "", ";", "a",
        "=b",
        "a=b; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Max-Age=5",
    ])
    func withoutRulesEveryByteStays(value: String) {
        #expect(turn(value) == value)
    }

    @Test(arguments: [
        ("a=b; Path=/", "a=b; Path=/shop"), ("a=b;path=/x;Secure", "a=b;path=/shop/x;Secure"),
        ("a=b; PATH = /x ; HttpOnly", "a=b; PATH = /shop/x ; HttpOnly"),
        ("a=b; Path=/x/", "a=b; Path=/shop/x/"),
        // Both count to some reader.
        ("a=b; Path=/x; Path=/y", "a=b; Path=/shop/x; Path=/shop/y"),
        // No paths: these stand for the request's own.
        ("a=b", "a=b"), ("a=b; Path", "a=b; Path"), ("a=b; Path=", "a=b; Path="),
        ("a=b; Path=\"/x\"", "a=b; Path=\"/x\""),
        ("a=b; Path=x", "a=b; Path=x"), ("Path=/x", "Path=/x"), ("a=b; XPath=/x", "a=b; XPath=/x"),
        ("__Host-a=b; Path=/; Secure", "__Host-a=b; Path=/; Secure"),
        ("__hOST-a=b; Path=/; Secure", "__hOST-a=b; Path=/; Secure"),
        ("__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/shop; Secure"),
    ])
    func paths(value: String, expected: String) {
        #expect(turn(value, path: ("/shop", "/")) == expected)
    }

    @Test func pathsOfAPrefixOfItsOwn() {
        #expect(turn("a=b; Path=/app", path: ("/shop", "/app")) == "a=b; Path=/shop")
        #expect(turn("a=b; Path=/app/x", path: ("/shop", "/app")) == "a=b; Path=/shop/x")
        #expect(turn("a=b; Path=/", path: ("/shop", "/app")) == "a=b; Path=/")
        #expect(turn("a=b; Path=/apple", path: ("/shop", "/app")) == "a=b; Path=/apple")
        #expect(turn("a=b; Path=/app", path: ("/", "/app")) == "a=b; Path=/")
        #expect(turn("a=b; Path=/", path: ("/", "/")) == "a=b; Path=/")
        // Here two slashes name no host.
        #expect(turn("a=b; Path=/app//x", path: ("/", "/app")) == "a=b; Path=//x")
        // It would be two attributes.
        #expect(turn("a=b; Path=/app", path: ("/x;Domain=y", "/app")) == "a=b; Path=/app")
        #expect(turn("a=b; Path=/app", path: ("/x%3By", "/app")) == "a=b; Path=/x%3By")
    }

    @Test func domains() {
        let replace = CookieRule.Domain.replace(
            StaticBytes("app.internal"), with: StaticBytes("shop.example"))
        #expect(
            turn("a=b; Domain=app.internal; Path=/", domain: replace) == "a=b; Domain=shop.example; Path=/")
        #expect(turn("a=b; domain= .APP.internal", domain: replace) == "a=b; domain= shop.example")
        for value in [
            "a=b; Domain=x.app.internal", "a=b; Domain=", "a=b; Domain", "a=b",
            "__Host-a=b; Domain=app.internal",
        ] {
            #expect(turn(value, domain: replace) == value)
        }
        #expect(turn("a=b; Domain=x; Path=/;DOMAIN=y", domain: .remove) == "a=b; Path=/")
        #expect(turn("a=b; Domain", domain: .remove) == "a=b")
    }

    @Test(arguments: [
        (true, "a=b", "a=b; Secure"), (true, "a=b; secure", "a=b; secure"),
        (true, "Secure", "Secure; Secure"),
        (true, "a=b; Secure=1", "a=b; Secure=1"),
        (false, "a=b; Secure; HttpOnly", "a=b; HttpOnly"), (false, "a=b;SECURE", "a=b"),
        (false, "a=b", "a=b"),
        // Browsers would refuse them.
        (false, "__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
        (false, "__secure-a=b; Secure", "__secure-a=b; Secure"),
        (false, "__Http-a=b; Secure; HttpOnly", "__Http-a=b; Secure; HttpOnly"),
        (false, "a=b; Secure; SameSite=None", "a=b; Secure; SameSite=None"),
        (false, "a=b; Secure; SameSite=None; SameSite=Lax", "a=b; SameSite=None; SameSite=Lax"),
        (false, "a=b; Secure; Partitioned", "a=b; Secure; Partitioned"),
    ])
    func secure(secure: Bool, value: String, expected: String) {
        #expect(turn(value, secure: secure) == expected)
    }

    @Test func sameSiteAndHTTPOnly() {
        #expect(turn("a=b", sameSite: .lax) == "a=b; SameSite=Lax")
        #expect(turn("a=b; samesite = none; Path=/", sameSite: .strict) == "a=b; samesite=Strict; Path=/")
        // Without Secure browsers would refuse it.
        for (value, expected) in [
            ("a=b", "a=b; Secure; SameSite=None"), ("a=b; SameSite", "a=b; SameSite=None; Secure"),
            ("a=b; SameSite=Lax; Path=/", "a=b; SameSite=None; Path=/; Secure"),
            ("a=b; Secure", "a=b; Secure; SameSite=None"),
        ] {
            #expect(turn(value, sameSite: CookieRule.SameSite.none) == expected)
        }
        #expect(turn("a=b", httpOnly: true) == "a=b; HttpOnly")
        #expect(turn("a=b; HTTPONLY", httpOnly: true) == "a=b; HTTPONLY")
        #expect(
            turn("a=b; Path=/", secure: true, sameSite: .lax, httpOnly: true)
                == "a=b; Path=/; Secure; HttpOnly; SameSite=Lax")
        // The rule's SameSite decides whether it may go without Secure.
        #expect(turn("a=b; Secure; SameSite=None", secure: false, sameSite: .lax) == "a=b; SameSite=Lax")
    }

    @Test func theLinesThatAreMeant() {
        for (name, isMeant) in [
            ("Set-Cookie", true), ("set-cookie", true), ("Set-Cookie2", false), ("Cookie", false),
        ] {
            let bytes = StaticBytes(name)
            #expect(CookieRule.governs(bytes.base, bytes.count) == isMeant)
        }
    }
}
