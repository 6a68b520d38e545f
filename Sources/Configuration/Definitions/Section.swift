// What the configuration language is defined with: sections of keys. A section's file (Sections/) has the struct of
// the model and beside it the list of its keys; everything that walks them (the checks, the builder, the normal form,
// the JSON Schema, the manual) is generic.

import Synchronization

/// What a place is for: some keys make sense on some listeners, routes and services only.
struct Uses: OptionSet, Sendable {
    let rawValue: UInt16

    // Listeners.
    static let http = Uses(rawValue: 1 << 0)
    static let tcp = Uses(rawValue: 1 << 1)
    static let udp = Uses(rawValue: 1 << 2)
    /// TCP, with a PROXY header, a handshake or a ClientHello to wait for.
    static let awaitedHead = Uses(rawValue: 1 << 3)
    /// TCP, with a service for clients that say nothing.
    static let silentClients = Uses(rawValue: 1 << 4)
    // Services.
    static let endpoints = Uses(rawValue: 1 << 5)
    static let files = Uses(rawValue: 1 << 6)
    // Routes.
    static let forward = Uses(rawValue: 1 << 7)
    static let respond = Uses(rawValue: 1 << 8)
    static let redirect = Uses(rawValue: 1 << 9)
    // Folders of files.
    static let fallback = Uses(rawValue: 1 << 10)
    static let candidates = Uses(rawValue: 1 << 11)

    static let all = Uses(rawValue: .max)
}

/// Where a key of routes may stand besides on routes.
struct Places: OptionSet, Sendable {
    let rawValue: UInt8

    /// In `routes-defaults`.
    static let defaults = Places(rawValue: 1)
    /// In policies.
    static let policies = Places(rawValue: 2)
}

/// When the normal form has a key.
enum Presence: Sendable {
    /// Unless it is an empty list or map, and that is the default.
    case always
    /// Unless it is an empty list or map.
    case unlessEmpty
    /// When the value is not the default.
    case ifChanged
}

/// One key of a section, with the field of the model it fills.
///
/// Its form and its key path are made when the key is first met. There are hundreds of keys, most with types of their own
/// that the runtime has to put together, and a file has few of them: all at once took half of the program's start.
struct Key<Model: Sendable>: Sendable {
    fileprivate let shape: KeyShape
    private let parts: Later<KeyParts<Model>>

    private init(shape: KeyShape, parts: Later<KeyParts<Model>>) {
        self.shape = shape
        self.parts = parts
    }

    /// Reads the value into the model; false when it cannot be read.
    fileprivate func fill(_ node: Node, _ model: inout Model) -> Bool { parts.value.fill(node, &model) }

    fileprivate func write(_ model: Model, _ uses: Uses) -> Node? { parts.value.write(model, uses) }

    /// A key that fills one field.
    ///
    /// - Parameters:
    ///   - origin: where the value was written, if the model keeps that besides.
    ///   - words: the default in words, where no value says it.
    ///   - uses: the places where the key says something.
    init<F: Form>(
        _ name: String, _ form: @escaping @autoclosure @Sendable () -> F,
        _ field: @escaping @autoclosure @Sendable () -> any WritableKeyPath<Model, F.Value> & Sendable,
        origin: (any WritableKeyPath<Model, Origin> & Sendable)? = nil, default words: String? = nil,
        required: Bool = false, for uses: Uses = .all, since: String = KeyShape.firstVersion,
        shown presence: Presence = .always, _ doc: String, example: String
    ) {
        let parts = Later {
            let form = form()
            let field = field()
            return KeyParts<Model>(
                form.kind,
                fill: { node, model in
                    guard let value = form.read(node) else { return false }
                    model[keyPath: field] = value
                    if let origin { model[keyPath: origin] = node.origin }
                    return true
                },
                write: { model, uses in
                    var node = form.write(model[keyPath: field], uses)
                    // A value made from references is written as it was.
                    if let origin, case .scalar? = node?.content { node?.origin = model[keyPath: origin] }
                    return node
                })
        }
        self.init(
            shape: KeyShape(
                name: name, kind: { parts.value.kind }, words: words, isRequired: required, doc: doc,
                example: example, uses: uses, since: since, presence: presence), parts: parts)
    }

    /// A key that fills a field which is nil without it.
    init<F: Form>(
        _ name: String, _ form: @escaping @autoclosure @Sendable () -> F,
        _ field: @escaping @autoclosure @Sendable () -> any WritableKeyPath<Model, F.Value?> & Sendable,
        default words: String? = nil, required: Bool = false, for uses: Uses = .all,
        since: String = KeyShape.firstVersion, _ doc: String, example: String
    ) {
        let parts = Later {
            let field = field()
            return KeyParts<Model>(form(), get: { $0[keyPath: field] }, set: { $0[keyPath: field] = $1 })
        }
        self.init(
            shape: KeyShape(
                name: name, kind: { parts.value.kind }, words: words, isRequired: required, doc: doc,
                example: example, uses: uses, since: since, presence: .always), parts: parts)
    }

