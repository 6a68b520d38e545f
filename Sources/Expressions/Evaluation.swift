// Running a program for one request: forward through its tests. Nothing is allocated.
//
// What is missing: it equals nothing, not even what is missing as well; it is not smaller, not larger, and no text
// is in it. So every comparison with it fails, and what is negated holds: `request.header["a"] != "x"` holds for
// a request without the field. `??` puts something in its place, `has(…)` asks for it.

import Glibc
import WeirHTTPModel

/// What a property is for one request.
public enum PropertyValue: BitwiseCopyable {
    case missing
    /// Valid until the source is asked for the next value of the same side.
    case text(UnsafeBufferPointer<UInt8>)
    /// Numbers, microseconds, bytes.
    case number(Int64)
    case boolean(Bool)
    /// 128 bits; IPv4 in its mapped form.
    case address(high: UInt64, low: UInt64)
}

/// What an expression is asked for: the rest of a request, as far as expressions see it.
public protocol PropertySource {
    /// The value of a property. It has the kind of the property, or is missing.
    ///
    /// - Parameters:
    ///   - name: of what has names: a field (in lower case), a parameter, a cookie, a part of the path.
    ///   - field: the number of a field's name.
    ///   - side: 0 or 1. A value that has to be written somewhere must not be written over one of the other side.
    mutating func value(
        of property: Property, named name: UnsafeBufferPointer<UInt8>, field: FieldID, side: Int
    ) -> PropertyValue

    /// Whether a regular expression, one of `patterns`, is found in a text; nil: it reached its limits.
    mutating func matches(pattern: Int, _ text: UnsafeBufferPointer<UInt8>) -> Bool?
}

/// What comes out of a condition.
public enum ConditionOutcome: Sendable, Equatable {
    case holds
    case fails
    /// A regular expression reached its limits: neither is known.
    case unknown
}

/// Sees every test that is run.
protocol TestObserver {
    mutating func tested(_ test: Test, _ outcome: Bool?, _ left: Value, _ right: Value)
}

struct NoObserver: TestObserver {
    /// Values of no size have one address, which ThreadSanitizer takes for something that is shared.
    private var byte: UInt8 = 0

    init() {}

    @inline(__always) mutating func tested(_ test: Test, _ outcome: Bool?, _ left: Value, _ right: Value) {}
}

/// A value beside how it is compared.
struct Value: BitwiseCopyable {
    var content: PropertyValue
    var folds = false

    static var missing: Value { Value(content: .missing) }
}

extension Program {
    func run<Source: PropertySource, Observer: TestObserver>(
        _ source: inout Source, _ observer: inout Observer
    ) -> ConditionOutcome {
        var at: Int16 = 0
        while at >= 0 {
            let test = tests[Int(at)]
            let left =
                test.kind == .always || test.kind == .never ? .missing : value(test.left, side: 0, &source)
            var right = Value.missing
            switch test.kind {
            case .equal, .less, .lessOrEqual, .contains, .startsWith, .endsWith, .oneEqual, .oneStartsWith,
                .oneEndsWith:
                right = value(test.right, side: 1, &source)
            default: break
            }
            let outcome = holds(test, left, right, &source)
            observer.tested(test, outcome, left, right)
            guard let outcome else { return .unknown }
            at = outcome ? test.onTrue : test.onFalse
        }
        return at == Test.accept ? .holds : .fails
    }

    // MARK: values

    /// The first of a chain that is there.
    func value<Source: PropertySource>(_ index: Int16, side: Int, _ source: inout Source) -> Value {
        var index = index
        while index >= 0 {
            let operand = operands[Int(index)]
            let content = content(operand, side, &source)
            if case .missing = content {
                index = operand.otherwise
                continue
            }
            return Value(content: content, folds: operand.folds)
        }
        return .missing
    }

    private func content<Source: PropertySource>(
        _ operand: Operand, _ side: Int, _ source: inout Source
    ) -> PropertyValue {
        bytes.withUnsafeBufferPointer { all -> PropertyValue in
            let text = UnsafeBufferPointer(
                rebasing: all[Int(operand.text.offset)..<Int(operand.text.end)])
            switch operand.source {
            case .text: return .text(text)
            case .number: return .number(operand.number)
            case .boolean: return .boolean(operand.number != 0)
            case .address: return .address(high: operand.high, low: UInt64(bitPattern: operand.number))
            case .property:
                let value = source.value(of: operand.property, named: text, field: operand.field, side: side)
                return Self.converted(value, operand.conversion)
            }
        }
    }

    private static func converted(_ value: PropertyValue, _ conversion: Operand.Conversion) -> PropertyValue {
        guard conversion != .none, case .text(let text) = value else { return value }
        switch conversion {
        case .none: return value
        case .length: return .number(Int64(text.count))
        case .integer: return integer(text).map { .number($0) } ?? .missing
        case .address:
            return AddressText.parse(text).map { .address(high: $0.high, low: $0.low) } ?? .missing
        }
    }

    /// Decimal digits, at most 18, and nothing else.
    private static func integer(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        guard (1...18).contains(text.count) else { return nil }
        var value: Int64 = 0
        for byte in text {
            guard byte &- 48 < 10 else { return nil }
            value = value &* 10 &+ Int64(byte &- 48)
        }
        return value
    }

    // MARK: tests

