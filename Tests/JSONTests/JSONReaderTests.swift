// What is JSON and what is not: every rule of RFC 8259 from both sides, places of errors, bounds.

import WeirJSON
import Testing

@Suite("JSON reader")
struct JSONReaderTests {
    /// Tokens as short texts: what came, in order.
    static func tokens(_ bytes: [UInt8], _ limits: JSONLimits = JSONLimits()) throws(JSONError) -> [String] {
        try JSONReader.read(bytes.span, limits: limits) { (reader) throws(JSONError) in
            var tokens: [String] = []
            while true {
                switch try reader.next() {
                case .objectStart: tokens.append("{")
                case .objectEnd: tokens.append("}")
                case .arrayStart: tokens.append("[")
                case .arrayEnd: tokens.append("]")
                case .name(let name): tokens.append("name \(name.string)")
                case .string(let text): tokens.append("string \(text.string)")
                case .number(let number):
                    tokens.append("number \(String(decoding: number.raw, as: UTF8.self))")
                case .bool(let flag): tokens.append("\(flag)")
                case .null: tokens.append("null")
                case .end: return tokens
                }
            }
        }
    }

    static func error(_ bytes: [UInt8], _ limits: JSONLimits = JSONLimits()) -> JSONError? {
        do {
            _ = try tokens(bytes, limits)
            return nil
        } catch {
            return error
        }
    }

    @Test("Tokens come in the order of the text")
    func tokens() throws {
        let text = " {\"a\" : [1, -0.5e+3 ,\"\\u00e9\",true\n,false,null,[],{}] ,\"\":{\"b\":\"c\"}}\r\n\t"
        let expected = [
            "{", "name a", "[", "number 1", "number -0.5e+3", "string é", "true", "false", "null", "[", "]",
            "{",
            "}", "]", "name ", "{", "name b", "string c", "}", "}",
        ]
        #expect(try Self.tokens(Array(text.utf8)) == expected)
    }

    @Test(
        "Accepted",
        arguments: [
            "null", "\"\"", "0", "-0", "1e5", "1E-5", "10.01e+0", "[]", "{}", " [ ] ", "\"\u{7f}\"",
            "\"\u{ffff}\"",
            "\"\\u0000\"", "\"\\uD83D\\ude00\"", "\"\\/\\b\\f\"", "\"\u{feff}\"", "\"\u{2028}\"",
            "{\"a\":1,\"a\":2}",
        ])
    func accepted(text: String) {
        #expect(Self.error(Array(text.utf8)) == nil)
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        let text: [UInt8]
        let error: JSONError
        init(_ text: String, _ violation: JSONViolation, _ offset: Int) {
            self.init(bytes: Array(text.utf8), violation, offset)
        }
        init(bytes: [UInt8], _ violation: JSONViolation, _ offset: Int) {
            text = bytes
            error = JSONError(violation, at: offset)
        }
        var testDescription: String { String(decoding: text, as: UTF8.self) }
    }