    /// A key whose value is no field of its own.
    init<F: Form>(
        _ name: String, _ form: @escaping @autoclosure @Sendable () -> F,
        get: @escaping @Sendable (Model) -> F.Value?,
        set: @escaping @Sendable (inout Model, F.Value) -> Void, default words: String? = nil,
        required: Bool = false, for uses: Uses = .all, since: String = KeyShape.firstVersion,
        shown presence: Presence = .always, _ doc: String, example: String
    ) {
        let parts = Later { KeyParts<Model>(form(), get: get, set: set) }
        self.init(
            shape: KeyShape(
                name: name, kind: { parts.value.kind }, words: words, isRequired: required, doc: doc,
                example: example, uses: uses, since: since, presence: presence), parts: parts)
    }

    /// A key that groups others: what stands under it fills fields of the same model.
    init(
        _ name: String, group section: @escaping @autoclosure @Sendable () -> Section<Model>,
        for uses: Uses = .all,
        since: String = KeyShape.firstVersion, _ doc: String, example: String
    ) {
        let parts = Later {
            let group = section()
            return KeyParts<Model>(
                group.kind, fill: { node, model in group.fill(&model, from: node) },
                write: { model, uses in group.write(model, uses) })
        }
        self.init(
            shape: KeyShape(
                name: name, kind: { parts.value.kind }, words: nil, isRequired: false, doc: doc,
                example: example, uses: uses, since: since, presence: .unlessEmpty, isGroup: true),
            parts: parts)
    }

    /// A key that says what other places have, and is gone when they have it (Inheritance.swift).
    init(
        _ name: String, passedOn kind: @escaping @autoclosure @Sendable () -> Kind, for uses: Uses = .all,
        since: String = KeyShape.firstVersion, _ doc: String, example: String
    ) {
        let parts = Later {
            KeyParts<Model>(kind(), fill: { _, _ in true }, write: { _, _ in nil })
        }
        self.init(
            shape: KeyShape(
                name: name, kind: { parts.value.kind }, words: nil, isRequired: false, doc: doc,
                example: example, uses: uses, since: since, presence: .always, isPassedOn: true),
            parts: parts)
    }

    /// The key in other places as well, from which routes inherit it.
    func inherited(in places: Places = [.defaults, .policies]) -> Key {
        var shape = shape
        shape.places = places
        return Key(shape: shape, parts: parts)
    }

    /// The key as one of whatever holds the model.
    func of<Root: Sendable>(
        _ field: @escaping @autoclosure @Sendable () -> any WritableKeyPath<Root, Model> & Sendable
    ) -> Key<Root> {
        Key<Root>(
            shape: shape,
            parts: Later { [parts] in
                let field = field()
                let parts = parts.value
                return KeyParts<Root>(
                    parts.kind, fill: { node, root in parts.fill(node, &root[keyPath: field]) },
                    write: { root, uses in parts.write(root[keyPath: field], uses) })
            })
    }
}

/// What a key is made of.
private final class KeyParts<Model: Sendable>: Sendable {
    let kind: Kind
    let fill: @Sendable (Node, inout Model) -> Bool
    let write: @Sendable (Model, Uses) -> Node?

    init(
        _ kind: Kind, fill: @escaping @Sendable (Node, inout Model) -> Bool,
        write: @escaping @Sendable (Model, Uses) -> Node?
    ) {
        self.kind = kind
        self.fill = fill
        self.write = write
    }

    convenience init<F: Form>(
        _ form: F, get: @escaping @Sendable (Model) -> F.Value?,
        set: @escaping @Sendable (inout Model, F.Value) -> Void
    ) {
        self.init(
            form.kind,
            fill: { node, model in
                guard let value = form.read(node) else { return false }
                set(&model, value)
                return true
            },
            write: { model, uses in get(model).flatMap { form.write($0, uses) } })
    }
}

/// A value that is made when it is first asked for; twice, when two threads are the first, and one of the two is kept.
private final class Later<Value: AnyObject & Sendable>: Sendable {
    // AtomicLazyReference has this, and takes five hundred instructions for a look: its code is not inlined here.
    /// Where the value is, which is held; 0 before there is one.
    private let made = Atomic<UInt>(0)
    private let make: @Sendable () -> Value

    init(_ make: @escaping @Sendable () -> Value) { self.make = make }

