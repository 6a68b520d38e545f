// How values are written. Each way is one type that reads, writes, checks and documents it; the generic code
// (SchemaCheck, NormalForm, JSONSchema, Reference) knows structures, and no value.

/// One way of writing a value.
protocol Form<Value>: Sendable {
    associatedtype Value: Sendable

    /// What may stand there, whatever is made of it.
    var kind: Kind { get }
    /// The value, or nil when it cannot be read; what is wrong with it has been reported by then.
    func read(_ node: Node) -> Value?
    /// The value as it would be written; nil when nothing is written for it.
    /// - Parameter uses: what the place is for; keys that have no use there are left out.
    func write(_ value: Value, _ uses: Uses) -> Node?
}

/// A scalar of the file.
struct Scalar {
    let text: Text
    /// Without quotes.
    let isPlain: Bool
    /// How messages name the place.
    let path: String

    var value: String { text.value }
    /// As messages show it.
    var shape: String { Node(content: .scalar(text.value, plain: isPlain), origin: text.origin).shape }
}

/// A way of writing a value that is one text.
protocol ScalarForm<Value>: Form {
    /// The value, or what is wrong with the text.
    func parse(_ scalar: Scalar) throws(ValueProblem) -> Value
    /// The text, quoted where it needs to be; nil when nothing is written.
    func print(_ value: Value) -> Node?
    /// As the syntax line of the manual has it.
    var syntax: String { get }
    /// "a duration such as 10s": completes "expected …".
    var expectation: String { get }
    /// The range in the manual's words.
    var range: String? { get }
    /// The members of the JSON Schema that constrain the value: names, and values in JSON.
    var schema: [JSONMember] { get }
    /// The text with its path as it is reached from anywhere; nil when it has none.
    /// - Parameter besidesWords: there are words that mean something else. A bare word is then more often a slip of
    ///   one of them than a file.
    func located(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String?
}

/// A member of a JSON object: its name, and its value in JSON.
typealias JSONMember = (name: String, value: String)

extension ScalarForm {
    var kind: Kind { .scalar(self) }
    var range: String? { nil }

    func read(_ node: Node) -> Value? {
        guard let text = node.asText else { return nil }
        return try? parse(Scalar(text: text, isPlain: node.isPlain, path: ""))
    }

    func write(_ value: Value, _ uses: Uses) -> Node? { print(value) }

    /// What is wrong with a text, thrown.
    func check(_ scalar: Scalar) throws(ValueProblem) { _ = try parse(scalar) }

    func located(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String? { nil }
}

/// What may stand somewhere: a tree of structures with scalars at its leaves.
indirect enum Kind: Sendable {
    case scalar(any ScalarForm)
    /// A single word among other kinds: `off`, `auto`, `none`.
    case word(String)
    case list(Kind)
    /// One value, or a list of them.
    case oneOrMany(Kind)
    /// Names chosen by the user → values. `of` says what is named.
    case map(Kind, of: TextRule)
    case section(SectionShape)
    /// The first kind that fits the shape of the value decides.
    case either([Kind])
}

extension Kind {
    /// "a duration such as 10s": completes "expected …".
    var expectation: String {
        switch self {
        case .scalar(let form): form.expectation
        case .word(let word): word
        case .list(let inner): "a list, each \(inner.expectation)"
        case .oneOrMany(let inner): "\(inner.expectation), or a list of them"
        case .map(_, let rule): "a map from \(rule.noun) to its value"
        case .section(let section): "a map with: \(section.names.joined(separator: ", "))"
        case .either(let kinds): kinds.map(\.expectation).joined(separator: ", or ")
        }
    }

    /// The syntax as the manual prints it.
    var syntax: String {
        switch self {
        case .scalar(let form): form.syntax
        case .word(let word): word
        case .list(let inner): "[\(inner.syntax), …]"
        case .oneOrMany(let inner): "\(inner.syntax) | [\(inner.syntax), …]"
        case .map(let inner, let rule): "{ \(rule.syntax): \(inner.syntax), … }"
        case .section(let section): "{ \(section.names.map { "\($0): …" }.joined(separator: ", ")) }"
        case .either(let kinds): kinds.map(\.syntax).joined(separator: " | ")
        }
    }

    /// The range in the manual's words; nil when there is nothing to say.
    var rangeText: String? {
        switch self {
        case .scalar(let form): form.range
        case .either(let kinds): kinds.lazy.compactMap(\.rangeText).first
        case .oneOrMany(let inner), .list(let inner): inner.rangeText
        default: nil
        }
    }

    /// The sections inside, with the path added to reach them.
    var sections: [(suffix: String, section: SectionShape)] {
        switch self {
        case .section(let section): [("", section)]
        case .list(let inner), .oneOrMany(let inner): inner.sections.map { ("[]" + $0.suffix, $0.section) }
        case .map(let inner, let rule): inner.sections.map { (".\(rule.syntax)" + $0.suffix, $0.section) }
        case .either(let kinds): kinds.flatMap(\.sections)
        default: []
        }
    }
}

extension Node {
    /// A value as the program writes it, without quotes.
    static func plain(_ text: String) -> Node { Node(content: .scalar(text, plain: true), origin: .none) }

    /// A text, as it was written where it was made from references.
    static func text(_ text: Text) -> Node {
        Node(content: .scalar(text.value, plain: false), origin: text.origin)
    }

    var isPlain: Bool { if case .scalar(_, plain: true) = content { true } else { false } }

    var asText: Text? { text.map { Text($0, at: origin) } }

    var texts: [Text] { elements.compactMap(\.asText) }

    /// A list or map with nothing in it.
    var isEmpty: Bool {
        switch content {
        case .list(let elements): elements.isEmpty
        case .map(let entries): entries.isEmpty
        case .scalar: false
        }
    }
}
