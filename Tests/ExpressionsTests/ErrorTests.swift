// What does not compile, where it says so, and what it suggests.

import Testing

@testable import WeirExpressions

@Suite struct ErrorTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let text: String
        let at: Int
        let message: String
        let meant: String?
        var testDescription: String { text }

        init(_ text: String, _ at: Int, _ message: String, _ meant: String? = nil) {
            (self.text, self.at, self.message, self.meant) = (text, at, message, meant)
        }
    }

    static let cases = [
        Case("", 0, "the expression is empty"),
        Case("request.hots == \"a\"", 0, "unknown property \"request.hots\"", "request.host"),
        Case(
            "request.headers[\"a\"] == \"b\"", 0, "unknown property \"request.headers\"",
            "request.header.NAME"),
        Case("request.method = \"GET\"", 15, "\"=\" is no operator here", "=="),
        Case("request.path ~ \"^/a\"", 13, "\"~\" is no operator here", "matches"),
        Case("request.path =~ \"^/a\"", 13, "\"=~\" is no operator here", "matches"),
        Case("true and false", 5, "\"and\" does not fit here", "&&"),
        Case("not true", 0, "unknown property \"not\"", "!"),
        Case("request.path startswith \"/\"", 13, "\"startswith\" does not fit here", "startsWith"),
        Case("request.path.startsWith(\"/\")", 0, "\"startsWith\" is an operator"),
        Case("len(request.path) > 1", 0, "unknown function \"len\"", "length"),
        Case("lowr(request.path) == \"a\"", 0, "unknown function \"lowr\"", "lower"),
        Case("request.header.a == null", 20, "there is no \"null\""),
        Case("request.path", 0, "\"request.path\" is a text, and no condition", "has(request.path)"),
        Case("\"a\"", 0, "\"a\" is a text, and no condition"),
        Case("request.path == 5", 16, "\"request.path\" is a text, and this is a number", "\"5\""),
        Case("response.status == \"200\"", 19, "\"response.status\" is a number, and this is a text", "200"),
        Case(
            "request.duration > 500", 19, "\"request.duration\" is a duration, and this is a number", "500ms"),
        Case("request.duration > 5", 19, "\"request.duration\" is a duration, and this is a number", "5s"),
        Case("response.bytes > 5000", 17, "\"response.bytes\" is a size, and this is a number", "5000B"),
        Case("request.duration > 10KiB", 19, "\"request.duration\" is a duration, and this is a size"),
        Case("request.duration > 10sec", 21, "unknown unit \"sec\""),
        Case("response.bytes > 10mb", 19, "unknown unit \"mb\"", "10MB"),
        Case("client.ip == 10.0.0.1", 13, "\"10.0.0.1\" is not a whole number", "\"10.0.0.1\""),
        Case("client.ip == \"10.0.0.256\"", 13, "\"10.0.0.256\" is no address"),
        Case("client.ip == \"10.0.0.0/8\"", 13, "\"10.0.0.0/8\" is a block of addresses"),
        Case(
            "client.ip in [\"10.1.0.0/8\"]", 14, "\"10.1.0.0/8\" has bits set after its prefix",
            "\"10.0.0.0/8\""),
        Case("client.ip in [\"10.0.0.0/33\"]", 14, "\"10.0.0.0/33\" has no prefix length (0 to 32)"),
        Case("client.ip in \"10.0.0.0/8\"", 13, "\"in\" needs a list", "[\"10.0.0.0/8\"]"),
        Case("client.ip startsWith \"10.\"", 0, "an address before \"startsWith\""),
        Case("client.ip < \"10.0.0.1\"", 0, "an address cannot be compared with \"<\""),
        Case("client.ip in [10]", 14, "\"client.ip\" is an address"),
        Case("response.status in [\"200\"]", 20, "\"response.status\" is a number", "200"),
        Case("request.method in []", 19, "\"]\" does not fit here"),
        Case("request.method in [request.path]", 19, "a list has fixed values only"),
        Case(
            "request.method == \"get\"", 18, "methods are in upper case: this could never be found", "\"GET\""
        ),
        Case(
            "request.method in [\"GET\", \"put\"]", 26,
            "methods are in upper case: this could never be found", "\"PUT\""),
        Case(
            "lower(request.path) == \"/A\"", 23, "this is compared in lower case, and could never be found",
            "\"/a\""),
        Case(
            "request.host == \"A.example\"", 16, "this is compared in lower case, and could never be found",
            "\"a.example\""),
        Case(
            "request.host in [\"a.example\", \"B\"]", 30,
            "this is compared in lower case, and could never be found", "\"b\""),
        Case("lower(request.path) matches \"a\"", 0, "lower(…) before \"matches\""),
        Case("request.path matches request.host", 21, "no regular expression behind \"matches\""),
        Case("request.path contains request.host", 22, "a text of the request behind \"contains\""),
        Case("request.path contains \"\"", 22, "every text has an empty one in it"),
        Case("\"a\" == \"a\"", 0, "both sides are fixed"),
        Case("1 < 2 < 3", 6, "comparisons do not chain"),
        Case("(1 < 2)", 1, "both sides are fixed"),
        Case("!request.path == \"a\"", 0, "\"!\" stands before what is right of it only"),
        Case("request.path == \"a", 16, "the text has no end"),
        Case("(true", 5, "the expression ends too early"),
        Case("true)", 4, "\")\" does not fit here"),
        Case("true true", 5, "\"true\" does not fit here"),
        Case("request.header[] == \"a\"", 15, "\"]\" does not fit here"),
        Case("request.header[\"\"] == \"a\"", 15, "the name is empty"),
        Case("request.header[\"a b\"] == \"a\"", 15, "no field is called that"),
        Case("request.path[\"a\"] == \"a\"", 12, "\"request.path\" has no parts by name"),
        Case("request.header.a[\"b\"] == \"a\"", 16, "\"request.header.a\" has no parts by name"),
        Case("has(\"a\")", 4, "has(…) asks whether a property is there"),
        Case("has(request.path) == \"a\"", 0, "has(…) is a condition, and no value"),
        Case("int(client.port) > 1", 4, "a number in int(…)"),
        Case("int(\"5\") > 1", 4, "int(…) of a fixed value"),
        Case("int(request.path ?? request.host) > 1", 4, "\"??\" in int(…)"),
        Case("\"a\" ?? request.path == \"a\"", 7, "a fixed value is always there: this is never reached"),
        Case("request.path ?? 5 == \"a\"", 16, "a text and a number on the sides of \"??\""),
        Case("client.certificate.san == \"a\"", 0, "a list of texts cannot be compared with \"==\""),
        Case("client.certificate.verified > true", 0, "true and false have no order"),
        Case("request.path @ \"a\"", 13, "\"@\" has no meaning here"),
        Case("request.path == “a”", 16, "\"“\" has no meaning here"),
        Case("response.status == 9999999999999999999", 19, "the number is too large"),
        Case("?query == \"a\"", 0, "\"?\" is no operator here", "??"),
        Case("match.1 == \"a\"", 0, "unknown property \"match.1\""),
    ]

    @Test(arguments: cases) func saysWhere(_ wrong: Case) throws {
        let error = try #require(problem(wrong.text), "it compiles")
        #expect(error.position == wrong.at, "\(error)")
        #expect(error.message == wrong.message, "\(error)")
        #expect(error.suggestion == wrong.meant, "\(error)")
    }

    /// A property is not asked for before it is known.
    @Test func whatIsNotKnownYet() {
        #expect(
            problem("response.status == 200", known: .request)?.message
                == "\"response.status\" is not known here")
        #expect(
            problem("path.id == \"7\"", known: .request)?.expectation
                == "expected what is known before there is a route; it is known once there is a route")
        #expect(problem("path.id == \"7\"", known: .route) == nil)
        #expect(problem("has(error.reason)", known: .route) != nil)
        #expect(problem("has(error.reason)", known: .error) == nil)
        // Nor suggested.
        #expect(problem("response.statos == 200", known: .request)?.suggestion == nil)
        #expect(problem("response.statos == 200", known: .end)?.suggestion == "response.status")
    }

    @Test func bounds() {
        func repeated(_ text: String, _ count: Int, _ separator: String) -> String {
            Array(repeating: text, count: count).joined(separator: separator)
        }
        let path = String(repeating: "a", count: ExpressionLimits.bytes - 18)
        #expect(problem("request.path == \"\(path)\"") == nil)
        #expect(problem("request.path == \"\(path)a\"")?.position == ExpressionLimits.bytes)
        #expect(problem(repeated("true", ExpressionLimits.tests, " || ")) == nil)
        #expect(
            problem(repeated("true", ExpressionLimits.tests + 1, " || "))?.message
                == "the expression has 129 comparisons")
        let open = String(repeating: "(", count: ExpressionLimits.depth - 1)
        let close = String(repeating: ")", count: ExpressionLimits.depth - 1)
        #expect(problem("\(open)true\(close)") == nil)
        #expect(problem("(\(open)true\(close))")?.message == "nested deeper than 32 levels")
        #expect(problem(String(repeating: "!", count: 31) + "true") == nil)
        #expect(
            problem(String(repeating: "!", count: 32) + "true")?.message == "nested deeper than 32 levels")
        // 65 for each, of 2,000.
        #expect(problem(repeated("request.path matches \"a\"", 30, " || ")) == nil)
        #expect(
            problem(repeated("request.path matches \"a\"", 31, " || "))?.message.contains("costs 2015 steps")
                == true)
        let long = String(repeating: "a", count: ExpressionLimits.searchBytes)
        #expect(problem("request.path contains \"\(long)\"") == nil)
        #expect(problem("request.path contains \"\(long)a\"")?.message == "the text is too long to look for")
    }

    /// Whatever is cut off somewhere is accepted or refused at a place within it.
    @Test func nothingIsOutOfPlace() {
        for wrong in Self.cases {
            for count in 0...wrong.text.count {
                let text = String(wrong.text.prefix(count))
                guard let error = problem(text) else { continue }
                #expect(error.position <= text.utf8.count, "\(text)")
                #expect(!error.message.isEmpty)
            }
        }
    }
}