    deinit {
        if let found = UnsafeRawPointer(bitPattern: made.load(ordering: .acquiring)) {
            Unmanaged<Value>.fromOpaque(found).release()
        }
    }

    @inline(__always)
    var value: Value {
        guard let found = UnsafeRawPointer(bitPattern: made.load(ordering: .acquiring)) else {
            return makeFirst()
        }
        return Unmanaged<Value>.fromOpaque(found).takeUnretainedValue()
    }

    @inline(never)
    private func makeFirst() -> Value {
        let new = Unmanaged.passRetained(make())
        let (isKept, _) = made.compareExchange(
            expected: 0, desired: UInt(bitPattern: new.toOpaque()), ordering: .acquiringAndReleasing)
        if !isKept { new.release() }
        return value
    }
}

/// The keys of a section, one after the other.
@resultBuilder
enum Keys<Model: Sendable> {
    static func buildExpression(_ key: Key<Model>) -> [Key<Model>] { [key] }
    static func buildExpression(_ keys: [Key<Model>]) -> [Key<Model>] { keys }
    static func buildBlock(_ keys: [Key<Model>]...) -> [Key<Model>] { keys.flatMap { $0 } }
}

/// A map with known keys, and the model it fills.
struct Section<Model: Sendable>: Form {
    typealias Value = Model

    let shape: SectionShape
    private let keys: [Key<Model>]
    private let start: @Sendable (Node) -> Model
    private let finish: (@Sendable (Node, inout Model) -> Void)?
    private let uses: (@Sendable (Model) -> Uses)?
    /// Keys of which one has to be read each time, or there is no value: by their places, as bits.
    private let needed: [UInt64]

    /// - Parameters:
    ///   - name: what the manual and the messages call it.
    ///   - start: the model with every default, and what it has from the node itself.
    ///   - exactlyOne: groups of keys of which exactly one has to be given.
    ///   - dispensable: required keys without which the rest is still looked at: the file is refused anyway.
    ///   - later: keys of the design that this version does not have yet: refused, but known.
    ///   - finish: defaults that depend on other values.
    ///   - uses: what a place with this value is for.
    init(
        _ name: String, _ start: @escaping @Sendable (Node) -> Model, exactlyOne: [[String]] = [],
        dispensable: Set<String> = [], later: [String] = [], hasExtensions: Bool = false,
        finish: (@Sendable (Node, inout Model) -> Void)? = nil, uses: (@Sendable (Model) -> Uses)? = nil,
        @Keys<Model> keys: () -> [Key<Model>]
    ) {
        let keys = keys()
        self.keys = keys
        self.start = start
        self.finish = finish
        self.uses = uses
        let fresh = start(Node(content: .map([]), origin: .none))
        let freshUses = uses?(fresh) ?? .all
        let shape = SectionShape(
            name: name,
            keys: keys.map { key in
                var shape = key.shape
                // Of keys that exclude each other none is the default.
                if !exactlyOne.contains(where: { $0.contains(shape.name) }) {
                    shape.setDefault { key.write(fresh, freshUses) }
                }
                return shape
            }, exactlyOne: exactlyOne, later: later, hasExtensions: hasExtensions,
            model: { node in
                var model = start(node)
                for entry in node.entries {
                    for key in keys where key.shape.name == entry.key.value {
                        _ = key.fill(entry.value, &model)
                    }
                }
                return model
            })
        self.shape = shape
        let groups =
            shape.keys.filter(\.isRequired).map { [$0.name] } + exactlyOne.filter { !$0.isEmpty }
        needed = groups.filter { dispensable.isDisjoint(with: $0) }.map { group in
            group.reduce(0) { $0 | 1 << UInt64(shape.index[$1] ?? 63) }
        }
    }

    var kind: Kind { .section(shape) }

    func read(_ node: Node) -> Model? {
        var model = start(node)
        return fill(&model, from: node) ? model : nil
    }

    /// False when something is missing without which there is no value.
    fileprivate func fill(_ model: inout Model, from node: Node) -> Bool {
        guard case .map(let entries) = node.content else { return false }
        var filled: UInt64 = 0
        for entry in entries {
            guard let place = shape.index[entry.key.value] else { continue }
            if keys[place].fill(entry.value, &model) { filled |= 1 << UInt64(place) }
        }
        finish?(node, &model)
        return needed.allSatisfy { $0 & filled != 0 }
    }

