// YAML bytes → a tree of nodes with positions, through libyaml.
//
// The only file that touches libyaml; no pointer of its leaves it. It defends against what a file can
// do to its reader: size, depth and node count are bounded, and the count includes the nodes an alias
// stands for (a "billion laughs" file ends at the bound). Duplicate keys, explicit tags and a second
// document are errors: each is a way for a file to mean something else than it shows. Merge keys
// (`<<: *name`) bring in what a map does not have itself. Scalars stay text, with their references
// (References.swift) looked up; the schema decides what they are, so `1.10` is never turned into 1.1.

import CYAML

/// A node of the tree, with where it was written.
struct Node: Sendable, Equatable {
    enum Content: Sendable, Equatable {
        /// `plain` is false when the text was quoted or a block.
        case scalar(String, plain: Bool)
        case list([Node])
        case map([Entry])
    }
    struct Entry: Sendable, Equatable {
        var key: Text
        var value: Node
    }
    var content: Content
    /// With what is shown instead of the text, if it has references.
    var origin: Origin
    /// A check has found something wrong below.
    var isFaulty = false

    /// What a reference stands for is a text, also "" and "null".
    var isNull: Bool {
        guard case .scalar(let text, plain: true) = content, origin.substitution == nil else { return false }
        return text.isEmpty || text == "~" || text == "null" || text == "Null" || text == "NULL"
    }

    /// What the node is, in words of an error message.
    var shape: String {
        switch content {
        case .scalar(let text, _):
            isNull ? "nothing" : "\"\((origin.substitution?.shown ?? text).clipped(40))\""
        case .list: "a list"
        case .map: "a map"
        }
    }

    var text: String? {
        guard case .scalar(let text, _) = content, !isNull else { return nil }
        return text
    }

    var entries: [Entry] {
        if case .map(let entries) = content { entries } else { [] }
    }

    /// The elements of a list; a single value counts as a list of one.
    var elements: [Node] {
        switch content {
        case .list(let nodes): nodes
        case .scalar: isNull ? [] : [self]
        case .map: [self]
        }
    }

    subscript(key: String) -> Node? {
        for entry in entries where entry.key.value == key { return entry.value }
        return nil
    }
}

extension String {
    /// At most `count` characters, on one line, fit for a message.
    func clipped(_ count: Int) -> String {
        var result = ""
        for (index, scalar) in unicodeScalars.enumerated() {
            if index == count { return result + "…" }
            result.unicodeScalars.append(scalar.value < 32 || scalar.value == 127 ? " " : scalar)
        }
        return result
    }
}

/// Bounds of what is read. Beyond them the file is refused.
enum YAMLBounds {
    static let fileBytes = 16 << 20
    /// Nodes, those repeated through aliases included.
    static let nodes = 500_000
    static let depth = 32
}

/// One pass over a file.
struct YAMLDocument {
    struct Problem: Error {
        var message: String
        var origin: Origin
        var expectation: String?
        var suggestion: String?
    }

    /// Nil for an empty file.
    private(set) var root: Node?
    /// Duplicate keys and the like: the tree is still usable to find more errors.
    private(set) var problems: [Problem] = []

    init(_ bytes: [UInt8], _ surroundings: Surroundings) throws(Problem) {
        guard bytes.count <= YAMLBounds.fileBytes else {
            throw Problem(message: "the file is larger than 16 MiB", origin: .none)
        }
        let text = try SourceText(bytes)
        var reader = YAMLReader(references: text.hasReferences ? References(surroundings) : nil)
        var failure: Problem?
        text.bytes.withUnsafeBufferPointer { buffer in
            do throws(Problem) { try reader.read(buffer) } catch { failure = error }
        }
        if let failure { throw failure }
        root = reader.root
        problems = reader.problems
    }
}

private struct YAMLReader {
    typealias Problem = YAMLDocument.Problem

    var root: Node?
    var problems: [Problem] = []
    /// Nil when the file has none.
    private var references: References?
    private var anchors: [String: (node: Node, count: Int)] = [:]
    private var nodes = 0
    private var bytes = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    /// A line, from 0, and where it begins in `bytes`.
    private var lineStart = (line: 0, offset: 0)

    init(references: References?) { self.references = references }

    private struct Event {
        enum Kind {
            case scalar(String, plain: Bool)
            case list, map, end
            case alias(String)
            case document, other, streamEnd
        }
        var kind: Kind
        var anchor: String?
        var tagged = false
        var origin: Origin
    }