    private func holds<Source: PropertySource>(
        _ test: Test, _ left: Value, _ right: Value, _ source: inout Source
    ) -> Bool? {
        switch test.kind {
        case .always: return true
        case .never: return false
        case .isTrue:
            if case .boolean(let value) = left.content { return value }
            return false
        case .present:
            if case .missing = left.content { return false }
            return true
        case .equal: return Self.order(left, right, isEquality: true) == 0
        case .less: return Self.order(left, right).map { $0 < 0 } ?? false
        case .lessOrEqual: return Self.order(left, right).map { $0 <= 0 } ?? false
        case .matches:
            guard case .text(let text) = left.content else { return false }
            return source.matches(pattern: Int(test.right), text)
        case .contains, .startsWith, .endsWith:
            guard case .text(let whole) = left.content, case .text(let part) = right.content else {
                return false
            }
            return Self.search(
                test.kind, Folded(text: whole, folds: left.folds), Folded(text: part, folds: right.folds))
        case .amongTexts:
            guard case .text(let text) = left.content else { return false }
            return isAmong(Folded(text: text, folds: left.folds), test)
        case .amongNumbers:
            guard case .number(let number) = left.content else { return false }
            for i in Int(test.right)..<Int(test.right) + Int(test.count) where numbers[i] == number {
                return true
            }
            return false
        case .amongBlocks:
            guard case .address(let high, let low) = left.content else { return false }
            for i in Int(test.right)..<Int(test.right) + Int(test.count) where blocks[i].contains(high, low) {
                return true
            }
            return false
        case .oneEqual, .oneStartsWith, .oneEndsWith, .oneMatches:
            guard case .text(let list) = left.content else { return false }
            return oneHolds(test, list, right, &source)
        }
    }

    private func isAmong(_ text: Folded, _ test: Test) -> Bool {
        bytes.withUnsafeBufferPointer { all in
            for i in Int(test.right)..<Int(test.right) + Int(test.count)
            where texts[i].count == UInt32(text.text.count) {
                let element = UnsafeBufferPointer(rebasing: all[Int(texts[i].offset)..<Int(texts[i].end)])
                if text.isEqual(to: Folded(text: element, folds: false)) { return true }
            }
            return false
        }
    }

    /// Most texts of a list that a regular expression is asked for: with more nothing is said either way.
    private static let matchedMax = 64

    /// For one of the texts of a list, which are separated by ", ".
    private func oneHolds<Source: PropertySource>(
        _ test: Test, _ list: UnsafeBufferPointer<UInt8>, _ right: Value, _ source: inout Source
    ) -> Bool? {
        var rest = list
        var asked = 0
        while !rest.isEmpty {
            let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
            let element = Folded(text: UnsafeBufferPointer(rebasing: rest[..<end]), folds: false)
            rest = UnsafeBufferPointer(rebasing: rest[min(end + 2, rest.count)...])
            if test.kind == .oneMatches {
                if asked == Self.matchedMax { return nil }
                asked += 1
                guard let isFound = source.matches(pattern: Int(test.right), element.text) else { return nil }
                if isFound { return true }
                continue
            }
            guard case .text(let part) = right.content else { return false }
            let folded = Folded(text: part, folds: right.folds)
            let isIt =
                switch test.kind {
                case .oneStartsWith: Self.search(.startsWith, element, folded)
                case .oneEndsWith: Self.search(.endsWith, element, folded)
                default: element.isEqual(to: folded)
                }
            if isIt { return true }
        }
        return false
    }

    // MARK: texts

    /// A text of which upper-case letters (ASCII) may count as lower-case ones.
    private struct Folded {
        let text: UnsafeBufferPointer<UInt8>
        let folds: Bool

        @inline(__always)
        subscript(at: Int) -> UInt8 { folds ? asciiLowercased(text[at]) : text[at] }

        func isEqual(to other: Folded) -> Bool { text.count == other.text.count && has(other, at: 0) }

        func has(_ other: Folded, at start: Int) -> Bool {
            guard let a = text.baseAddress, let b = other.text.baseAddress else { return other.text.isEmpty }
            if !folds, !other.folds { return memcmp(a + start, b, other.text.count) == 0 }
            var i = 0
            while i < other.text.count {
                if self[start + i] != other[i] { return false }
                i += 1
            }
            return true
        }
    }

    private static func search(_ kind: Test.Kind, _ whole: Folded, _ part: Folded) -> Bool {
        guard part.text.count <= whole.text.count else { return false }
        switch kind {
        case .startsWith: return whole.has(part, at: 0)
        case .endsWith: return whole.has(part, at: whole.text.count - part.text.count)
        default: break
        }
        // What is looked for is the configuration's, and short: nobody can make this long by what they send.
        var at = 0
        while at <= whole.text.count - part.text.count {
            if whole.has(part, at: at) { return true }
            at += 1
        }
        return false
    }

    /// Less than 0, 0 or more than 0; nil where one is missing. Texts by their bytes.
    private static func order(_ left: Value, _ right: Value, isEquality: Bool = false) -> Int? {
        switch (left.content, right.content) {
        case (.number(let a), .number(let b)): return a < b ? -1 : a == b ? 0 : 1
        case (.address(let a, let b), .address(let c, let d)): return a == c && b == d ? 0 : 1
        case (.text(let a), .text(let b)):
            if isEquality, a.count != b.count { return 1 }
            let (a, b) = (Folded(text: a, folds: left.folds), Folded(text: b, folds: right.folds))
            let common = min(a.text.count, b.text.count)
            var i = 0
            while i < common {
                if a[i] != b[i] { return a[i] < b[i] ? -1 : 1 }
                i += 1
            }
            return a.text.count - b.text.count
        default: return nil
        }
    }
}