    func write(_ model: Model, _ uses: Uses) -> Node? {
        let uses = self.uses?(model) ?? uses
        var entries: [Node.Entry] = []
        for (key, shape) in zip(keys, shape.keys) where !shape.uses.isDisjoint(with: uses) {
            guard let node = key.write(model, uses) else { continue }
            switch shape.presence {
            case .always: if node.isEmpty, shape.defaultNode?.isEmpty ?? true { continue }
            case .unlessEmpty: if node.isEmpty { continue }
            case .ifChanged: if node.content == shape.defaultNode?.content { continue }
            }
            entries.append(Node.Entry(key: Text(shape.name), value: node))
        }
        return Node(content: .map(entries), origin: .none)
    }
}

/// What can be written in a section, whatever it fills.
final class SectionShape: Sendable {
    /// What the manual and the messages call it: "listener".
    let name: String
    let keys: [KeyShape]
    let names: [String]
    /// Places of keys by their names.
    let index: [String: Int]
    /// Groups of keys of which exactly one has to be given.
    let exactlyOne: [[String]]
    /// Keys of the design that this version does not have yet: refused, but known.
    let later: [String]
    /// Keys that begin with "x-" are the user's own, for anchors: nobody looks at them.
    let hasExtensions: Bool
    /// The section of the manual that has all of its keys, and more.
    let excerptOf: String?
    /// The model with what a node says, for whoever looks at keys one by one.
    let model: @Sendable (Node) -> Any

    init(
        name: String, keys: [KeyShape], exactlyOne: [[String]] = [], later: [String] = [],
        hasExtensions: Bool = false, excerptOf: String? = nil,
        model: @escaping @Sendable (Node) -> Any = { _ in () }
    ) {
        self.name = name
        self.keys = keys
        names = keys.map(\.name)
        index = Dictionary(
            keys.enumerated().map { ($0.element.name, $0.offset) }, uniquingKeysWith: { first, _ in first })
        self.exactlyOne = exactlyOne
        self.later = later
        self.hasExtensions = hasExtensions
        self.excerptOf = excerptOf
        self.model = model
    }

    subscript(name: String) -> KeyShape? { index[name].map { keys[$0] } }

    /// Those of its keys that may stand in other places.
    func excerpt(_ name: String, of whole: String, _ place: Places) -> SectionShape {
        SectionShape(
            name: name, keys: keys.filter { $0.places.contains(place) }, later: later, excerptOf: whole)
    }

    /// The keys written in a node that say nothing in a place for `uses`, each with the sections it stands in below
    /// this one.
    func unfit(_ node: Node, _ uses: Uses, _ path: [String] = []) -> [(
        key: KeyShape, name: Text, path: [String]
    )] {
        node.entries.flatMap { entry -> [(key: KeyShape, name: Text, path: [String])] in
            guard let key = self[entry.key.value] else { return [] }
            if key.uses.isDisjoint(with: uses) { return [(key, entry.key, path)] }
            guard !key.isPassedOn, case .section(let inner) = key.kind else { return [] }
            return inner.unfit(entry.value, uses, path + [key.name])
        }
    }
}

/// What is said about one key.
struct KeyShape: Sendable {
    /// Keys have been there since this version unless they say otherwise.
    static let firstVersion = "0.1.0"

    let name: String
    private let kindOfValue: @Sendable () -> Kind
    /// The default in words, where no value says it.
    fileprivate let words: String?
    let isRequired: Bool
    /// The paragraph of the manual.
    let doc: String
    /// As it would be written under its section.
    let example: String
    let uses: Uses
    let since: String
    let presence: Presence
    /// For keys of routes: where else they may stand.
    var places: Places = []
    /// It fills no field: what it says is said to other places.
    var isPassedOn = false
    /// What stands under it fills fields of the model the key is of.
    var isGroup = false
    private var writtenDefault: @Sendable () -> Node? = { nil }

    fileprivate init(
        name: String, kind: @escaping @Sendable () -> Kind, words: String?, isRequired: Bool, doc: String,
        example: String, uses: Uses, since: String, presence: Presence, isPassedOn: Bool = false,
        isGroup: Bool = false
    ) {
        self.name = name
        kindOfValue = kind
        self.words = words
        self.isRequired = isRequired
        self.doc = doc
        self.example = example
        self.uses = uses
        self.since = since
        self.presence = presence
        self.isPassedOn = isPassedOn
        self.isGroup = isGroup
    }

    /// What may stand there.
    var kind: Kind { kindOfValue() }

    /// The default as it would be written.
    var defaultNode: Node? { writtenDefault() }

    fileprivate mutating func setDefault(_ written: @escaping @Sendable () -> Node?) {
        if !isRequired { writtenDefault = written }
    }

    /// As it would be written; nil when there is none.
    var defaultText: String? {
        if let words { return words }
        // What a section has by default is said at its own keys.
        if case .section = kind { return nil }
        if case .map = kind { return nil }
        return defaultNode?.yaml
    }
}
