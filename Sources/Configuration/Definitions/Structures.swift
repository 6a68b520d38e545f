// Lists and maps, and the short way to write a section.

/// A list of values.
struct ListOf<Element: Form>: Form {
    typealias Value = [Element.Value]

    let element: Element

    init(_ element: Element) { self.element = element }

    var kind: Kind { .list(element.kind) }

    /// Without the elements that cannot be read.
    func read(_ node: Node) -> [Element.Value]? {
        guard case .list(let elements) = node.content else { return nil }
        return elements.compactMap { element.read($0) }
    }

    func write(_ value: [Element.Value], _ uses: Uses) -> Node? {
        Node(content: .list(value.compactMap { element.write($0, uses) }), origin: .none)
    }
}

/// One value, or a list of them.
struct OneOrMany<Element: Form>: Form {
    typealias Value = [Element.Value]

    let element: Element

    init(_ element: Element) { self.element = element }

    var kind: Kind { .oneOrMany(element.kind) }

    func read(_ node: Node) -> [Element.Value]? { node.elements.compactMap { element.read($0) } }

    func write(_ value: [Element.Value], _ uses: Uses) -> Node? {
        let nodes = value.compactMap { element.write($0, uses) }
        return nodes.count == 1 ? nodes[0] : Node(content: .list(nodes), origin: .none)
    }
}

extension OneOrMany where Element.Value: Equatable {
    /// In the order of the file, each value once.
    var unique: Mapped<OneOrMany, [Element.Value]> {
        mapped(
            to: { values in
                values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
            }, from: { $0 })
    }
}

/// Names chosen by the user, each with a value.
struct MapOf<Named: Form, Element: Sendable>: Form {
    typealias Value = [Element]

    let rule: TextRule
    let value: Named
    let make: @Sendable (Text, Named.Value) -> Element?
    let take: @Sendable (Element) -> (Text, Named.Value)

    init(
        _ rule: TextRule, _ value: Named, _ make: @escaping @Sendable (Text, Named.Value) -> Element?,
        _ take: @escaping @Sendable (Element) -> (Text, Named.Value)
    ) {
        self.rule = rule
        self.value = value
        self.make = make
        self.take = take
    }

    var kind: Kind { .map(value.kind, of: rule) }

    func read(_ node: Node) -> [Element]? {
        guard case .map(let entries) = node.content else { return nil }
        return entries.compactMap { entry in value.read(entry.value).flatMap { make(entry.key, $0) } }
    }

    func write(_ elements: [Element], _ uses: Uses) -> Node? {
        Node(
            content: .map(
                elements.compactMap { element in
                    let (name, inner) = take(element)
                    return value.write(inner, uses).map { Node.Entry(key: name, value: $0) }
                }), origin: .none)
    }
}

/// A value that can be written in short where the rest is as usual: `10.0.0.1:80` for `{ address: 10.0.0.1:80 }`.
/// It is written in full.
struct Short<Brief: Form, Full: Form>: Form {
    typealias Value = Full.Value

    let brief: Brief
    let full: Full
    let make: @Sendable (Brief.Value) -> Full.Value

    init(_ brief: Brief, _ make: @escaping @Sendable (Brief.Value) -> Full.Value, in full: Full) {
        self.brief = brief
        self.full = full
        self.make = make
    }

    var kind: Kind { .either([brief.kind, full.kind]) }

    func read(_ node: Node) -> Full.Value? {
        if case .scalar = node.content { brief.read(node).map(make) } else { full.read(node) }
    }

    func write(_ value: Full.Value, _ uses: Uses) -> Node? { full.write(value, uses) }
}

/// A text, or a map; each is written as it was.
struct TextOrMap<Brief: Form, Full: Form, Value: Sendable>: Form
where Brief.Value == Value, Full.Value == Value {
    let brief: Brief
    let full: Full

    init(_ brief: Brief, _ full: Full) {
        self.brief = brief
        self.full = full
    }

    var kind: Kind { .either([brief.kind, full.kind]) }

    func read(_ node: Node) -> Value? {
        if case .scalar = node.content { brief.read(node) } else { full.read(node) }
    }

    func write(_ value: Value, _ uses: Uses) -> Node? { brief.write(value, uses) ?? full.write(value, uses) }
}
