import WeirHTTPModel
import Testing

@testable import WeirRouting

/// A request for https://shop.example:8443 that went to app.internal:3000 = 10.0.0.5 with a Host of its own.
private struct Journey {
    var isSecure = true
    var authority = "shop.example:8443"
    var path = "/shop/a/b"
    var endpointIsSecure = false
    var host = "app.example"
    var address = "10.0.0.5"
    var port: UInt16 = 3000

    func turn(
        _ value: String, _ prefix: PathPrefix? = nil, _ field: LocationRule.Field = .reference,
        capacity: Int = 1024
    ) -> String {
        let texts = [authority, path, host, "app.internal", address, value].map { StaticBytes($0) }
        return withExtendedLifetime(texts) {
            let passage = Passage(
                isSecure: isSecure, authority: texts[0].bytes, path: texts[1].bytes,
                endpointIsSecure: endpointIsSecure, sentHost: texts[2].bytes, endpointName: texts[3].bytes,
                endpointAddress: texts[4].bytes, endpointPort: port)
            return written(capacity: capacity) {
                LocationRule(prefix: prefix).write(field, texts[5].bytes, passage, into: &$0)
            }
        }
    }
}

@Suite struct LocationRuleTests {
    @Test(arguments: [
        (
            "http://app.example/x?y=http://app.example/#z",
            "https://shop.example:8443/x?y=http://app.example/#z"
        ),
        ("http://APP.example:80/x", "https://shop.example:8443/x"),
        ("HTTP://app.example", "https://shop.example:8443"),
        ("http://10.0.0.5:3000/", "https://shop.example:8443/"),
        ("http://app.internal:3000?x", "https://shop.example:8443?x"),
        ("http://shop.example:8443/x", "https://shop.example:8443/x"),
        ("https://shop.example:8443/x", "https://shop.example:8443/x"),
        ("https://app.example/x", "https://shop.example:8443/x"),
        ("//app.example/x", "//shop.example:8443/x"),
    ])
    func itsOwnAddressesBecomeTheClients(value: String, expected: String) {
        #expect(Journey().turn(value) == expected)
    }

    @Test(arguments: [
        // Another host, another port.
        "https://login.example/", "http://app.example:8080/", "http://10.0.0.5/", "http://10.0.0.5:30001/",
        "http://app.example.evil.example/", "http://shop.example/", "http://xapp.example/",
        // No URL of http, or none that all read alike.
        "ftp://app.example/", "mailto:a@app.example", "http:app.example", "http:/app.example", "https:///x",
        "http://user@app.example/", "http://app.example:99999/", "http://app.example:80a/",
        "http:\\\\app.example/", "/\\app.example", "http://app.example /x", "http://[::1/",
        "http://[app.example]/", "",
        // Without a prefix paths are the client's own.
        "/x/../y", "x", "../x", "?q", "#f", "//", "///x",
    ])
    func everythingElseStays(value: String) {
        #expect(Journey().turn(value) == value)
    }

    @Test func schemes() {
        // The endpoint is spoken to in the clear, and so was the client: https is meant.
        let plain = Journey(isSecure: false, authority: "shop.example", host: "shop.example")
        #expect(plain.turn("https://shop.example/x") == "https://shop.example/x")
        #expect(plain.turn("http://10.0.0.5:3000/x") == "http://shop.example/x")
        let prefix = PathPrefix(from: "/shop", to: "/")
        #expect(plain.turn("https://shop.example/x", prefix) == "https://shop.example/shop/x")

        let secure = Journey(
            isSecure: false, authority: "shop.example", endpointIsSecure: true, host: "app.example", port: 443
        )
        #expect(secure.turn("https://10.0.0.5/x") == "http://shop.example/x")
        #expect(secure.turn("https://app.example:443/x") == "http://shop.example/x")
        #expect(secure.turn("http://10.0.0.5/x") == "http://10.0.0.5/x")
    }

    @Test(arguments: ["/%2e%2e/x", "/a/..;/x", "/%2e/x", "/a/..%2fx"])
    func aPathThatCannotBeTurnedKeepsTheAddress(path: String) {
        let prefix = PathPrefix(from: "/shop", to: "/")
        for value in ["http://10.0.0.5:3000", "//10.0.0.5:3000", "http://shop.example:8443"] {
            #expect(Journey().turn(value + path, prefix) == value + path)
        }
        // Where paths are the same on both sides there is nothing to read differently.
        #expect(Journey().turn("http://10.0.0.5:3000" + path) == "https://shop.example:8443" + path)
    }

