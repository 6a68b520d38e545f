// Sections of the configuration, each defined once: beside the struct of the model a section fills stand its keys, each
// with the field it fills (Sections/). What walks them is here and knows no key: the builder, the defaults, the normal
// form. The checks, the JSON Schema and the manual walk the same keys (Schema.swift).

/// A section and the struct of the model it fills.
struct Definition<Model: Sendable>: Sendable {
    /// What can be written: for the checks, the schema and the manual.
    let section: Section
    let settings: [Setting<Model>]

    /// - Parameters:
    ///   - name: what the manual and the messages call it.
    ///   - fresh: the model with every default.
    init(_ name: String, _ fresh: Model, later: [String] = [], _ settings: [Setting<Model>]) {
        section = Section(name: name, keys: settings.map { $0.key(of: fresh) }, later: later)
        self.settings = settings
    }

    /// Takes over what is written; what is not, or cannot be read, stays as it is (the checks have reported that).
    func fill(_ model: inout Model, from node: Node?) {
        guard let node else { return }
        for setting in settings {
            if let value = node[setting.name] { setting.fill(value, &model) }
        }
    }

    /// The section as it could be written, with every key that says something where it stands.
    func text(_ model: Model, for uses: Uses = .all) -> String {
        let keys = settings.filter { !$0.uses.isDisjoint(with: uses) }
        return "{ " + keys.map { "\($0.name): \($0.text(model))" }.joined(separator: ", ") + " }"
    }
}

/// One key of a section, and the field of the model it fills.
struct Setting<Model: Sendable>: Sendable {
    let name: String
    /// The places where the key says something.
    let uses: Uses
    /// The fields it fills; more than one if it groups other keys.
    let fields: [any PartialKeyPath<Model> & Sendable]
    let fill: @Sendable (Node, inout Model) -> Void
    /// The value of the field as it could be written.
    let text: @Sendable (Model) -> String
    private let kind: Kind
    private let defaultText: @Sendable (Model) -> String?
    private let doc: String
    private let example: String

    /// - Parameter words: what the manual says of the default instead of its value.
    init<F: Form>(
        _ name: String, _ form: F, _ field: any WritableKeyPath<Model, F.Value> & Sendable,
        default words: String? = nil, for uses: Uses = .all, _ doc: String, example: String
    ) {
        self.name = name
        self.uses = uses
        fields = [field]
        fill = { node, model in
            if let value = form.read(node) { model[keyPath: field] = value }
        }
        text = { form.text($0[keyPath: field]) }
        kind = form.kind
        defaultText = { words ?? form.text($0[keyPath: field]) }
        self.doc = doc
        self.example = example
    }

    /// A key that groups others, which fill fields of the same struct.
    init(_ name: String, group: Definition<Model>, _ doc: String, example: String) {
        self.name = name
        uses = .all
        fields = group.settings.flatMap(\.fields)
        fill = { node, model in group.fill(&model, from: node) }
        text = { group.text($0) }
        kind = .section(group.section)
        defaultText = { _ in nil }
        self.doc = doc
        self.example = example
    }

    fileprivate func key(of fresh: Model) -> Key {
        Key(name, kind, default: defaultText(fresh), for: uses, doc, example: example)
    }
}

/// What a place is for: some keys say something on some listeners only.
struct Uses: OptionSet, Sendable {
    let rawValue: UInt8

    static let http = Uses(rawValue: 1 << 0)
    static let tcp = Uses(rawValue: 1 << 1)
    static let udp = Uses(rawValue: 1 << 2)
    /// TCP, with a PROXY header, a handshake or a ClientHello to wait for.
    static let awaitedHead = Uses(rawValue: 1 << 3)
    /// TCP, with a service for clients that say nothing.
    static let silentClients = Uses(rawValue: 1 << 4)

    static let all = Uses(rawValue: .max)
}

extension Listener {
    var uses: Uses {
        switch `protocol` {
        case .http: return .http
        case .udp: return .udp
        case .tcp:
            var uses = Uses.tcp
            if proxyProtocol == .required || tls != nil || !serverNames.isEmpty { uses.insert(.awaitedHead) }
            if serverNames.contains(where: { $0.pattern.value == "*" }) { uses.insert(.silentClients) }
            return uses
        }
    }
}
