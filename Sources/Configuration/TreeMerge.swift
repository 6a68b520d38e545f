// What a tree means beyond what is written in it: values inherited by routes, and relative paths.
//
// The one merge rule: maps merge by key, everything else replaces. It works on the tree, guided by the
// definition of the language alone: a key that is added to routes can be inherited without a word here.
// Positions are those of where a value was written.

extension Kind {
    /// What a map is here: a section, or names chosen by the user.
    fileprivate var ofMap: Kind? {
        switch self {
        case .section, .map: self
        case .either(let kinds): kinds.lazy.compactMap(\.ofMap).first
        case .oneOrMany(let inner): inner.ofMap
        default: nil
        }
    }

    /// What an element of a list is here.
    fileprivate var ofElement: Kind? {
        switch self {
        case .list(let inner), .oneOrMany(let inner): inner
        case .either(let kinds): kinds.lazy.compactMap(\.ofElement).first
        default: nil
        }
    }

    /// What the text of a scalar is here, if it is one.
    fileprivate var ofText: TextRule? {
        switch self {
        case .text(let rule): rule
        case .either(let kinds): kinds.lazy.compactMap(\.ofText).first
        case .oneOrMany(let inner): inner.ofText
        default: nil
        }
    }

    fileprivate var words: [String] {
        switch self {
        case .word(let word): [word]
        case .either(let kinds): kinds.flatMap(\.words)
        default: []
        }
    }
}

extension Node {
    /// This node with what `base` has and it has not.
    func merged(over base: Node, _ kind: Kind) -> Node {
        guard case .map(let own) = content, case .map(let inherited) = base.content, let map = kind.ofMap
        else { return self }
        func name(_ entry: Entry) -> String {
            // Names of fields are the same in any case.
            if case .map(_, of: .fieldName) = map { entry.key.value.lowercased() } else { entry.key.value }
        }
        var places: [String: Int] = [:]
        for (index, entry) in own.enumerated() { places[name(entry)] = index }
        var replaced: Set<String> = []
        if case .section(let section) = map {
            for group in section.exactlyOne where group.contains(where: { places[$0] != nil }) {
                replaced.formUnion(group)
            }
        }
        var result: [Entry] = []
        var taken: Set<Int> = []
        for entry in inherited {
            if let place = places[name(entry)] {
                var mine = own[place]
                if let kind = map.value(of: entry.key.value) {
                    mine.value = mine.value.merged(over: entry.value, kind)
                }
                result.append(mine)
                taken.insert(place)
            } else if !replaced.contains(entry.key.value) {
                result.append(entry)
            }
        }
        result += own.indices.filter { !taken.contains($0) }.map { own[$0] }
        return Node(content: .map(result), origin: origin, isFaulty: isFaulty)
    }

    /// With every path of a file or socket as it is reached from anywhere.
    func withPaths(from surroundings: Surroundings, _ kind: Kind) -> Node {
        var result = self
        switch content {
        case .scalar(let text, let plain):
            guard !isNull, !kind.words.contains(text),
                let path = kind.ofText?.path(text, surroundings, besidesWords: !kind.words.isEmpty)
            else { return self }
            result.content = .scalar(path, plain: plain)
        case .list(let elements):
            guard let inner = kind.ofElement else { return self }
            result.content = .list(elements.map { $0.withPaths(from: surroundings, inner) })
        case .map(let entries):
            guard let map = kind.ofMap else { return self }
            result.content = .map(
                entries.map { entry in
                    guard let inner = map.value(of: entry.key.value) else { return entry }
                    return Entry(key: entry.key, value: entry.value.withPaths(from: surroundings, inner))
                })
        }
        return result
    }
}

extension Kind {
    /// What stands under a key, of a kind that is a map.
    fileprivate func value(of key: String) -> Kind? {
        switch self {
        case .section(let section): section[key]?.kind
        case .map(let inner, _): inner
        default: nil
        }
    }
}

