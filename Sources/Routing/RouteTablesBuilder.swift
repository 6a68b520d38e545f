// Compiling rules into tables, and finding routes that can never win. Not on the hot path.

import WeirHTTPModel

/// A route that can never win, and the earlier one that takes all its requests.
public struct UnreachableRoute: Sendable, Equatable {
    /// Index of the route that never wins.
    public var route: Int
    /// Index of the route that wins in its place (on the first host and path it has).
    public var shadowedBy: Int
}

struct RouteTablesBuilder {
    private struct Path {
        var candidates: [Candidate] = []

        /// In the order of declaration; a route that has a path twice stands once.
        mutating func add(_ candidate: Candidate) {
            if candidates.last?.route != candidate.route { candidates.append(candidate) }
        }

        /// More conditions first, then the order of declaration.
        mutating func rank(_ counts: [Int]) {
            candidates.sort { (counts[Int($1.route)], $0.route) < (counts[Int($0.route)], $1.route) }
        }
    }
    private struct DraftNode {
        var parent: Int32
        var label: [UInt8]
        var literals: [[UInt8]: Int32] = [:]
        var capture: Int32 = Node.none
        var full = Path()
        var early = Path()
        var prefix = Path()
    }
    private struct DraftHost {
        var pattern: HostPattern
        var root: Int32
        var expressions: [(expression: RegularExpression, path: Path)] = []
        /// Where an expression is in `expressions`, by its text.
        var expressionIndexes: [String: Int] = [:]
    }

    private let rules: [RouteRule]
    /// What each rule asks for beyond host and path, conditions once each.
    private let identities: [Set<String>]
    private var nodes: [DraftNode] = []
    private var hosts: [DraftHost] = []
    private(set) var hostIndexes: [HostPattern: Int32] = [:]
    private var bytes: [UInt8] = [0x2f]
    private var numbers: [UInt16] = []
    private var names: [String: UInt16] = [:]
    private var captureNames: [ByteRange] = []
    private(set) var unreachable: [UnreachableRoute] = []

    init(_ rules: [RouteRule]) {
        self.rules = rules
        identities = rules.map(\.identity)
        _ = host(.any)
        for (index, rule) in rules.enumerated() {
            for pattern in rule.hosts.isEmpty ? [.any] : rule.hosts {
                let host = host(pattern)
                for (at, path) in (rule.paths.isEmpty ? [.all] : rule.paths).enumerated() {
                    add(route: index, path: path, at: at, to: host)
                }
            }
        }
        let counts = rules.indices.map { identities[$0].count + (rules[$0].methods.isEmpty ? 0 : 1) }
        for index in nodes.indices {
            nodes[index].full.rank(counts)
            nodes[index].early.rank(counts)
            nodes[index].prefix.rank(counts)
        }
        for host in hosts.indices {
            for index in hosts[host].expressions.indices {
                hosts[host].expressions[index].path.rank(counts)
            }
        }
    }

    private mutating func host(_ pattern: HostPattern) -> Int {
        if let known = hostIndexes[pattern] { return Int(known) }
        hostIndexes[pattern] = Int32(hosts.count)
        hosts.append(DraftHost(pattern: pattern, root: node(parent: Node.none, label: [])))
        return hosts.count - 1
    }

    private mutating func node(parent: Int32, label: [UInt8]) -> Int32 {
        nodes.append(DraftNode(parent: parent, label: label))
        return Int32(nodes.count - 1)
    }

    private mutating func store(_ content: [UInt8]) -> ByteRange {
        bytes += content
        return ByteRange(bytes.count - content.count, content.count)
    }

    private mutating func name(_ text: String) -> UInt16 {
        if let known = names[text] { return known }
        let index = UInt16(truncatingIfNeeded: captureNames.count)
        names[text] = index
        captureNames.append(store(Array(text.utf8)))
        return index
    }

    private mutating func add(route: Int, path: PathPattern, at pathIndex: Int, to host: Int) {
        let names = path.captures.map { name($0) }
        let candidate = Candidate(
            route: Int32(route), path: Int32(pathIndex),
            names: ListRef(start: Int32(numbers.count), count: Int32(names.count)), hasTail: path.tail != nil)
        numbers += names
        if let expression = path.expression {
            let place = hosts[host].expressionIndexes[expression.text] ?? hosts[host].expressions.count
            if place == hosts[host].expressions.count {
                hosts[host].expressions.append((expression, Path()))
                hosts[host].expressionIndexes[expression.text] = place
            }
            hosts[host].expressions[place].path.add(candidate)
            return
        }
        var at = Int(hosts[host].root)
        for segment in path.segments {
            switch segment {
            case .literal(let label):
                if let next = nodes[at].literals[label] {
                    at = Int(next)
                } else {
                    let next = node(parent: Int32(at), label: label)
                    nodes[at].literals[label] = next
                    at = Int(next)
                }
            case .capture:
                if nodes[at].capture == Node.none {
                    let next = node(parent: Int32(at), label: [])
                    nodes[at].capture = next
                }
                at = Int(nodes[at].capture)
            }
        }
        if path.kind != .prefix {
            nodes[at].full.add(candidate)
        } else if rules[route].isBeforeExpressions {
            nodes[at].early.add(candidate)
        } else {
            nodes[at].prefix.add(candidate)
        }
    }

