// What is written is read as what was meant, and by nothing else than a string where a string was.

import WeirJSON
import Testing

@Suite("JSON writer")
struct JSONWriterTests {
    static func written(_ body: (inout JSONWriter) -> Void) -> String {
        var writer = JSONWriter()
        body(&writer)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    @Test("Commas stand between values and nowhere else")
    func commas() {
        let text = Self.written {
            $0.object {
                $0.member("a", "x")
                $0.member("b", 1)
                $0.member("c", true)
                $0.member("d", [1, 2]) { $0.value($1) }
                $0.member("e", [String]()) { $0.value($1) }
                $0.key("f")
                $0.object { _ in }
                $0.key("g")
                $0.array {
                    $0.object { $0.member("h", 0.5) }
                    $0.null()
                    $0.array { _ in }
                }
                $0.member("i", JSONValue.bool(false))
            }
        }
        #expect(
            text == #"{"a":"x","b":1,"c":true,"d":[1,2],"e":[],"f":{},"g":[{"h":0.5},null,[]],"i":false}"#)
    }

    @Test("Every byte of ASCII comes back, and none that is special stands bare")
    func ascii() throws {
        for byte in UInt8(0)..<128 {
            let text = String(UnicodeScalar(byte))
            // In places that end, start and fill words of eight bytes.
            for text in [text, "1234567" + text + "890", text + text + "123456789" + text] {
                let quoted = Array(JSONWriter.quoted(text).utf8)
                #expect(try JSONValue(quoted).string == text)
                #expect(quoted.allSatisfy { 0x20...0x7e ~= $0 })
                if byte == 0x22 || byte == 0x5c || byte < 0x20 || byte == 0x7f {
                    #expect(quoted.count > text.utf8.count + 2)
                } else {
                    #expect(quoted.count == text.utf8.count + 2)
                }
            }
        }
    }

    @Test("Characters stay as they are")
    func unicode() {
        #expect(JSONWriter.quoted("é€😀\u{2028}\u{ffff}") == "\"é€😀\u{2028}\u{ffff}\"")
        #expect(JSONWriter.quoted("a\"é\n\\😀\u{1}") == #""a\"é\n\\😀\u0001""#)
        #expect(JSONWriter.quoted("") == "\"\"")
    }

    @Test("Names are escaped like strings")
    func names() throws {
        let text = Self.written { $0.object { $0.member("a\"b\n", 1) } }
        #expect(text == #"{"a\"b\n":1}"#)
    }

    @Test(
        "Numbers of 64 bits are their shortest texts, and come back",
        arguments: [
            (0.1, "0.1"), (-0.0, "-0.0"), (1, "1.0"), (1e21, "1e+21"), (.leastNonzeroMagnitude, "5e-324"),
            (1.0 / 3, "0.3333333333333333"),
            (.greatestFiniteMagnitude, "1.7976931348623157e+308"),
        ])
    func doubles(number: Double, text: String) throws {
        let written = Self.written { $0.value(number) }
        #expect(written == text)
        #expect(try JSONValue(Array(written.utf8)).number?.double?.bitPattern == number.bitPattern)
    }

    @Test("What is no number is null")
    func noNumbers() {
        for number in [Double.nan, .infinity, -.infinity] {
            #expect(Self.written { $0.value(number) } == "null")
            #expect(JSONNumber(number) == nil)
        }
    }

    @Test("Whole numbers are written whole")
    func wholeNumbers() {
        #expect(Self.written { $0.value(Int64.min) } == "-9223372036854775808")
        #expect(Self.written { $0.value(UInt64.max) } == "18446744073709551615")
    }

    @Test("A tree that was read is written as it was, blanks and escapes apart")
    func trees() throws {
        let text = #"{"a":[1,-0.50e+3,18446744073709551616,"\"é",true,null,{},[]],"b":{"c":""}}"#
        let value = try JSONValue(Array(text.utf8))
        #expect(Self.written { $0.value(value) } == text)
    }

    @Test("Nesting is bounded")
    func nesting() async {
        await #expect(processExitsWith: .failure) {
            func nest(_ writer: inout JSONWriter) { writer.array { nest(&$0) } }
            var writer = JSONWriter()
            nest(&writer)
        }
    }
}
