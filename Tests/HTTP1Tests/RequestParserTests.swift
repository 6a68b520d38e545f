import WeirHTTPModel
import WeirBalancing
import Testing

@testable import WeirHTTP1

@Suite struct RequestParserTests {
    @Test func everyPartIsFound() {
        let text = """
            POST /a/b.c?x=1&y=%zz HTTP/1.1\r
            Host: Example.com:8080\r
            Content-Length: 12\r
            X-Empty:\r
            x-spaced: \t  two words \t\r
            Accept: */*\r
            \r
            hello
            """
        let request = parseRequest(text)
        #expect(request.result == .complete)
        let head = request.head
        #expect(head.method == .post && request.text(head.methodName) == "POST")
        #expect(head.version == .http11 && head.targetForm == .origin)
        #expect(request.text(head.target) == "/a/b.c?x=1&y=%zz")
        #expect(request.text(head.path) == "/a/b.c")
        #expect(head.hasQuery && request.text(head.query) == "x=1&y=%zz")
        #expect(request.text(head.authority) == "Example.com:8080")
        #expect(request.text(head.host) == "Example.com")
        #expect(head.framing == .length && head.contentLength == 12)
        #expect(head.wantsKeepAlive && !head.expectsContinue && !head.wantsUpgrade && !head.acceptsTrailers)
        #expect(head.fieldCount == 5)
        #expect(request.field(2) == "X-Empty=")
        #expect(request.field(3) == "x-spaced=two words")
        #expect(request.fields.map(\.id) == [.host, .contentLength, .other, .other, .accept])
        #expect(Int(head.byteCount) == text.utf8.count - 5)
        #expect(request.hopByHop == [])
    }

