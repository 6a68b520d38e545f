// What conditions mean.

import Testing
import WeirHTTPModel

@testable import WeirExpressions

@Suite struct ConditionTests {
    @Test(arguments: [
        #"request.method == "GET""#, "request.method == 'GET'", #"request.method != "POST""#,
        #"request.header["x-tenant"] == "Blue""#, #"request.header["X-Tenant"] == "Blue""#,
        #"request.header.x-tenant == "Blue""#, #"lower(request.header.x-tenant) == "blue""#,
        #"request.method in ["HEAD", "GET"]"#, #"lower(request.method) in ["get"]"#,
        #"request.path startsWith "/Admin""#, #"request.path endsWith "x""#, #"request.path contains "min/""#,
        #"lower(request.path) contains "admin""#, #"lower(request.path) startsWith "/admin/""#,
        #"request.path matches "Admin""#, "client.certificate.verified", "!!client.certificate.verified",
        "client.certificate.verified == true", "false != client.certificate.verified",
        #"client.ip in ["192.0.2.0/24", "10.0.0.0/8"]"#, #"client.ip == "10.0.0.7""#,
        #""10.0.0.7" == client.ip"#,
        #"client.ip in ["::ffff:10.0.0.0/104"]"#, #"client.ip != "::1""#,
        #"ip(request.header.x-real-ip) in ["10.1.0.0/16"]"#, "int(request.header.content-length) > 1000",
        "1000 < int(request.header.content-length)", "length(request.path) == 8",
        "length(request.header.empty) == 0",
        "response.status >= 500 && response.status <= 502", "response.status in [404, 502]",
        "request.duration > 1s", "request.duration <= 1500ms", "response.bytes == 2KiB",
        "response.bytes < 1MB",
        #""DNS:a.example" in client.certificate.san"#, #"client.certificate.san contains "URI:spiffe://b/c""#,
        #"client.certificate.san startsWith "URI:spiffe://""#, #"client.certificate.san endsWith "example""#,
        #"client.certificate.san matches "spiffe""#, "has(request.header.empty)", "!has(request.header.none)",
        #"(request.header.none ?? request.header.x-tenant ?? "red") == "Blue""#,
        #"request.header.none ?? "red" == "red""#,
        #"lower(request.header.none ?? request.header.x-tenant) == "blue""#,
        #"(lower(request.header.none ?? request.header.x-tenant) ?? "none") == "blue""#,
        "true", "!false", "true || false && false", "!(false || !true)",
        #"request.path < "/Z""#, #"error.reason == "connect-refused""#,
        "request.method == \"GET\"\n  && true",
    ])
    func holds(text: String) throws {
        #expect(try outcome(text) == .holds, "\(text)")
        #expect(try outcome("!(\(text))") == .fails, "\(text)")
    }

    @Test(arguments: [
        #"request.method == "HEAD""#, #"request.header.x-tenant == "blue""#,
        "request.path startsWith \"/admin\"",
        #"client.ip in ["10.0.1.0/24"]"#, "request.duration > 1500ms", "response.status < 502",
        #"client.certificate.san contains "DNS:a""#, #""a.example" in client.certificate.san"#,
        #"client.certificate.san startsWith "spiffe""#, #"request.path matches "nothing""#,
        "(true || false) && false", #"request.path contains "/x/""#, #"request.path endsWith "/Admin/x/""#,
    ])
    func fails(text: String) throws {
        #expect(try outcome(text) == .fails, "\(text)")
        #expect(try outcome("!(\(text))") == .holds, "\(text)")
    }

    /// It equals nothing, is in nothing, and has no order; what is negated holds.
    @Test func whatIsMissing() throws {
        let missing = "request.header.none"
        for test in [
            #"\#(missing) == "a""#, #""a" == \#(missing)"#, "\(missing) == request.header.other",
            #"\#(missing) in ["a", ""]"#, #"\#(missing) < "z""#, #"\#(missing) >= """#,
            #"\#(missing) contains "a""#, #"\#(missing) startsWith "a""#, #"\#(missing) matches "a""#,
            "length(\(missing)) == 0", "length(\(missing)) < 1", "int(\(missing)) < 1",
            "int(\(missing)) >= 1",
            #"ip(\#(missing)) in ["::/0"]"#, "has(\(missing))", #"lower(\#(missing)) == "a""#,
            #"request.path startsWith \#(missing)"#,
        ] {
            #expect(try outcome(test) == .fails, "\(test)")
            #expect(try outcome("!(\(test))") == .holds, "\(test)")
        }
        #expect(try outcome(#"\#(missing) != "a""#) == .holds)
        #expect(try outcome("\(missing) != request.header.other") == .holds)
        // Nothing of a client over a Unix socket.
        #expect(try outcome(#"client.ip in ["::/0", "0.0.0.0/0"]"#, [:]) == .fails)
        #expect(try outcome("client.certificate.verified", [:]) == .fails)
    }