    static let refusedTexts: [Refused] = [
        Refused("", .empty, 0), Refused(" \n", .empty, 2),
        Refused("[", .unexpectedEnd, 1), Refused("{\"a\"", .unexpectedEnd, 4),
        Refused("{\"a\":", .unexpectedEnd, 5),
        Refused("\"a", .unexpectedEnd, 2), Refused("\"\\", .unexpectedEnd, 2),
        Refused("\"\\u00", .unexpectedEnd, 5),
        Refused("-", .unexpectedEnd, 1), Refused("1e", .unexpectedEnd, 2), Refused("tru", .unexpectedEnd, 3),
        Refused("\u{feff}1", .byteOrderMark, 0),
        Refused("[1,]", .expectedValue, 3), Refused("[,1]", .expectedValue, 1),
        Refused("'a'", .expectedValue, 0),
        Refused("+1", .expectedValue, 0), Refused(".5", .expectedValue, 0), Refused("NaN", .expectedValue, 0),
        Refused("True", .expectedValue, 0), Refused("trux", .expectedValue, 0),
        Refused("/**/1", .expectedValue, 0),
        Refused("[}", .expectedValue, 1), Refused("\u{a0}1", .expectedValue, 0),
        Refused("\u{c}1", .expectedValue, 0),
        Refused("{,}", .expectedName, 1), Refused("{\"a\":1,}", .expectedName, 7),
        Refused("{a:1}", .expectedName, 1),
        Refused("{1:1}", .expectedName, 1), Refused("{]", .expectedName, 1),
        Refused("{\"a\" 1}", .expectedColon, 5), Refused("{\"a\",1}", .expectedColon, 4),
        Refused("[1 2]", .expectedCommaOrEnd, 3), Refused("[1}", .expectedCommaOrEnd, 2),
        Refused("{\"a\":1]", .expectedCommaOrEnd, 6), Refused("[1:2]", .expectedCommaOrEnd, 2),
        Refused("1 2", .trailingBytes, 2), Refused("{}}", .trailingBytes, 2),
        Refused("null#", .trailingBytes, 4),
        Refused("nullx", .trailingBytes, 4), Refused("0x1", .trailingBytes, 1),
        Refused("1,", .trailingBytes, 1),
        Refused("1\u{0}", .trailingBytes, 1),
        Refused("01", .badNumber, 1), Refused("-01", .badNumber, 2), Refused("1.", .unexpectedEnd, 2),
        Refused("[1.]", .badNumber, 3), Refused("[-]", .badNumber, 2), Refused("[1e+]", .badNumber, 4),
        Refused("-Infinity", .badNumber, 1),
        Refused("\"\n\"", .controlCharacter, 1), Refused("\"\u{0}\"", .controlCharacter, 1),
        Refused("\"a\u{1f}\"", .controlCharacter, 2),
        Refused("\"\\x41\"", .badEscape, 1), Refused("\"\\U0041\"", .badEscape, 1),
        Refused("\"\\u00g0\"", .badEscape, 1),
        Refused("\"\\'\"", .badEscape, 1),
        Refused("\"\\ud800\"", .loneSurrogate, 1), Refused("\"\\udc00\"", .loneSurrogate, 1),
        Refused("\"\\ud800\\ud800\"", .loneSurrogate, 1), Refused("\"\\ude00\\ud83d\"", .loneSurrogate, 1),
        Refused("\"\\ud800a\"", .loneSurrogate, 1), Refused("\"\\ud800\\n\"", .loneSurrogate, 1),
        Refused("{\"\\ud800\":1}", .loneSurrogate, 2),
        Refused(bytes: [0x22, 0xff, 0x22], .notUTF8, 1),
        Refused(bytes: [0x22, 0xc0, 0xaf, 0x22], .notUTF8, 1),
        Refused(bytes: [0x22, 0xe0, 0x80, 0xaf, 0x22], .notUTF8, 1),
        Refused(bytes: [0x22, 0xed, 0xa0, 0x80, 0x22], .notUTF8, 1),
        Refused(bytes: [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], .notUTF8, 1),
        Refused(bytes: [0x22, 0xc3, 0x22], .notUTF8, 1), Refused(bytes: [0x22, 0xe2, 0x82], .notUTF8, 1),
        Refused(bytes: [0x31, 0x00], .trailingBytes, 1),
        // UTF-16.
        Refused(bytes: [0xff, 0xfe, 0x31, 0x00], .expectedValue, 0),
        Refused(bytes: [0x00, 0x31], .expectedValue, 0),
    ]

    @Test("Refused, with what is wrong and where", arguments: refusedTexts)
    func refused(refused: Refused) {
        #expect(Self.error(refused.text) == refused.error)
    }