    /// RFC 9110 §17.10: what is dropped is not in the table, so nobody finds it.
    @Test(arguments: [
        (UnderscoreRule.pass, ["Host", "x_a", "long-name-with-an_underscore", "X-B"]),
        (.drop, ["Host", "X-B"]),
    ])
    func underscores(_ rule: UnderscoreRule, _ left: [String]) {
        var limits = HeadLimits()
        limits.underscores = rule
        let request = parseRequest(
            "GET / HTTP/1.1\r\nX_Forwarded_For: 1\r\nHost: a\r\nx_a: 1\r\nlong-name-with-an_underscore: 2\r\nX-B: 3\r\n\r\n",
            limits: limits)
        #expect(request.result == .complete)
        #expect(request.fields.map { request.text($0.name) } == left)
        limits.underscores = .refuse
        #expect(
            parseRequest("GET / HTTP/1.1\r\nHost: a\r\nX_A: 1\r\n\r\n", limits: limits).result
                == .malformed(.fieldNameUnderscore, at: 25))
    }

    @Test func everyPrefixIsIncompleteAndTheWholeIsComplete() {
        let samples = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\nGET /a%41/..a/.b/c.?q?/ HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:80\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost:\r\nTE: trailers\r\n\r\n",
            "GET https://Example.com?q HTTP/1.1\r\nhost: example.com:443\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "POST /x HTTP/1.1\r\nhost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, y\r\nX: 1\r\nY: 0123456789abcdef\u{e9}\r\n\r\n",
        ]
        for text in samples {
            let bytes = latin1(text)
            for count in 0..<bytes.count {
                #expect(parseRequest(bytes[..<count]).result == .incomplete, "\(text.prefix(count))")
            }
            let whole = parseRequest(bytes)
            #expect(whole.result == .complete, "\(text.debugDescription)")
            #expect(Int(whole.head.byteCount) == bytes.count)
            #expect(parseRequest(bytes + latin1("G\u{0}T")).head.byteCount == whole.head.byteCount)
        }
    }

    @Test func methods() {
        for method in WeirHTTPModel.Method.allCases where method != .other && method != .connect {
            #expect(parseRequest("\(method.name) / HTTP/1.1\r\nHost: a\r\n\r\n").head.method == method)
        }
        for name in ["get", "GETS", "PURGE", "M-SEARCH", "X", "PUTT", "OPTION5", "DELETF"] {
            let request = parseRequest("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(request.result == .complete && request.head.method == .other)
            #expect(request.text(request.head.methodName) == name)
        }
    }

    @Test func targetForms() {
        let absolute = parseRequest("GET HTTP://A.b:80/c?d HTTP/1.1\r\nHost: a.B\r\n\r\n")
        #expect(absolute.result == .complete && absolute.head.targetForm == .absolute)
        #expect(absolute.text(absolute.head.authority) == "A.b:80")
        #expect(absolute.text(absolute.head.host) == "A.b")
        #expect(absolute.text(absolute.head.path) == "/c" && absolute.text(absolute.head.query) == "d")

        let bare = parseRequest("GET https://a HTTP/1.1\r\nHost: a:443\r\n\r\n")
        #expect(bare.result == .complete && bare.head.path.isEmpty && !bare.head.hasQuery)

        let old = parseRequest("GET http://a/ HTTP/1.0\r\n\r\n")
        #expect(old.result == .complete && old.text(old.head.authority) == "a")

        let connect = parseRequest("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]\r\n\r\n")
        #expect(connect.result == .complete && connect.head.targetForm == .authority)
        #expect(connect.text(connect.head.authority) == "[::1]:443")
        #expect(connect.text(connect.head.host) == "[::1]" && connect.head.path.isEmpty)

        let asterisk = parseRequest("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(asterisk.result == .complete && asterisk.head.targetForm == .asterisk)
        #expect(asterisk.text(asterisk.head.authority) == "a" && asterisk.head.path.isEmpty)
    }

    @Test(
        arguments: [
            ("/a", []), ("/a%41", .escapes), ("/a/../b", .dotSegments), ("/.", .dotSegments),
            ("//", .emptySegments),
            ("/a//", .emptySegments), ("/a/", []), ("/a%2fb", [.escapes, .encodedSeparators]), ("/...", []),
            ("/a%5Cb", [.escapes, .encodedSeparators]), ("/.//a", [.dotSegments, .emptySegments]),
            ("/a?//../%2f", []),
        ] as [(String, PathTraits)])
    func traitsOfPaths(path: String, traits: PathTraits) {
        let request = parseRequest("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
        #expect(request.result == .complete && request.head.pathTraits == traits)
    }

    @Test(
        arguments: [
            ("/a/../b", .dotSegment, 3), ("/.", .dotSegment, 1), ("//a", .pathAmbiguous, 1),
            ("/a//", .pathAmbiguous, 3), ("/a%2Fb", .pathAmbiguous, 2), ("/a%5cb", .pathAmbiguous, 2),
        ] as [(String, Violation, Int)])
    func ambiguousPathsCanBeRefused(path: String, violation: Violation, at: Int) {
        var limits = HeadLimits()
        limits.refusesAmbiguousPaths = true
        let request = parseRequest("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n", limits: limits)
        #expect(request.result == .malformed(violation, at: at + 4))
        #expect(parseRequest("GET /a%41/ HTTP/1.1\r\nHost: a\r\n\r\n", limits: limits).result == .complete)
    }

    @Test func pathsThatAreNotDotSegments() {
        let paths = [
            "//", "/...", "/.a", "/a.", "/..a", "/%2e%2e%2e", "/%2ea", "/a/.well-known/x", "/%2", "/;..",
            "/[a]|^",
            "/a;b=c,d:e@f!$&'()*+", "/~x", "/%41%ff",
        ]
        for path in paths where path != "/%2" {
            let request = parseRequest("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(request.result == .complete && request.text(request.head.path) == path, "\(path)")
        }
        for query in ["", "?", "a=b/c", "%", "%zz", "%00", "/../", "`{}|\\^[]"] {
            let request = parseRequest("GET /?\(query) HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(request.result == .complete && request.text(request.head.query) == query, "\(query)")
            #expect(request.head.hasQuery)
        }
    }

    @Test func hosts() {
        let valid = [
            "": "", "a": "a", "a.b.": "a.b.", "a-b_c~": "a-b_c~", "1.2.3.4:0": "1.2.3.4", "a:": "a",
            "a:00080": "a",
            "a:65535": "a", "[::]": "[::]", "[::1]:1": "[::1]", "[1:2:3:4:5:6:7:8]": "[1:2:3:4:5:6:7:8]",
            "[1::8]": "[1::8]", "[1:2:3:4:5:6:7::]": "[1:2:3:4:5:6:7::]", "[::1.2.3.4]": "[::1.2.3.4]",
            "[1:2:3:4:5:6:7.8.9.0]": "[1:2:3:4:5:6:7.8.9.0]", "[FE80::aB]:80": "[FE80::aB]",
        ]
        for (value, host) in valid {
            let request = parseRequest("GET / HTTP/1.1\r\nHost: \(value)\r\n\r\n")
            #expect(request.result == .complete, "\(value)")
            #expect(request.text(request.head.host) == host)
            #expect(request.text(request.head.authority) == value)
        }
    }

    @Test func persistence() {
        func wants(_ version: String, _ fields: String...) -> Bool {
            let lines = fields.map { $0 + "\r\n" }.joined()
            let request = parseRequest("GET / HTTP/\(version)\r\nHost: a\r\n\(lines)\r\n")
            #expect(request.result == .complete)
            return request.head.wantsKeepAlive
        }
        #expect(wants("1.1"))
        #expect(wants("1.1", "Connection: Keep-Alive"))
        #expect(!wants("1.1", "Connection: CLOSE"))
        #expect(!wants("1.1", "Connection: x, ,close ,"))
        #expect(!wants("1.1", "Connection: close", "Connection: keep-alive"))
        #expect(!wants("1.1", "Connection: keep-alive", "connection: close"))
        #expect(!wants("1.0"))
        #expect(wants("1.0", "Connection: keep-alive"))
        #expect(!wants("1.0", "Connection: keep-alive, close"))
        #expect(!wants("1.0", "Proxy-Connection: keep-alive"))
    }

    @Test func hopByHopFieldsAreMarked() {
        let request = parseRequest(
            """
            GET / HTTP/1.1\r
            Host: a\r
            X-Secret: 1\r
            Connection: close, x-SECRET, Cookie\r
            Cookie: c\r
            Keep-Alive: timeout=5\r
            Proxy-Connection: x\r
            TE: gzip;q=0.5, Trailers\r
            Trailer: x\r
            Transfer-Encoding: CHUNKED\r
            Upgrade: websocket\r
            HTTP2-Settings: x\r
            X-Secrets: 2\r
            X-SECRET: 3\r
            \r

            """)
        #expect(request.result == .complete)
        #expect(
            request.hopByHop == [
                "X-Secret", "Connection", "Cookie", "Keep-Alive", "Proxy-Connection", "TE",
                "Transfer-Encoding", "Upgrade", "HTTP2-Settings", "X-SECRET",
            ])
        #expect(request.head.framing == .chunked && request.head.acceptsTrailers)
        #expect(!request.head.wantsUpgrade)
    }

    @Test func upgradeNeedsBothFieldsAndHTTP11() {
        func wants(_ version: String, _ fields: String) -> Bool {
            parseRequest("GET / HTTP/\(version)\r\nHost: a\r\n\(fields)\r\n").head.wantsUpgrade
        }
        #expect(wants("1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"))
        #expect(!wants("1.1", "Connection: upgrade\r\n"))
        #expect(!wants("1.1", "Upgrade: websocket\r\n"))
        #expect(!wants("1.1", "Connection: upgrade\r\nUpgrade:\r\n"))
        #expect(!wants("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n"))
    }

    @Test func expectationsCountFromHTTP11On() {
        #expect(
            parseRequest("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n").head.expectsContinue)
        let old = parseRequest("GET / HTTP/1.0\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n")
        #expect(old.result == .complete && !old.head.expectsContinue && !old.head.acceptsTrailers)
    }

    @Test func trailersAreTakenFromThoseWhoAsk() {
        func accepts(_ te: String) -> Bool {
            parseRequest("GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nTE: \(te)\r\n\r\n").head
                .acceptsTrailers
        }
        #expect(accepts("trailers") && accepts("gzip, Trailers"))
        #expect(!accepts("gzip") && !accepts("trailersx"))
    }

    @Test func contentLengths() {
        for (text, value) in [("0", 0), ("007", 7), ("9223372036854775807", Int.max)] {
            let head = parseRequest("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \(text)\r\n\r\n").head
            #expect(head.framing == .length && head.contentLength == UInt64(value))
        }
    }

    @Test func limitsHoldAtTheBound() {
        let request = latin1("GET /0123456789 HTTP/1.1\r\nHost: a\r\nXXXX: y\r\n\r\n")
        func result(_ change: (inout HeadLimits) -> Void) -> HeadResult {
            var limits = HeadLimits()
            change(&limits)
            return parseRequest(request, limits: limits).result
        }
        #expect(result { $0.bytesMax = request.count } == .complete)
        #expect(result { $0.bytesMax = request.count - 1 } == .tooLarge(.bytes))
        #expect(result { $0.fieldsMax = 2 } == .complete)
        #expect(result { $0.fieldsMax = 1 } == .tooLarge(.fields))
        #expect(result { $0.targetBytesMax = 11 } == .complete)
        #expect(result { $0.targetBytesMax = 10 } == .tooLarge(.target))
        #expect(result { $0.fieldNameBytesMax = 4 } == .complete)
        #expect(result { $0.fieldNameBytesMax = 3 } == .tooLarge(.fieldName))
        // Not waited for.
        #expect(parseRequest("GET /" + String(repeating: "a", count: 32_768)).result == .tooLarge(.target))
        #expect(parseRequest(String(repeating: "a", count: 65_536)).result == .tooLarge(.bytes))
        #expect(
            parseRequest("GET / HTTP/1.1\r\n" + String(repeating: "a", count: 1_025)).result
                == .tooLarge(.fieldName))
    }

    /// Names and values are scanned in blocks of sixteen bytes where as many are left: every length of
    /// name and value, with the byte that matters in every place of a block.
    @Test func blocksAreScannedLikeBytes() {
        for nameCount in 1...40 {
            for valueCount in 0...40 {
                let name = String(repeating: "n", count: nameCount)
                let value = String(repeating: "v", count: valueCount)
                let request = parseRequest("GET / HTTP/1.1\r\nHost: a\r\n\(name): \(value)\r\n\r\n")
                #expect(request.result == .complete && request.field(1) == "\(name)=\(value)")
            }
        }
        let start = latin1("GET / HTTP/1.1\r\nHost: a\r\nX:")
        for place in 0..<40 {
            for byte in UInt8.min...UInt8.max {
                var value = [UInt8](repeating: 118, count: 41)
                value[place] = byte
                let request = parseRequest(start + value + latin1("\r\n\r\n"))
                let isText = byte >= 0x20 && byte != 0x7F || byte == 9
                if isText {
                    #expect(request.result == .complete)
                } else {
                    let violation: Violation =
                        byte == 13 ? .bareCR : byte == 10 ? .bareLF : .fieldValueByteInvalid
                    #expect(request.result == .malformed(violation, at: start.count + place))
                }
                var name = [UInt8](repeating: 110, count: 41)
                name[place] = byte
                let named = parseRequest(start.dropLast(2) + name + latin1(": y\r\n\r\n"))
                let isToken = ByteClass.contains(byte, ByteClass.token)
                #expect((named.result == .complete) == (isToken || byte == 58 && place > 0))
            }
        }
    }

    /// Random bytes around valid requests: no answer may point outside the bytes, and a prefix never
    /// contradicts the whole.
    @Test func mutatedRequestsAreJudgedConsistently() {
        var random = SeededRandom(seed: 20_240_601)
        let seed = latin1(
            "POST /a/b?c=%41 HTTP/1.1\r\nHost: example.com:80\r\nConnection: keep-alive, x\r\nX: y z\r\nContent-Length: 3\r\n\r\nabc"
        )
        let alphabet = latin1("\r\n\t :;,=%./?#@[]\u{0}\u{7f}\u{ff}0aAzH*\"\\")
        var outcomes = Set<Int>()
        for _ in 0..<3_000 {
            var bytes = seed
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let at = Int.random(in: 0..<bytes.count, using: &random)
                let byte = alphabet[Int.random(in: 0..<alphabet.count, using: &random)]
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[at] = byte
                case 1: bytes.insert(byte, at: at)
                default: bytes.remove(at: at)
                }
            }
            let whole = parseRequest(bytes).result
            let cut = Int.random(in: 0...bytes.count, using: &random)
            let part = parseRequest(bytes[..<cut]).result
            #expect(part == .incomplete || part == whole, "\(bytes) cut at \(cut)")
            switch whole {
            case .complete: outcomes.insert(0)
            case .incomplete: outcomes.insert(1)
            case .malformed(let violation, let at):
                #expect(at >= 0 && at < bytes.count && violation != .none)
                outcomes.insert(2)
            case .tooLarge: outcomes.insert(3)
            }
        }
        #expect(outcomes.isSuperset(of: [0, 2]))
    }
}