    @Test func numbersInTexts() throws {
        for (text, isNumber) in [
            ("0", true), ("00012", true), ("999999999999999999", true), ("1000000000000000000", false),
            ("-1", false),
            ("1.0", false), ("1e3", false), (" 1", false), ("", false), ("0x10", false),
        ] {
            #expect(
                try outcome("int(request.header.n) >= 0", ["request.header.n": .text(text)])
                    == (isNumber ? .holds : .fails), "\(text)")
        }
        // What is no number is missing, and may be put something else for.
        #expect(
            try outcome(
                "int(request.header.a) ?? int(request.header.b) ?? 7 == 7", ["request.header.a": .text("x")])
                == .holds)
    }

    @Test func aPatternAtItsLimitsIsNoAnswer() throws {
        #expect(try outcome(#"request.path matches "limit""#) == .unknown)
        #expect(try outcome(#"!(request.path matches "limit")"#) == .unknown)
        #expect(try outcome(#"request.path matches "limit" || true"#) == .unknown)
        // It was not asked.
        #expect(try outcome(#"true || request.path matches "limit""#) == .holds)
        #expect(try outcome(#"client.certificate.san matches "limit""#) == .unknown)
    }

    /// No more is looked at than has to be, from the left.
    @Test func whatIsDecidedAsksNoMore() throws {
        for (text, asked) in [
            ("has(request.path) && has(request.host)", ["request.path", "request.host"]),
            ("has(request.uri) && has(request.host)", ["request.uri"]),
            ("has(request.path) || has(request.host)", ["request.path"]),
            (
                "(has(request.path) || has(request.uri)) && has(request.host)",
                ["request.path", "request.host"]
            ),
            ("!(has(request.uri) && has(request.id)) && has(request.host)", ["request.uri", "request.host"]),
            (#"request.path ?? request.host == "a""#, ["request.path"]),
        ] {
            let condition = try ConditionExpression(text, known: .end)
            var values = Values(usual)
            _ = condition.evaluate(&values)
            #expect(values.asked == asked, "\(text)")
        }
    }

    @Test func precedence() throws {
        // && before ||, ! before both, ?? before comparisons.
        #expect(try outcome("false && false || true") == .holds)
        #expect(try outcome("true || true && false") == .holds)
        #expect(try outcome("!true || true") == .holds)
        #expect(try outcome("!(true || true)") == .fails)
    }

    @Test func textsAndTheirEscapes() throws {
        let values: [String: Values.Content] = ["request.header.a": .text(#"it's "\d" \"#)]
        #expect(try outcome(#"request.header.a == "it's \"\d\" \\""#, values) == .holds)
        #expect(try outcome(#"request.header.a == 'it\'s "\d" \\'"#, values) == .holds)
        // A backslash is itself where an expression needs it.
        #expect(
            try ConditionExpression(#"request.path matches "^\d+\.php$""#, known: .end).patterns[0].text
                == #"^\d+\.php$"#)
        #expect(try ConditionExpression(#"request.path matches "x""#, known: .end).patterns[0].position == 22)
    }

    @Test func keys() throws {
        func key(_ text: String) throws -> String? {
            let key = try KeyExpression(text, known: .end)
            var values = Values(usual)
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { room in
                var writer = ByteWriter(room.baseAddress!, capacity: 256)
                guard key.write(&values, to: &writer) else { return nil }
                return String(
                    decoding: UnsafeBufferPointer(start: writer.base, count: writer.count), as: UTF8.self)
            }
        }
        #expect(try key("client.ip") == "10.0.0.7")
        #expect(try key("client.port") == "50000")
        #expect(try key("lower(request.header.x-tenant)") == "blue")
        #expect(try key(#"request.header.none ?? request.header.x-tenant"#) == "Blue")
        #expect(try key(#"request.header.none ?? "anybody""#) == "anybody")
        #expect(try key("client.certificate.verified") == "true")
        #expect(try key("request.header.none") == nil)
        #expect(throws: ExpressionError.self) { try KeyExpression("\"same\"", known: .end) }
        #expect(throws: ExpressionError.self) { try KeyExpression("client.ip == \"::1\"", known: .end) }
    }

    @Test func whyItIsLikeThat() throws {
        let condition = try ConditionExpression(
            #"client.ip in ["10.0.0.0/8"] && !(request.header["x-tenant"] == "Red") && has(request.header.none)"#,
            known: .end)
        var values = Values(usual)
        let trace = condition.trace(&values)
        #expect(trace.outcome == .fails)
        #expect(
            trace.text == #"""
                client.ip in ["10.0.0.0/8"] is true (client.ip is "10.0.0.7"); \#
                request.header["x-tenant"] == "Red" is false (request.header["x-tenant"] is "Blue"); \#
                has(request.header.none) is false
                """#)
        var others = Values(["request.header.a": .text("x\u{1b}[2Jy")])
        #expect(
            try ConditionExpression(#"request.header.a == "b" || request.header.n == "b""#, known: .end)
                .trace(&others).text
                == #"request.header.a == "b" is false (request.header.a is "x?[2Jy"); request.header.n == "b" is false (request.header.n is missing)"#
        )
    }
}
