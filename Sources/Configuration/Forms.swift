// How values are written: one type for each form, which reads it, prints it, and says what it is for the checks, the
// schema and the manual.

import JSON

/// A form of values.
protocol Form: Sendable {
    associatedtype Value: Sendable
    /// What the checks, the schema and the manual say of it.
    var kind: Kind { get }
    /// Nil for what is not of this form: the checks have reported it.
    func read(_ node: Node) -> Value?
    /// The value as it could be written in a flow map.
    func text(_ value: Value) -> String
}

/// `true` and `false`.
struct Truth: Form {
    var kind: Kind { .bool }
    func read(_ node: Node) -> Bool? { node.bool }
    func text(_ value: Bool) -> String { "\(value)" }
}

/// A whole number.
struct Count: Form {
    let range: ClosedRange<Int64>
    init(_ range: ClosedRange<Int64>) { self.range = range }

    var kind: Kind { .integer(range) }
    func read(_ node: Node) -> Int? { node.text.flatMap { Int($0) } }
    func text(_ value: Int) -> String { "\(value)" }
}

/// `10s`; milliseconds in the model.
struct Time: Form {
    let range: ClosedRange<Int64>
    init(_ range: ClosedRange<Int64> = 1...86_400_000) { self.range = range }

    var kind: Kind { .duration(range) }
    func read(_ node: Node) -> Int64? { node.text.flatMap { try? Values.duration($0) } }
    func text(_ value: Int64) -> String { Units.duration(value) }
}

/// `64KiB`; bytes in the model.
struct Size<Value: FixedWidthInteger & Sendable>: Form {
    let range: ClosedRange<Int64>
    init(_ range: ClosedRange<Int64>) { self.range = range }

    var kind: Kind { .size(range) }
    func read(_ node: Node) -> Value? {
        node.text.flatMap { try? Values.size($0) }.flatMap { Value(exactly: $0) }
    }
    func text(_ value: Value) -> String { Units.size(Int64(value)) }
}

/// `3/s`.
struct Rate: Form {
    let range: ClosedRange<Int64>
    init(_ range: ClosedRange<Int64>) { self.range = range }

    var kind: Kind { .rate(range) }
    func read(_ node: Node) -> Int? { node.text.flatMap { try? Values.rate($0) }.map { Int($0) } }
    func text(_ value: Int) -> String { "\(value)/s" }
}

/// `20%`; parts per thousand in the model.
struct Percentage: Form {
    let range: ClosedRange<Int64>
    init(_ range: ClosedRange<Int64>) { self.range = range }

    var kind: Kind { .percent(range) }
    func read(_ node: Node) -> Int? { node.text.flatMap { try? Values.perMille($0) }.map { Int($0) } }
    func text(_ value: Int) -> String { Units.percent(Int64(value)) }
}

/// One of the words of an enumeration.
struct OneOf<Value: RawRepresentable<String> & CaseIterable & Sendable>: Form {
    init(_: Value.Type) {}

    var kind: Kind { .choice(Value.allCases.map(\.rawValue)) }
    func read(_ node: Node) -> Value? { node.text.flatMap(Value.init(rawValue:)) }
    func text(_ value: Value) -> String { value.rawValue }
}

/// A word for nil, beside values of another form: `none`, `off`, `any`.
struct OrNil<Inner: Form>: Form {
    let word: String
    let inner: Inner
    init(_ word: String, _ inner: Inner) {
        self.word = word
        self.inner = inner
    }

    var kind: Kind { .either([.word(word), inner.kind]) }
    func read(_ node: Node) -> Inner.Value?? {
        if node.text == word { return .some(nil) }
        return inner.read(node).map { .some($0) }
    }
    func text(_ value: Inner.Value?) -> String { value.map(inner.text) ?? word }
}

/// One value or a list of them.
struct Several<Inner: Form>: Form {
    let inner: Inner
    init(_ inner: Inner) { self.inner = inner }

    var kind: Kind { .oneOrMany(inner.kind) }
    func read(_ node: Node) -> [Inner.Value]? { node.elements.compactMap(inner.read) }
    func text(_ value: [Inner.Value]) -> String { "[" + value.map(inner.text).joined(separator: ", ") + "]" }
}

/// One value or a list of them, of which each counts once.
struct Distinct<Inner: Form>: Form where Inner.Value: Equatable {
    let all: Several<Inner>
    init(_ inner: Inner) { all = Several(inner) }

    var kind: Kind { all.kind }
    func read(_ node: Node) -> [Inner.Value]? {
        all.read(node)?.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
    func text(_ value: [Inner.Value]) -> String { all.text(value) }
}

/// A text that keeps to a rule.
struct TextForm: Form {
    let rule: TextRule
    init(_ rule: TextRule) { self.rule = rule }

    var kind: Kind { .text(rule) }
    func read(_ node: Node) -> Text? { node.asText }
    func text(_ value: Text) -> String { Self.written(value.shown) }

    /// Plain where YAML reads that as the same text for certain, else in quotes.
    static func written(_ text: String) -> String {
        let isPlain =
            text.utf8.contains { ($0 | 32) &- 97 < 26 }
            && text.utf8.first.map { ($0 | 32) &- 97 < 26 } == true
            && text.contains("/")
            && text.utf8.allSatisfy { ($0 | 32) &- 97 < 26 || $0 &- 48 < 10 || "/*+-._".utf8.contains($0) }
        return isPlain ? text : JSONWriter.quoted(text)
    }
}

/// An address of a DNS server.
struct ResolverAddress: Form {
    var kind: Kind { .text(.resolverAddress) }
    func read(_ node: Node) -> Address? { node.asText.flatMap { try? Address($0, role: .resolver) } }
    func text(_ value: Address) -> String { JSONWriter.quoted(value.text.shown) }
}

/// What a request is tried again after.
struct RetryCondition: Form {
    var kind: Kind { .text(.retryCondition) }
    func read(_ node: Node) -> Route.Retry.Condition? { node.text.flatMap { Route.Retry.Condition($0) } }
    func text(_ value: Route.Retry.Condition) -> String { value.text }
}
