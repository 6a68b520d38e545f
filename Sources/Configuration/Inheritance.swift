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
    fileprivate var ofText: (any ScalarForm)? {
        switch self {
        case .scalar(let form): form
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
            if case .map(_, let rule) = map, rule.ignoresCase {
                entry.key.value.lowercased()
            } else {
                entry.key.value
            }
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
                let path = kind.ofText?.located(text, surroundings, besidesWords: !kind.words.isEmpty)
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

// MARK: routes

/// What routes inherit: from the top of the file, from the listener they are on, and from the policies they name.
struct RouteDefaults {
    static let key = "routes-defaults"
    static let policiesKey = "policies"

    /// Most places of routes on listeners that differ, over all routes: a file of some kilobytes can stand for
    /// any number of them.
    static let placesMax = 100_000

    /// HTTP listeners on which a route is the same.
    private struct Kind {
        /// What they have of their own; nil: nothing.
        var defaults: Node?
        var listeners: [Text]
    }

    /// What the file's policies say, by name.
    private let policies: [String: Node]
    /// What services have of their own, by name.
    private let services: [String: Node]
    private let top: Node?
    /// In order, and last, even if there are none, those without defaults of their own.
    private let kinds: [Kind]
    /// The kinds that there are.
    private let all: [Kind]
    /// Places in `kinds` by the names of listeners.
    private let kindOf: [String: Int]

    init(root: Node) {
        let policies = Dictionary(
            (root[Self.policiesKey]?.entries ?? []).map { ($0.key.value, $0.value) },
            uniquingKeysWith: { first, _ in first })
        self.policies = policies
        top = root[Self.key]?.resolved(policies)
        services = Dictionary(
            (root["services"]?.entries ?? []).compactMap { entry in
                entry.value[Self.key].map { (entry.key.value, $0.resolved(policies)) }
            }, uniquingKeysWith: { first, _ in first })
        var kinds: [Kind] = []
        var plain = Kind(defaults: nil, listeners: [])
        for listener in root["listeners"]?.entries ?? []
        where (listener.value["protocol"]?.text ?? "http") == "http" {
            guard let defaults = listener.value[Self.key]?.resolved(policies) else {
                plain.listeners.append(listener.key)
                continue
            }
            if let same = kinds.firstIndex(where: { $0.defaults?.content == defaults.content }) {
                kinds[same].listeners.append(listener.key)
            } else {
                kinds.append(Kind(defaults: defaults, listeners: [listener.key]))
            }
        }
        kinds.append(plain)
        var kindOf: [String: Int] = [:]
        for (index, kind) in kinds.enumerated() {
            for name in kind.listeners { kindOf[name.value] = index }
        }
        self.kinds = kinds
        self.kindOf = kindOf
        all = kinds.filter { !$0.listeners.isEmpty }
    }

    /// The tree with every route as it takes effect. A route on listeners with different defaults becomes
    /// several, one for each kind of listener. More of that than is sensible is reported, and not done.
    func applied(to root: Node, _ check: inout SchemaCheck) -> Node {
        guard top != nil || kinds.count > 1 || !policies.isEmpty || !services.isEmpty,
            case .map(var entries) = root.content,
            let place = entries.firstIndex(where: { $0.key.value == "routes" }),
            case .list(let routes) = entries[place].value.content
        else { return root }
        var effective: [Node] = []
        var places = 0
        for route in routes {
            let kinds = kinds(of: route)
            places += kinds.count > 1 ? kinds.reduce(0) { $0 + $1.listeners.count } : 1
            guard places <= Self.placesMax else {
                check.report(
                    "\(routes.count) routes on listeners with different routes-defaults are more than \(Self.placesMax) routes",
                    entries[place].key.origin,
                    "expected fewer: listeners with the same routes-defaults share routes, and listeners on a route says which it is for"
                )
                return root
            }
            effective += self.effective(route, kinds)
        }
        entries[place].value.content = .list(effective)
        return Node(content: .map(entries), origin: root.origin)
    }

    /// The kinds of listeners a route is on, with those of them that it is on.
    private func kinds(of route: Node) -> [Kind] {
        // As with hosts and paths, an empty list leaves nothing out.
        guard let wanted = route["listeners"]?.texts, !wanted.isEmpty else { return all }
        var listeners: [Int: [Text]] = [:]
        for name in wanted {
            // Names that lead nowhere stay with the rest, to be reported.
            listeners[kindOf[name.value] ?? kinds.count - 1, default: []].append(name)
        }
        return listeners.sorted { $0.key < $1.key }.map {
            Kind(defaults: kinds[$0.key].defaults, listeners: $0.value)
        }
    }

    private func effective(_ route: Node, _ kinds: [Kind]) -> [Node] {
        guard case .map = route.content else { return [route] }
        if kinds.count < 2 { return [with([top, kinds.first?.defaults], route)] }
        return kinds.map { with([top, $0.defaults], route.on($0.listeners)) }
    }

    private func with(_ defaults: [Node?], _ route: Node) -> Node {
        let uses = Route.uses(route)
        var inherited = Node(content: .map([]), origin: route.origin)
        for node in defaults + [route["service"]?.text.flatMap { services[$0] }] {
            if let node { inherited = node.merged(over: inherited, .section(Route.section.shape)) }
        }
        inherited = route.policies(policies, over: inherited)
        guard case .map(let all) = inherited.content else { return route }
        // What a route of its kind has no use for is not inherited.
        let useful = all.filter { entry in
            !(Route.section.shape[entry.key.value]?.uses.isDisjoint(with: uses) ?? true)
        }
        return route.merged(
            over: Node(content: .map(useful), origin: inherited.origin), .section(Route.section.shape))
    }
}

extension Node {
    /// What the policies named here say, the later before the earlier, and what `base` has besides. Names that lead
    /// nowhere have been reported.
    fileprivate func policies(_ policies: [String: Node], over base: Node) -> Node {
        (self[RouteDefaults.policiesKey]?.texts ?? []).reduce(base) { base, name in
            policies[name.value]?.merged(over: base, .section(Route.section.shape)) ?? base
        }
    }

    /// Defaults of routes with what their policies say in place of the names.
    fileprivate func resolved(_ policies: [String: Node]) -> Node {
        guard case .map(let entries) = content, self[RouteDefaults.policiesKey] != nil else { return self }
        let own = Node(
            content: .map(entries.filter { $0.key.value != RouteDefaults.policiesKey }), origin: origin,
            isFaulty: isFaulty)
        return own.merged(
            over: self.policies(policies, over: Node(content: .map([]), origin: origin)),
            .section(Route.section.shape))
    }

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
