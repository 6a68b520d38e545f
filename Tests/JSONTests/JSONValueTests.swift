// Trees: names that stand twice, numbers that lose nothing, and what is equal.

import WeirJSON
import Testing

@Suite("JSON values")
struct JSONValueTests {
    static func value(_ text: String) throws(JSONError) -> JSONValue { try JSONValue(Array(text.utf8)) }

    @Test("Members are reached by their names")
    func access() throws {
        let value = try Self.value(#"{"keys":[{"kid":"a","n":3},{"kid":"b"}],"ok":true,"none":null}"#)
        #expect(value["keys"]?.array?.count == 2)
        #expect(value["keys"]?.array?.first?["kid"]?.string == "a")
        #expect(value["keys"]?.array?.first?["n"]?.int64 == 3)
        #expect(value["ok"]?.bool == true)
        #expect(value["none"] == .null)
        #expect(value["missing"] == nil)
        #expect(value["ok"]?["kid"] == nil)
        #expect(value.object?.members.map(\.name) == ["keys", "ok", "none"])
    }

    @Test("A name that stands twice is refused, in whatever spelling")
    func duplicates() {
        let cases: [(String, Int)] = [
            (#"{"a":1,"a":1}"#, 7), (#"{"a":1,"\u0061":2}"#, 7), (#"{"x":{"b":1,"b":2}}"#, 12),
            (#"{"":1,"":2}"#, 6),
        ]
        for (text, offset) in cases {
            #expect(throws: JSONError(.duplicateName, at: offset)) { try Self.value(text) }
        }
        // Equal to Swift, and two names all the same.
        #expect(throws: Never.self) { try Self.value("{\"é\":1,\"e\u{301}\":2}") }
        #expect(throws: Never.self) { try Self.value(#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#) }
    }

    @Test("Who asks for it gets the last of a name")
    func lastOfDuplicates() throws {
        let value = try JSONValue(Array(#"{"a":1,"b":2,"a":3}"#.utf8), duplicates: .keepsLast)
        #expect(value["a"]?.int64 == 3)
        #expect(value.object?.members.map(\.name) == ["a", "b"])
    }

    @Test("Many names are told apart, and one too many is seen")
    func manyNames() throws {
        let members = (0..<500).map { "\"n\($0)\":\($0)" }
        let value = try Self.value("{" + members.joined(separator: ",") + "}")
        for number in 0..<500 { #expect(value["n\(number)"]?.int64 == Int64(number)) }
        #expect(value["n500"] == nil)
        for again in [0, 15, 16, 17, 499] {
            let text = "{" + members.joined(separator: ",") + ",\"n\(again)\":0}"
            #expect(throws: JSONError(.duplicateName, at: text.utf8.count - "\"n\(again)\":0}".utf8.count)) {
                try Self.value(text)
            }
        }
    }

    @Test("Bytes behind the value are refused")
    func trailing() {
        #expect(throws: JSONError(.trailingBytes, at: 3)) { try Self.value("{} {}") }
        #expect(throws: JSONError(.empty, at: 0)) { try Self.value("") }
    }

    @Test("The deepest text that is read is a tree, written, compared and let go")
    func deepest() throws {
        let depth = JSONLimits.depthCeiling
        let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        let value = try JSONValue(Array(text.utf8), limits: JSONLimits(depth: depth))
        var writer = JSONWriter()
        writer.value(value)
        #expect(writer.bytes == Array(text.utf8))
        #expect(try value == JSONValue(writer.bytes, limits: JSONLimits(depth: depth)))
    }

    @Test(
        "Whole numbers are exact or none",
        arguments: [
            ("0", 0), ("-0", 0), ("9223372036854775807", .max), ("-9223372036854775808", .min),
            ("9223372036854775808", nil), ("-9223372036854775809", nil), ("99999999999999999999", nil),
            ("1.0", nil),
            ("1e2", nil),
        ] as [(String, Int64?)])
    func wholeNumbers(text: String, expected: Int64?) throws {
        #expect(try Self.value(text).int64 == expected)
    }

    @Test(
        "Other numbers are the nearest there is, or none beyond the largest",
        arguments: [
            ("0.1", 0.1), ("-0", -0.0), ("1e400", nil), ("-1e400", nil), ("1e-400", 0), ("123e2", 12300),
            ("9007199254740993", 9_007_199_254_740_992), ("1.7976931348623157e308", .greatestFiniteMagnitude),
            ("5e-324", .leastNonzeroMagnitude),
        ] as [(String, Double?)])
    func doubles(text: String, expected: Double?) throws {
        let number = try #require(try Self.value(text).number)
        #expect(number.double?.bitPattern == expected?.bitPattern)
        #expect(number.text == text)
    }

    @Test("The order of members says nothing, that of elements everything")
    func equality() throws {
        #expect(try Self.value(#"{"a":1,"b":[2]}"#) == Self.value(#"{"b":[2],"a":1}"#))
        #expect(try Self.value(#"{"a":1}"#) != Self.value(#"{"a":1,"b":1}"#))
        #expect(try Self.value(#"{"a":1}"#) != Self.value(#"{"b":1}"#))
        #expect(try Self.value("[1,2]") != Self.value("[2,1]"))
        #expect(try Self.value("1") != Self.value("1.0"))
        #expect(try Self.value("\"é\"") != Self.value("\"e\u{301}\""))
        #expect(try Self.value("null") != Self.value("false"))
    }
}