    mutating func read(_ bytes: UnsafeBufferPointer<UInt8>) throws(Problem) {
        let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
        defer { parser.deallocate() }
        guard yaml_parser_initialize(parser) == 1 else {
            throw Problem(message: "out of memory", origin: .none)
        }
        defer { yaml_parser_delete(parser) }
        self.bytes = bytes
        yaml_parser_set_input_string(parser, bytes.baseAddress, bytes.count)
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        while true {
            let event = try next(parser)
            switch event.kind {
            case .streamEnd: return
            case .document:
                guard root == nil else {
                    throw Problem(
                        message: "a second document in the file", origin: event.origin,
                        expectation: "expected one document: remove this \"---\"")
                }
                root = try node(try next(parser), parser, depth: 0)
            default: continue
            }
        }
    }

    private mutating func node(
        _ event: Event, _ parser: UnsafeMutablePointer<yaml_parser_t>, depth: Int
    ) throws(Problem) -> Node {
        guard depth < YAMLBounds.depth else {
            throw Problem(message: "nested deeper than \(YAMLBounds.depth) levels", origin: event.origin)
        }
        if event.tagged {
            problems.append(
                Problem(
                    message: "a tag", origin: event.origin,
                    expectation: "expected a value without a \"!\" tag")
            )
        }
        let before = nodes
        try count(1, at: event.origin)
        var result: Node
        switch event.kind {
        case .scalar(let text, let plain):
            result = scalar(text, plain: plain, event.origin)
        case .alias(let name):
            guard let known = anchors[name] else {
                throw Problem(message: "alias to an anchor that is not defined above", origin: event.origin)
            }
            try count(known.count, at: event.origin)
            // The position stays that of the anchor: that is where a wrong value has to be corrected.
            return known.node
        case .list:
            var elements: [Node] = []
            while true {
                let inner = try next(parser)
                if case .end = inner.kind { break }
                elements.append(try node(inner, parser, depth: depth + 1))
            }
            result = Node(content: .list(elements), origin: event.origin)
        case .map:
            result = Node(content: .map(try entries(parser, depth: depth)), origin: event.origin)
        case .end, .document, .other, .streamEnd:
            throw Problem(message: "a value is missing", origin: event.origin)
        }
        if let anchor = event.anchor { anchors[anchor] = (result, nodes - before) }
        return result
    }

    private mutating func entries(
        _ parser: UnsafeMutablePointer<yaml_parser_t>, depth: Int
    ) throws(Problem) -> [Node.Entry] {
        var entries: [Node.Entry] = []
        var seen: [String: Int] = [:]
        var merged: Node?
        while true {
            let inner = try next(parser)
            if case .end = inner.kind { break }
            let key = try node(inner, parser, depth: depth + 1)
            let value = try node(try next(parser), parser, depth: depth + 1)
            if key.origin.substitution != nil {
                problems.append(
                    Problem(
                        message: "a reference as a key", origin: key.origin,
                        expectation: "${…} stands for values; expected a name"))
                continue
            }
            if case .scalar("<<", plain: true) = key.content, merged == nil {
                merged = value
                continue
            }
            guard case .scalar(let name, _) = key.content else {
                problems.append(
                    Problem(
                        message: "a key that is \(key.shape)", origin: inner.origin,
                        expectation: "expected a name"))
                continue
            }
            if let line = seen[name] {
                problems.append(
                    Problem(
                        message: "duplicate key \"\(name.clipped(40))\"", origin: inner.origin,
                        expectation: "it was given on line \(line) already"))
                continue
            }
            seen[name] = inner.origin.line
            entries.append(.init(key: Text(name, at: inner.origin), value: value))
        }
        // A map's own keys stand before what it merges, wherever they are; of several maps the first.
        for map in merged?.elements ?? [] {
            guard case .map(let more) = map.content else {
                problems.append(
                    Problem(
                        message: "\(map.shape) to merge", origin: map.origin,
                        expectation: "expected a map, or a list of maps: <<: *name"))
                continue
            }
            for entry in more where seen.updateValue(entry.key.origin.line, forKey: entry.key.value) == nil {
                entries.append(entry)
            }
        }
        return entries
    }