    // MARK: Routes that never win

    /// What the candidates of one list take that ask for the same conditions. Only those are compared: a
    /// candidate that stands before another has as many conditions or more, the methods counted as one,
    /// so it takes all of the other's requests only if it has the same ones.
    private struct Earlier {
        /// The first that takes every method.
        var whole: Int?
        /// Those that take some methods, by each of them, in order.
        var byMethod: [String: [Int]] = [:]

        /// The first that takes all requests with these methods.
        func winner(over methods: [String], _ rules: [RouteRule]) -> Int? {
            if methods.isEmpty { return whole }
            // Whoever takes all of them takes the one that fewest take.
            let rarest = methods.map { byMethod[$0] ?? [] }.min { $0.count < $1.count } ?? []
            return rarest.first { Set(methods).isSubset(of: rules[$0].methods) }
        }

        mutating func add(_ route: Int, _ methods: [String]) {
            if methods.isEmpty, whole == nil { whole = route }
            for method in methods { byMethod[method, default: []].append(route) }
        }
    }

    private mutating func findUnreachable() {
        var places = [Int](repeating: 0, count: rules.count)
        var shadowed = [Int](repeating: 0, count: rules.count)
        var by = [Int](repeating: -1, count: rules.count)
        func look(_ candidates: [Candidate]) {
            if candidates.count == 1 {
                places[Int(candidates[0].route)] += 1
                return
            }
            var earlier: [Set<String>: Earlier] = [:]
            for candidate in candidates {
                let route = Int(candidate.route)
                places[route] += 1
                let methods = rules[route].methods
                if let winner = earlier[identities[route]]?.winner(over: methods, rules) {
                    shadowed[route] += 1
                    if by[route] < 0 { by[route] = winner }
                }
                earlier[identities[route], default: Earlier()].add(route, methods)
            }
        }
        for node in nodes {
            look(node.full.candidates)
            look(node.early.candidates)
            look(node.prefix.candidates)
        }
        for host in hosts {
            for (_, path) in host.expressions { look(path.candidates) }
        }
        unreachable = rules.indices.filter { places[$0] > 0 && places[$0] == shadowed[$0] }
            .map { UnreachableRoute(route: $0, shadowedBy: by[$0]) }
    }

    // MARK: Flat tables

    mutating func build() -> RouteTables {
        findUnreachable()
        var candidates: [Candidate] = []
        func list(_ path: Path) -> ListRef {
            candidates += path.candidates
            return ListRef(
                start: Int32(candidates.count - path.candidates.count), count: Int32(path.candidates.count))
        }
        var flatNodes: [Node] = []
        for index in nodes.indices {
            let draft = nodes[index]
            var node = Node()
            node.parent = draft.parent
            node.label = store(draft.label)
            node.captureChild = draft.capture
            node.onlyChild =
                draft.literals.count > 1 ? Node.many : draft.literals.first?.value ?? Node.none
            node.full = list(draft.full)
            node.early = list(draft.early)
            node.prefix = list(draft.prefix)
            node.subtreeHasFull = node.full.count > 0
            node.subtreeHasEarly = node.early.count > 0
            node.subtreeHasPrefix = node.prefix.count > 0
            flatNodes.append(node)
        }
        // Children come after their parents, so one pass from the end carries the marks to the roots.
        for index in flatNodes.indices.reversed() where flatNodes[index].parent >= 0 {
            let parent = Int(flatNodes[index].parent)
            if flatNodes[index].subtreeHasFull { flatNodes[parent].subtreeHasFull = true }
            if flatNodes[index].subtreeHasEarly { flatNodes[parent].subtreeHasEarly = true }
            if flatNodes[index].subtreeHasPrefix { flatNodes[parent].subtreeHasPrefix = true }
        }
        var expressions: [ExpressionEntry] = []
        var flatHosts: [HostEntry] = []
        for draft in hosts {
            var entry = HostEntry()
            entry.name = store(Array(draft.pattern.name.utf8))
            entry.isWildcard = draft.pattern.kind == .wildcard
            entry.root = draft.root
            entry.fallback = fallback(draft.pattern)
            entry.expressions.start = Int32(expressions.count)
            entry.expressions.count = Int32(draft.expressions.count)
            for (expression, path) in draft.expressions {
                let groups = ListRef(start: Int32(numbers.count), count: Int32(expression.groups.count))
                numbers += expression.groups.map { UInt16($0.number) }
                expressions.append(
                    ExpressionEntry(code: expression.code, candidates: list(path), groups: groups))
            }
            flatHosts.append(entry)
        }
        var conditions: [ConditionEntry] = []
        var methods: [ByteRange] = []
        var checks: [RouteChecks] = []
        for rule in rules { checks.append(compile(rule, &conditions, &methods)) }
        let exact = hosts.indices.filter { hosts[$0].pattern.kind == .exact }
        let wildcards = hosts.indices.filter { hosts[$0].pattern.kind == .wildcard }
        let hostHash: (Int) -> UInt32 = { [hosts] in
            Self.hash(Array(hosts[$0].pattern.name.utf8), seed: 0, folding: true)
        }
        let children = nodes.indices.filter {
            nodes[$0].parent >= 0 && flatNodes[Int(nodes[$0].parent)].onlyChild == Node.many
                && nodes[Int(nodes[$0].parent)].capture != Int32($0)
        }
        return RouteTables(
            hosts: Self.freeze(flatHosts),
            exactSlots: Self.slots(exact, hash: hostHash),
            wildcardSlots: Self.slots(wildcards, hash: hostHash),
            hasWildcards: !wildcards.isEmpty,
            nodes: Self.freeze(flatNodes),
            edges: Self.slots(children) { [nodes] in
                Self.hash(nodes[$0].label, seed: RouteTables.edgeSeed(nodes[$0].parent), folding: false)
            },
            candidates: Self.freeze(candidates), expressions: Self.freeze(expressions),
            checks: Self.freeze(checks), conditions: Self.freeze(conditions), methods: Self.freeze(methods),
            numbers: Self.freeze(numbers), captureNames: Self.freeze(captureNames),
            bytes: Self.freeze(bytes))
    }