    @Test("Every beginning of a text is refused, none with a value")
    func prefixes() {
        let text = Array(#"{"a":[1.5e3,"\ud83d\ude00é",true,{"b":null}],"c":""}"#.utf8)
        for length in 0..<text.count { #expect(Self.error(Array(text[..<length])) != nil) }
        #expect(Self.error(text) == nil)
    }

    @Test("An error stays")
    func errorStays() {
        JSONReader.read(Array("[1,]".utf8).span) { reader in
            for _ in 0..<2 { #expect(throws: Never.self) { try reader.next() } }
            for _ in 0..<3 {
                #expect(throws: JSONError(.expectedValue, at: 3)) { try reader.next() }
            }
        }
    }

    @Test("The end comes again and again")
    func end() throws {
        try JSONReader.read(Array("1 ".utf8).span) { reader in
            _ = try reader.next()
            for _ in 0..<3 {
                guard case .end = try reader.next() else {
                    Issue.record("not the end")
                    return
                }
            }
        }
    }

    @Test("Depth, size and values are bounded, to the one")
    func bounds() {
        func nested(_ depth: Int) -> [UInt8] {
            Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
        }
        #expect(Self.error(nested(64)) == nil)
        #expect(Self.error(nested(65)) == JSONError(.tooDeep, at: 64))
        #expect(Self.error(Array("{\"a\":[]}".utf8), JSONLimits(depth: 1)) == JSONError(.tooDeep, at: 5))
        #expect(Self.error([0x31], JSONLimits(depth: 0)) == nil)
        // The ceiling holds whatever is asked for, and all levels below it are told apart.
        #expect(Self.error(nested(512), JSONLimits(depth: .max)) == nil)
        #expect(Self.error(nested(513), JSONLimits(depth: .max)) == JSONError(.tooDeep, at: 512))
        let mixed = String(repeating: "[{\"a\":", count: 256)
        let back = String(repeating: "}]", count: 256)
        #expect(Self.error(Array((mixed + "1" + back).utf8), JSONLimits(depth: 512)) == nil)
        // An attack that never closes.
        #expect(
            Self.error([UInt8](repeating: UInt8(ascii: "["), count: 100_000)) == JSONError(.tooDeep, at: 64))

        #expect(Self.error(Array("[1]".utf8), JSONLimits(bytes: 3)) == nil)
        #expect(Self.error(Array("[1] ".utf8), JSONLimits(bytes: 3)) == JSONError(.tooLong, at: 3))
        #expect(Self.error(Array("[1,2]".utf8), JSONLimits(values: 3)) == nil)
        #expect(Self.error(Array("[1,2]".utf8), JSONLimits(values: 2)) == JSONError(.tooManyValues, at: 3))
    }

    @Test("A value is skipped with all that is in it")
    func skip() throws {
        for value in ["1", "[]", "{}", "[[1,{\"b\":[2]}],3]", "{\"x\":{\"y\":1},\"z\":[]}", "\"]}\""] {
            let text = Array("{\"a\":\(value),\"c\":7}".utf8)
            try JSONReader.read(text.span) { reader in
                for _ in 0..<2 { _ = try reader.next() }
                try reader.skipValue()
                guard case .name(let name) = try reader.next(), case .number(let seven) = try reader.next()
                else {
                    Issue.record("not behind \(value)")
                    return
                }
                #expect(name.equals("c"))
                #expect(seven.int64 == 7)
            }
        }
        #expect(throws: JSONError(.expectedValue, at: 6)) {
            try JSONReader.read(Array("[[1,2,]]".utf8).span) { reader in
                _ = try reader.next()
                try reader.skipValue()
            }
        }
    }

    @Test("Strings are compared by what they say")
    func strings() throws {
        let cases: [(String, StaticString, Bool)] = [
            (#""alg""#, "alg", true), (#""\u0061l\u0067""#, "alg", true), (#""al""#, "alg", false),
            (#""algo""#, "alg", false), (#""""#, "", true), (#""\ud83d\ude00\u20ac\u00e9""#, "😀€é", true),
            // Composed and not: two strings.
            (#""e\u0301""#, "é", false), (#""a\u0000""#, "a", false),
            (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t", true),
        ]
        for (text, expected, isEqual) in cases {
            try JSONReader.read(Array(text.utf8).span) { reader in
                guard case .string(let string) = try reader.next() else {
                    Issue.record("\(text) is no string")
                    return
                }
                #expect(string.equals(expected) == isEqual, "\(text)")
                #expect(string.string.utf8.elementsEqual("\(expected)".utf8) == isEqual, "\(text)")
            }
        }
    }

    @Test("Errors have lines and columns for people")
    func positions() {
        let text = Array("{\n  \"é\": tru}".utf8)
        let error = Self.error(text)
        #expect(error == JSONError(.expectedValue, at: 10))
        #expect(error.map { "\($0.position(in: text))" } == "(line: 2, column: 8)")
    }

    @Test("Each violation says something of its own")
    func descriptions() {
        #expect(Set(JSONViolation.allCases.map(\.description)).count == JSONViolation.allCases.count)
    }
}