    @Test func anotherSchemeOfTheEndpointsAddressStaysWhole() {
        let prefix = PathPrefix(from: "/shop", to: "/")
        let plain = Journey(isSecure: false, authority: "shop.example")
        for value in [
            "https://10.0.0.5:3000/login", "https://app.internal:3000/", "https://app.example/login",
        ] {
            #expect(plain.turn(value, prefix) == value)
        }
        let secure = Journey(endpointIsSecure: true)
        #expect(secure.turn("http://10.0.0.5:3000/x", prefix) == "http://10.0.0.5:3000/x")
    }

    @Test(arguments: [
        // By https with the port that it has anyway, and an endpoint that thinks it is http.
        (true, "shop.example:443", "http://shop.example/x", "https://shop.example:443/x"),
        (true, "shop.example:443", "http://shop.example:443/x", "https://shop.example:443/x"),
        (true, "shop.example:443", "https://shop.example/x", "https://shop.example:443/x"),
        (true, "shop.example", "https://shop.example:443/x", "https://shop.example/x"),
        (true, "shop.example", "http://shop.example:80/x", "https://shop.example/x"),
        (true, "shop.example:443", "http://shop.example:8080/x", "http://shop.example:8080/x"),
        (false, "shop.example:80", "http://shop.example/x", "http://shop.example:80/x"),
        (false, "shop.example", "http://shop.example.:80/x", "http://shop.example/x"),
        (false, "shop.example.", "http://shop.example/x", "http://shop.example./x"),
        (false, "shop.example", "http://app.internal.:3000/x", "http://shop.example/x"),
        (false, "shop.example", "http://shop.example../x", "http://shop.example../x"),
    ])
    func spellingsOfOneAuthority(isSecure: Bool, authority: String, value: String, expected: String) {
        #expect(Journey(isSecure: isSecure, authority: authority, host: authority).turn(value) == expected)
    }

    @Test func aDefaultPortOfTheHostThatARuleSent() {
        let journey = Journey(
            isSecure: false, authority: "shop.example", endpointIsSecure: true, host: "app.example:443")
        #expect(journey.turn("https://app.example/x") == "http://shop.example/x")
    }

    @Test func addressesOfIPv6() {
        let local = Journey(address: "::1")
        for host in [
            "[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0.0.0.1]",
        ] {
            #expect(local.turn("http://\(host):3000/") == "https://shop.example:8443/")
        }
        for host in ["[::2]", "[::1::]", "[1]", "[0000:0000:0000:0000:0000:0000:0000:0001:0000:0000:0001]"] {
            #expect(local.turn("http://\(host):3000/") == "http://\(host):3000/")
        }
        let journey = Journey(host: "[2001:DB8::1]:3000")
        #expect(journey.turn("http://[2001:db8::1]:3000/") == "https://shop.example:8443/")
        #expect(journey.turn("http://[2001:db8:0::1]:3000/") == "https://shop.example:8443/")
        #expect(journey.turn("http://[2001:db8::2]:3000/") == "http://[2001:db8::2]:3000/")
    }

    @Test func aClientThatNamedNoHost() {
        let journey = Journey(authority: "", host: "")
        #expect(journey.turn("http://10.0.0.5:3000/x") == "http://10.0.0.5:3000/x")
        #expect(journey.turn("/x", PathPrefix(from: "/shop", to: "/")) == "/shop/x")
    }

    @Test(arguments: [
        ("/x?/y", "/shop/x?/y"), ("/", "/shop/"), ("/x/../y", "/shop/y"), ("/../y", "/shop/y"),
        ("http://app.example", "https://shop.example:8443/shop/"),
        ("http://app.example?x", "https://shop.example:8443/shop/?x"),
        ("http://app.example/x#f", "https://shop.example:8443/shop/x#f"),
        ("//app.example/x", "//shop.example:8443/shop/x"),
        ("http://app.example//x", "https://shop.example:8443/shop//x"),
        ("http://login.example/x", "http://login.example/x"),
        // Relative to /a/b, which the endpoint was asked.
        ("c", "/shop/a/c"), ("../c?q", "/shop/c?q"), ("../../../c", "/shop/c"), ("./", "/shop/a/"),
        ("?q", "?q"), ("#f", "#f"), ("", ""),
        // Not everybody resolves these.
        ("/x/..;/y", "/x/..;/y"), ("/x/%2e%2e/y", "/x/%2e%2e/y"), ("/x/..%2fy", "/x/..%2fy"),
    ])
    func pathsGetTheirBeginningBack(value: String, expected: String) {
        #expect(Journey().turn(value, PathPrefix(from: "/shop", to: "/")) == expected)
    }