    /// A scalar with its references looked up; what is wrong with one is a problem at its place.
    private mutating func scalar(_ text: String, plain: Bool, _ origin: Origin) -> Node {
        do throws(References.Failure) {
            guard let found = try references?.resolve(text) else {
                return Node(content: .scalar(text, plain: plain), origin: origin)
            }
            var origin = origin
            origin.substitution = found
            // Quotes are often only there for YAML: "${env:DEBUG}" may be true.
            return Node(content: .scalar(found.value, plain: true), origin: origin)
        } catch {
            var problem = error.problem
            problem.origin = origin
            // Where text and file agree character by character: plain, or between quotes without escapes.
            let quotes = origin.length - text.unicodeScalars.count
            if quotes == 0 || quotes == 2 {
                problem.origin.column += quotes / 2 + error.offset
                problem.origin.length = error.length
            }
            problems.append(problem)
            return Node(content: .scalar("", plain: true), origin: origin, isFaulty: true)
        }
    }

    private mutating func count(_ added: Int, at origin: Origin) throws(Problem) {
        nodes += added
        guard nodes <= YAMLBounds.nodes else {
            throw Problem(
                message: "more than \(YAMLBounds.nodes) values, those repeated by aliases included",
                origin: origin)
        }
    }

    /// The column, from 1, in which the lines of a block text begin whose mark (`|`) stands in this line.
    private mutating func blockColumn(_ line: Int) -> Int {
        var (at, offset) = lineStart
        if at > line + 1 { (at, offset) = (0, 0) }
        var column = 0
        while offset < bytes.count {
            let end = bytes[offset...].firstIndex(of: 0x0a) ?? bytes.count
            if at == line { lineStart = (at, offset) }
            if at > line, let first = bytes[offset..<end].firstIndex(where: { $0 != 0x20 && $0 != 0x0d }) {
                column = first - offset + 1
                break
            }
            offset = end + 1
            at += 1
        }
        return column
    }

    private mutating func next(_ parser: UnsafeMutablePointer<yaml_parser_t>) throws(Problem) -> Event {
        var raw = yaml_event_t()
        guard yaml_parser_parse(parser, &raw) == 1 else {
            let mark = parser.pointee.problem_mark
            let problem = parser.pointee.problem.map { String(cString: $0) } ?? "unreadable"
            let isReader = parser.pointee.error == YAML_READER_ERROR
            // For undecodable bytes libyaml knows the offset only; its mark is where parsing stood.
            throw Problem(
                message: isReader ? "not readable as text: \(problem)" : "not valid YAML: \(problem)",
                origin: isReader
                    ? Origin(
                        line: Int(parser.pointee.mark.line) + 1, column: Int(parser.pointee.mark.column) + 1)
                    : Origin(line: Int(mark.line) + 1, column: Int(mark.column) + 1),
                expectation: problem.contains("cannot start any token")
                    ? "indent with spaces, not tabs; a text that starts with @, ` or % needs quotes" : nil)
        }
        defer { yaml_event_delete(&raw) }
        let start = raw.start_mark
        let end = raw.end_mark
        var origin = Origin(line: Int(start.line) + 1, column: Int(start.column) + 1)
        func text(_ pointer: UnsafeMutablePointer<UInt8>?) -> String? {
            pointer.map { String(cString: $0) }
        }
        switch raw.type {
        case YAML_SCALAR_EVENT:
            let scalar = raw.data.scalar
            if start.line == end.line, end.column > start.column {
                origin.length = Int(end.column) - Int(start.column)
            }
            if scalar.style == YAML_LITERAL_SCALAR_STYLE { origin.blockColumn = blockColumn(Int(start.line)) }
            let value = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return Event(
                kind: .scalar(value, plain: scalar.style == YAML_PLAIN_SCALAR_STYLE),
                anchor: text(scalar.anchor), tagged: scalar.tag != nil, origin: origin)
        case YAML_SEQUENCE_START_EVENT:
            let list = raw.data.sequence_start
            return Event(kind: .list, anchor: text(list.anchor), tagged: list.tag != nil, origin: origin)
        case YAML_MAPPING_START_EVENT:
            let map = raw.data.mapping_start
            return Event(kind: .map, anchor: text(map.anchor), tagged: map.tag != nil, origin: origin)
        case YAML_SEQUENCE_END_EVENT, YAML_MAPPING_END_EVENT: return Event(kind: .end, origin: origin)
        case YAML_ALIAS_EVENT:
            return Event(kind: .alias(text(raw.data.alias.anchor) ?? ""), origin: origin)
        case YAML_DOCUMENT_START_EVENT: return Event(kind: .document, origin: origin)
        case YAML_STREAM_END_EVENT: return Event(kind: .streamEnd, origin: origin)
        default: return Event(kind: .other, origin: origin)
        }
    }
}
