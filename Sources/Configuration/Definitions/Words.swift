// Words of the language.

/// One of some words, each with what it means.
struct Choice<Value: Sendable & Equatable>: ScalarForm {
    let words: [(word: String, value: Value)]
    /// Words of the design that this version refuses.
    let later: [String]

    init(_ words: [(String, Value)], later: [String] = []) {
        self.words = words.map { (word: $0.0, value: $0.1) }
        self.later = later
    }

    private var names: [String] { words.map(\.word) }

    var syntax: String { names.joined(separator: " | ") }
    var expectation: String {
        words.count == 1 ? words[0].word : "one of: \(names.joined(separator: ", "))"
    }
    var schema: [JSONMember] {
        // `status: 308` is a number to a YAML editor.
        let values = names.map { Int($0) == nil ? SchemaText.quoted($0) : $0 }
        let words = "{ \"enum\": [" + values.joined(separator: ", ") + "] }"
        let reference = "{ \"type\": \"string\", \"pattern\": \(SchemaText.quoted(SchemaText.reference)) }"
        return [("anyOf", "[\(words), \(reference)]")]
    }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> Value {
        for (word, value) in words where word == scalar.value { return value }
        if later.contains(scalar.value) {
            throw ValueProblem(
                message: "\(scalar.path): \"\(scalar.value)\" is not in this version of Weir",
                expectation: "expected \(expectation)")
        }
        throw ValueProblem(
            message: "\(scalar.path) is \(scalar.shape)", expectation: "expected \(expectation)",
            suggestion: Suggestion.nearest(to: scalar.value, in: names))
    }

    /// Nothing for a value that has no word.
    func print(_ value: Value) -> Node? {
        for (word, known) in words where known == value { return .plain(word) }
        return nil
    }
}

extension Choice where Value: RawRepresentable<String> & CaseIterable {
    /// The words of an enumeration.
    init(later: [String] = []) { self.init(Value.allCases.map { ($0.rawValue, $0) }, later: later) }
}

/// A word beside what another form takes: `none`, `off`, `auto`.
struct WordOr<Inner: Form, Value: Sendable>: Form {
    let word: String
    let meaning: Value
    /// Whether a value is written as the word.
    let isWord: @Sendable (Value) -> Bool
    let inner: Inner
    let embed: @Sendable (Inner.Value) -> Value
    let extract: @Sendable (Value) -> Inner.Value?

    var kind: Kind {
        // Words of words stand side by side, in the order they were added from the inside.
        if case .either(let kinds) = inner.kind { return .either([.word(word)] + kinds) }
        return .either([.word(word), inner.kind])
    }

    func read(_ node: Node) -> Value? {
        if let text = node.text, text == word { return meaning }
        return inner.read(node).map(embed)
    }

    func write(_ value: Value, _ uses: Uses) -> Node? {
        isWord(value) ? .plain(word) : extract(value).flatMap { inner.write($0, uses) }
    }
}

extension Form {
    /// With a word for nil.
    func or(_ word: String) -> WordOr<Self, Value?> {
        WordOr(word: word, meaning: nil, isWord: { $0 == nil }, inner: self, embed: { $0 }, extract: { $0 })
    }

    /// With a word for one of the values.
    func or(_ word: String, means meaning: Value) -> WordOr<Self, Value> where Value: Equatable {
        WordOr(
            word: word, meaning: meaning, isWord: { $0 == meaning }, inner: self, embed: { $0 },
            extract: { $0 })
    }

    /// With a word that is short for one of the values, and is not written.
    func or(_ word: String, shortFor meaning: Value) -> WordOr<Self, Value> {
        WordOr(
            word: word, meaning: meaning, isWord: { _ in false }, inner: self, embed: { $0 }, extract: { $0 })
    }

    /// As a value made of what is read.
    func mapped<Result: Sendable>(
        to embed: @escaping @Sendable (Value) -> Result?, from extract: @escaping @Sendable (Result) -> Value?
    ) -> Mapped<Self, Result> {
        Mapped(inner: self, embed: embed, extract: extract)
    }
}

/// What another form reads, made something else: a case of an enumeration, a set, a name in lower case.
struct Mapped<Inner: Form, Value: Sendable>: Form {
    let inner: Inner
    let embed: @Sendable (Inner.Value) -> Value?
    /// Nil for a value that is written otherwise.
    let extract: @Sendable (Value) -> Inner.Value?

    var kind: Kind { inner.kind }
    func read(_ node: Node) -> Value? { inner.read(node).flatMap(embed) }
    func write(_ value: Value, _ uses: Uses) -> Node? { extract(value).flatMap { inner.write($0, uses) } }
}
