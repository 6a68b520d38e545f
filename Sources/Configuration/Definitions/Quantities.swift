// Numbers, with and without a unit, and true and false.

/// `true` or `false`.
struct Flag: ScalarForm {
    typealias Value = Bool

    let syntax = "true | false"
    let expectation = "true or false"
    var schema: [JSONMember] {
        [
            ("type", SchemaText.listed(["boolean", "string"])),
            ("pattern", SchemaText.quoted(SchemaText.reference)),
        ]
    }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Bool {
        switch scalar.value {
        case _ where !scalar.isPlain: throw problem(scalar)
        case "true", "True", "TRUE": return true
        case "false", "False", "FALSE": return false
        default: throw problem(scalar)
        }
    }

    private func problem(_ scalar: Scalar) -> ValueProblem {
        ValueProblem(
            message: "\(scalar.path) is \(scalar.shape)", expectation: "expected true or false",
            suggestion: ["yes": "true", "on": "true", "no": "false", "off": "false"][
                scalar.value.lowercased()])
    }

    func print(_ value: Bool) -> Node? { .plain("\(value)") }
}

/// A whole number.
struct Whole<Value: FixedWidthInteger & Sendable>: ScalarForm {
    let bounds: ClosedRange<Int64>
    let syntax = "NUMBER"

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    var expectation: String {
        bounds.upperBound == .max
            ? "a whole number from \(bounds.lowerBound)"
            : "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
    }
    var range: String? {
        bounds.upperBound == .max ? nil : "\(bounds.lowerBound) to \(bounds.upperBound)"
    }
    var schema: [JSONMember] {
        [
            ("type", SchemaText.listed(["integer", "string"])), ("minimum", "\(bounds.lowerBound)"),
            ("maximum", "\(bounds.upperBound)"), ("pattern", SchemaText.quoted(SchemaText.reference)),
        ]
    }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Value {
        guard let value = Int64(scalar.value), scalar.value.utf8.first != UInt8(ascii: "+") else {
            throw ValueProblem(
                message: "\(scalar.path) is \(scalar.shape)", expectation: "expected \(expectation)",
                suggestion: Suggestion.digits(scalar.value))
        }
        return Value(truncatingIfNeeded: try bounds.take(value, scalar, range ?? expectation))
    }

    func print(_ value: Value) -> Node? { .plain("\(value)") }
}

/// A number with a unit: a duration, a size, a rate, a share.
protocol Quantity: ScalarForm where Value: FixedWidthInteger {
    var bounds: ClosedRange<Int64> { get }
    /// What the text is in the unit of the model.
    static func number(_ text: String) throws(ValueProblem) -> Int64
    /// The number with the largest unit that is exact.
    static func text(_ number: Int64) -> String
    static var pattern: String { get }
}

extension Quantity {
    var range: String? { "\(Self.text(bounds.lowerBound)) to \(Self.text(bounds.upperBound))" }
    var schema: [JSONMember] { SchemaText.pattern(Self.pattern) }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Value {
        Value(
            truncatingIfNeeded: try bounds.take(
                try Self.number(scalar.value), scalar, range ?? expectation))
    }

    func print(_ value: Value) -> Node? { .plain(Self.text(Int64(value))) }
}

extension ClosedRange<Int64> {
    fileprivate func take(_ value: Int64, _ scalar: Scalar, _ range: String) throws(ValueProblem) -> Int64 {
        if contains(value) { return value }
        throw ValueProblem(
            message: "\(scalar.path): \(scalar.value.clipped(40)) is out of range",
            expectation: "expected \(range)")
    }
}

/// A time; the model has milliseconds.
struct Duration: Quantity {
    typealias Value = Int64

    let bounds: ClosedRange<Int64>
    let syntax = "DURATION"
    let expectation = "a duration such as 250ms, 10s, 5m or 1h"
    static let pattern = "^[0-9]+(\(Values.durationUnits.map(\.name).joined(separator: "|")))$"

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    static func number(_ text: String) throws(ValueProblem) -> Int64 { try Values.duration(text) }
    static func text(_ number: Int64) -> String { Units.duration(number) }
    func print(_ value: Int64) -> Node? { .plain(Self.text(value)) }
}

/// A number of bytes.
struct Size<Value: FixedWidthInteger & Sendable>: Quantity {
    let bounds: ClosedRange<Int64>
    let syntax = "SIZE"
    let expectation = "a size such as 512B, 64KiB or 10MB"
    static var pattern: String { "^[0-9]+(\(Values.sizeUnits.map(\.name).joined(separator: "|")))$" }

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    static func number(_ text: String) throws(ValueProblem) -> Int64 { try Values.size(text) }
    static func text(_ number: Int64) -> String { Units.size(number) }
}

/// Bytes per second.
struct ByteRate: Quantity {
    typealias Value = Int

    let bounds: ClosedRange<Int64>
    let syntax = "SIZE/s"
    let expectation = "a rate such as 240B/s or 1KiB/s"
    static var pattern: String { "^[0-9]+(\(Values.sizeUnits.map(\.name).joined(separator: "|")))/s$" }

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    static func number(_ text: String) throws(ValueProblem) -> Int64 { try Values.byteRate(text) }
    static func text(_ number: Int64) -> String { "\(Units.size(number))/s" }
}

/// Events per second.
struct Rate: Quantity {
    typealias Value = Int

    let bounds: ClosedRange<Int64>
    let syntax = "NUMBER/s"
    let expectation = "a rate such as 3/s"
    static let pattern = "^[0-9]+/s$"

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    static func number(_ text: String) throws(ValueProblem) -> Int64 { try Values.rate(text) }
    static func text(_ number: Int64) -> String { "\(number)/s" }
}

/// A share; the model has parts per thousand.
struct Percent: Quantity {
    typealias Value = Int

    let bounds: ClosedRange<Int64>
    let syntax = "PERCENT%"
    let expectation = "a percentage such as 20% or 0.5%"
    static let pattern = "^[0-9]{1,4}([.][0-9])?%$"

    init(_ bounds: ClosedRange<Int64>) { self.bounds = bounds }

    static func number(_ text: String) throws(ValueProblem) -> Int64 { try Values.perMille(text) }
    static func text(_ number: Int64) -> String { Units.percent(number) }
}

/// Values → text with the largest unit that is exact.
enum Units {
    static func duration(_ ms: Int64) -> String { exact(ms, Values.durationUnits) }

    static func size(_ bytes: Int64) -> String {
        exact(bytes, Values.sizeUnits.filter { $0.name == "B" || $0.name.hasSuffix("iB") })
    }

    static func percent(_ perMille: Int64) -> String {
        perMille % 10 == 0 ? "\(perMille / 10)%" : "\(perMille / 10).\(perMille % 10)%"
    }

    private static func exact(_ value: Int64, _ units: [(name: String, factor: Int64)]) -> String {
        let unit = units.last { value >= $0.factor && value % $0.factor == 0 } ?? units[0]
        return "\(value / unit.factor)\(unit.name)"
    }
}

extension Suggestion {
    /// "10_000" and "10,000" → "10000".
    static func digits(_ text: String) -> String? {
        let kept = text.filter { $0 != "_" && $0 != "," && $0 != "'" }
        return kept != text && Int64(kept) != nil ? kept : nil
    }
}