    @Test(arguments: [
        ("/app/x", "/shop/x"), ("/app", "/shop"), ("/application", "/application"), ("/x", "/x"),
        ("/app/../x", "/x"), ("http://app.example/x", "https://shop.example:8443/x"),
        // /app/a/b was asked.
        ("c", "/shop/a/c"), ("../../c", "/c"),
        // Resolved it begins with two slashes, and names no host.
        ("/app/..//evil.example", "/.//evil.example"), ("../..//evil.example", "/.//evil.example"),
        ("http://app.example/app/..//x", "https://shop.example:8443//x"),
    ])
    func pathsBesideThePrefixStay(value: String, expected: String) {
        #expect(Journey().turn(value, PathPrefix(from: "/shop", to: "/app")) == expected)
    }

    @Test func aPathNeverBecomesAHost() {
        let journey = Journey(path: "/a")
        #expect(journey.turn("/app//evil.example", PathPrefix(from: "/", to: "/app")) == "/.//evil.example")
        #expect(
            journey.turn("/app/x/..//evil.example", PathPrefix(from: "/", to: "/app")) == "/.//evil.example")
        // Behind an authority it is a path as it is.
        #expect(
            journey.turn("http://app.example/app//x", PathPrefix(from: "/", to: "/app"))
                == "https://shop.example:8443//x")
    }

    @Test(arguments: [
        ("5; url=http://app.example/x", "5; url=https://shop.example:8443/x"),
        ("0;URL=\"http://app.example/x\"; a", "0;URL=\"https://shop.example:8443/x\"; a"),
        ("1.5 , Url = 'http://app.example/x'", "1.5 , Url = 'https://shop.example:8443/x'"),
        ("5; url=//other.example", "5; url=//other.example"),
        ("5", "5"), ("5;", "5;"), ("5; url", "5; url"), ("5; url=", "5; url="), ("", ""),
        ("5; urn=http://app.example/", "5; urn=http://app.example/"),
        ("http://app.example/", "http://app.example/"),
        ("x; url=http://app.example/", "x; url=http://app.example/"),
        // "url=" may be missing, and the separator be blanks.
        ("0; http://app.example/x", "0; https://shop.example:8443/x"),
        ("0 url=http://app.example/x", "0 url=https://shop.example:8443/x"),
        ("0,url=http://app.example/x", "0,url=https://shop.example:8443/x"),
        ("0\tHTTP://app.example/x", "0\thttps://shop.example:8443/x"),
        (".5 ;'http://app.example/x' y", ".5 ;'https://shop.example:8443/x' y"),
        ("0; url=\" http://app.example/x \"", "0; url=\" https://shop.example:8443/x \""),
        ("0; url='http://app.example/x", "0; url='https://shop.example:8443/x"),
        ("0; url=\"\"", "0; url=\"\""), ("0; url='", "0; url='"), ("0; url=' ", "0; url=' "),
        // One separator, and something to separate.
        ("0;;http://app.example/x", "0;;http://app.example/x"),
        ("0http://app.example/x", "0http://app.example/x"),
        ("0; url http://app.example/x", "0; url http://app.example/x"),
        (" ;http://app.example/", " ;http://app.example/"),
    ])
    func refresh(value: String, expected: String) {
        #expect(Journey().turn(value, nil, .refresh) == expected)
    }

    @Test(arguments: [
        ("0; /x", "0; /shop/x"), ("0 url=/x", "0 url=/shop/x"), ("0,URL=/x", "0,URL=/shop/x"),
        ("0;x", "0;/shop/a/x"), ("0; url", "0; /shop/a/url"), ("0; url/x", "0; /shop/a/url/x"),
        ("0;url=\"/x\"y", "0;url=\"/shop/x\"y"), ("0; urn=x", "0; /shop/a/urn=x"), ("0;", "0;"), ("0 ", "0 "),
    ])
    func pathsInRefresh(value: String, expected: String) {
        #expect(Journey().turn(value, PathPrefix(from: "/shop", to: "/"), .refresh) == expected)
    }

    @Test func theFieldsThatAreMeant() {
        func field(_ name: String) -> LocationRule.Field? {
            let name = StaticBytes(name)
            return LocationRule.field(name.base, name.count)
        }
        #expect(field("Location") == .reference)
        #expect(field("CONTENT-LOCATION") == .reference)
        #expect(field("refresh") == .refresh)
        #expect(field("locations") == nil)
        #expect(field("link") == nil)
    }

    @Test func aWriterThatIsTooSmallIsLeftAlone() {
        let prefix = PathPrefix(from: "/shop", to: "/")
        for value in ["http://app.example/x/../y/z", "../../x", "/x", "http://app.example"] {
            for capacity in 0..<40 { _ = Journey().turn(value, prefix, capacity: capacity) }
        }
    }
}