@Suite struct PropertyTableTests {
    @Test func everyNameIsOneOnly() {
        var names: Set<String> = []
        for property in Property.allCases {
            let row = property.definition
            for name in [row.name] + [row.alias].compactMap({ $0 }) {
                #expect(names.insert(name).inserted, "\(name) stands twice")
            }
            #expect(row.doc.hasSuffix("."), "\(row.name)")
            #expect(Property.written(row.isNamed ? row.name + "x" : row.name)?.property == property)
            if let alias = row.alias {
                #expect(Property.written(row.isNamed ? alias + "x" : alias)?.property == property)
            }
            #expect(Property.table.contains("`\(row.text)`"))
        }
        #expect(Property.written("request.query") == Property.Written(property: .query, nameAt: nil))
        #expect(
            Property.written("request.query.a.b") == Property.Written(property: .queryParameter, nameAt: 14))
        #expect(Property.written("cookie.a") == Property.Written(property: .cookie, nameAt: 7))
        #expect(Property.written("request") == nil)
    }

    @Test func whatIsKnownGrows() {
        for property in Property.allCases {
            #expect(Known.end.contains(property))
            if Known.request.contains(property) { #expect(Known.route.contains(property)) }
        }
        #expect(!Known.route.contains(.errorStatus))
        #expect(Known.error.contains(.errorStatus))
        #expect(!Known.error.contains(.status))
    }
}