    /// The longest wildcard that covers a host and is not itself; else any.
    private func fallback(_ pattern: HostPattern) -> Int32 {
        if pattern.kind == .any { return -1 }
        var name = Substring(pattern.name)
        while let dot = name.firstIndex(of: ".") {
            name = name[name.index(after: dot)...]
            if let found = hostIndexes[HostPattern(kind: .wildcard, name: String(name))] { return found }
        }
        return 0
    }

    private mutating func compile(
        _ rule: RouteRule, _ conditions: inout [ConditionEntry], _ methods: inout [ByteRange]
    ) -> RouteChecks {
        var checks = RouteChecks()
        checks.otherMethods.start = Int32(methods.count)
        for name in rule.methods {
            if let known = Method.allCases.first(where: { $0 != .other && $0.name.description == name }) {
                checks.methodMask |= 1 << UInt16(known.rawValue)
            } else {
                methods.append(store(Array(name.utf8)))
                checks.methodMask |= 1 << UInt16(Method.other.rawValue)
            }
        }
        checks.otherMethods.count = Int32(methods.count) - checks.otherMethods.start
        checks.conditions = ListRef(
            start: Int32(conditions.count), count: Int32(rule.conditions.count + (rule.when == nil ? 0 : 1)))
        for condition in rule.conditions {
            var entry = ConditionEntry(
                source: .field, test: .present, isNegated: condition.isNegated, id: .other, name: .empty,
                value: .empty, code: nil)
            switch condition.source {
            case .field(let name):
                let name = name.lowercased()
                entry.name = store(Array(name.utf8))
                entry.id = FieldID.allCases.first { $0 != .other && $0.name.description == name } ?? .other
            case .query(let name):
                entry.source = .query
                entry.name = store(Array(name.utf8))
            case .cookie(let name):
                entry.source = .cookie
                entry.name = store(Array(name.utf8))
            case .certificate(let part):
                entry.source = .certificate
                entry.part = part
            }
            switch condition.test {
            case .present: break
            case .equals(let text):
                entry.test = .equals
                entry.value = store(Array(text.utf8))
            case .prefix(let text):
                entry.test = .prefix
                entry.value = store(Array(text.utf8))
            case .expression(let expression):
                entry.test = .expression
                entry.code = expression.code
            }
            conditions.append(entry)
        }
        if let when = rule.when {
            conditions.append(
                ConditionEntry(
                    source: .when, test: .expression, isNegated: false, id: .other, name: .empty,
                    value: .empty,
                    code: OpaquePointer(Unmanaged.passUnretained(when).toOpaque())))
        }
        return checks
    }

    private static func hash(_ bytes: [UInt8], seed: UInt64, folding: Bool) -> UInt32 {
        // One byte more, so that there is an address also for an empty run.
        (bytes + [0]).withUnsafeBufferPointer { padded in
            padded.baseAddress.map { WeirRouting.hash($0, bytes.count, seed: seed, folding: folding) } ?? 0
        }
    }

    /// An open-addressing table at most half full; its size is a power of two, free slots hold -1.
    private static func slots(
        _ entries: [Int], hash: (Int) -> UInt32
    ) -> UnsafeMutableBufferPointer<Int32> {
        var size = 2
        while size < entries.count * 2 { size *= 2 }
        let slots = UnsafeMutableBufferPointer<Int32>.allocate(capacity: size)
        slots.initialize(repeating: -1)
        for entry in entries {
            var slot = Int(hash(entry)) & (size - 1)
            while slots[slot] >= 0 { slot = (slot + 1) & (size - 1) }
            slots[slot] = Int32(entry)
        }
        return slots
    }

    private static func freeze<T: BitwiseCopyable>(_ content: [T]) -> UnsafeMutableBufferPointer<T> {
        let buffer = UnsafeMutableBufferPointer<T>.allocate(capacity: max(content.count, 1))
        _ = buffer.update(fromContentsOf: content)
        return buffer
    }
}