extension TextRule {
    /// The text with its path absolute; nil when it has none.
    /// - Parameter besidesWords: there are words that mean something else. A bare word is then more often
    ///   a slip of one of them than a file.
    fileprivate func path(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String? {
        switch self {
        case .file, .folder, .logPath:
            if text.isEmpty { return nil }
            let isBare = !text.contains("/") && !text.contains(".")
            return isBare && (besidesWords || self == .logPath) ? nil : surroundings.path(text)
        case .listenAddress, .endpointAddress:
            guard text.hasPrefix("unix:") else { return nil }
            let path = String(text.dropFirst(5))
            // "@" begins an abstract name, which is no path.
            return path.isEmpty || path.hasPrefix("@") ? nil : "unix:" + surroundings.path(path)
        default: return nil
        }
    }
}

// MARK: routes

/// What routes inherit: from the top of the file, and from the listener they are on.
struct RouteDefaults {
    static let key = "routes-defaults"

    private let top: Node?
    /// HTTP listeners in order, each with its own defaults.
    private let listeners: [(name: String, defaults: Node?)]

    init(root: Node) {
        top = root[Self.key]
        listeners = (root["listeners"]?.entries ?? []).filter {
            ($0.value["protocol"]?.text ?? "http") == "http"
        }
        .map { ($0.key.value, $0.value[Self.key]) }
    }

    /// The tree with every route as it takes effect. A route on listeners with different defaults becomes
    /// several, one for each kind of listener.
    func applied(to root: Node) -> Node {
        guard top != nil || listeners.contains(where: { $0.defaults != nil }),
            case .map(var entries) = root.content,
            let place = entries.firstIndex(where: { $0.key.value == "routes" }),
            case .list(let routes) = entries[place].value.content
        else { return root }
        entries[place].value.content = .list(routes.flatMap(effective))
        return Node(content: .map(entries), origin: root.origin)
    }

    private func effective(_ route: Node) -> [Node] {
        guard case .map = route.content else { return [route] }
        let wanted = route["listeners"]?.texts
        let names = wanted.map { Set($0.map(\.value)) }
        let own = listeners.filter { names?.contains($0.name) ?? true }
        let special = own.filter { $0.defaults != nil }
        if special.isEmpty { return [with([top], route)] }
        // Names that lead nowhere stay with the rest, to be reported.
        let rest =
            wanted?.filter { name in !special.contains { $0.name == name.value } }
            ?? own.filter { $0.defaults == nil }.map { Text($0.name, at: route.origin) }
        if rest.isEmpty && special.count == 1 { return [with([top, special[0].defaults], route)] }
        var result = special.map { listener in
            let name = wanted?.first { $0.value == listener.name } ?? Text(listener.name, at: route.origin)
            return with([top, listener.defaults], route.on([name]))
        }
        if !rest.isEmpty { result.append(with([top], route.on(rest))) }
        return result
    }

    private func with(_ defaults: [Node?], _ route: Node) -> Node {
        let isForService = route["service"] != nil
        var inherited = Node(content: .map([]), origin: route.origin)
        for node in defaults {
            if let node { inherited = node.merged(over: inherited, .section(Language.routeDefaults)) }
        }
        guard case .map(let all) = inherited.content else { return route }
        // What a route of its kind has no use for is not inherited.
        let useful = all.filter { entry in
            isForService
                || !Language.serviceRouteKeys.contains(entry.key.value)
                    && !(entry.key.value == "compression" && route["redirect"] != nil)
        }
        return route.merged(
            over: Node(content: .map(useful), origin: inherited.origin), .section(Language.route))
    }
}

extension Node {
    /// A route on these listeners only.
    fileprivate func on(_ listeners: [Text]) -> Node {
        let list = Node(
            content: .list(
                listeners.map { Node(content: .scalar($0.value, plain: false), origin: $0.origin) }),
            origin: listeners.first?.origin ?? origin)
        var result = self
        result.content = .map(
            entries.filter { $0.key.value != "listeners" }
                + [Entry(key: Text("listeners", at: list.origin), value: list)])
        return result
    }
}
