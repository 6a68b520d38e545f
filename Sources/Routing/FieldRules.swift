// Header rules: remove, replace, set and add, run over the fields of a head when all of them are written.
//
// It makes no difference who wrote a field: the client, the endpoint or Weir. The fields stand as lines
// ("name: value" CR LF) in a region; those the rules govern are taken out of it, and what the rules say is
// written behind the rest. Nothing is looked up while fields are written, so a route without rules pays
// nothing for them.

import WeirHTTPModel

/// Header rules of one direction. Removal is by name; replace exchanges a part of a value, set all of it, add
/// appends. Immutable.
public final class FieldRules: Sendable {
    public struct Rule: Sendable {
        public let name: StaticBytes
        public let value: Template
        public init(name: String, value: Template) {
            self.name = StaticBytes(name)
            self.value = value
        }
    }

    /// Who reads the head the rules are for.
    public enum Direction: Sendable {
        /// An endpoint. To applications behind CGI, WSGI and the like `X_User` is the same variable as
        /// `X-User`, so what goes for a name goes for all its spellings (RFC 9110 §17.10).
        case request
        case response
    }

    public struct Replacement: Sendable {
        public let name: StaticBytes
        public let substitution: Substitution
        public init(name: String, _ substitution: Substitution) {
            self.name = StaticBytes(name)
            self.substitution = substitution
        }
    }

    public let replace: [Replacement]
    public let set: [Rule]
    public let add: [Rule]
    /// Names whose lines are taken out.
    private let governed: [StaticBytes]
    /// Bit n: a governed name has n bytes (63: that many or more). Most names are told apart by it.
    private let lengths: UInt64
    private let direction: Direction

    public init(
        replace: [Replacement] = [], set: [Rule], add: [Rule], remove: [String], direction: Direction
    ) {
        self.replace = replace
        self.set = set
        self.add = add
        self.direction = direction
        governed =
            set.map(\.name) + remove.map { StaticBytes($0) }
            + add.map(\.name).filter { FieldNames.standsOnce($0.description) }
        lengths = governed.reduce(0) { $0 | 1 << UInt64(min($1.count, 63)) }
    }

    /// Whether the lines of a field are taken out: it is removed or set, or added though it stands once.
    public func governs(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        if lengths & (1 << UInt64(min(count, 63))) == 0 { return false }
        var i = 0
        while i < governed.count {
            let wanted = governed[i]
            i &+= 1
            if isSame(name, count, wanted) { return true }
        }
        return false
    }

    /// Whether what goes for one name goes for the other.
    private func isSame(_ name: UnsafePointer<UInt8>, _ count: Int, _ wanted: StaticBytes) -> Bool {
        switch direction {
        case .request: FieldNames.areAliases(name, count, wanted.base, wanted.count)
        case .response: equalIgnoringASCIICase(name, count, wanted.base, wanted.count)
        }
    }

    public func governs(_ name: StaticString) -> Bool { governs(name.utf8Start, name.utf8CodeUnitCount) }

    /// Takes the governed fields out of the lines that stand in `writer` from `start` on.
    public func takeOut(from start: Int, _ writer: inout ByteWriter) {
        FieldLines.takeOut(from: start, &writer) { governs($0, $1) }
    }

    /// Exchanges parts of values in the lines that stand in `writer` from `start` on; a value on which the
    /// expression reaches its limits is left out. The lines of these names stand last afterwards, in order.
    ///
    /// - Parameter render: fills a template in, with the groups of a match.
    public func replaceParts(
        from start: Int, _ writer: inout ByteWriter, scratch: RouteScratch,
        render: (Template, UnsafePointer<MatchedGroups>, inout ByteWriter) -> Void
    ) {
        if replace.isEmpty { return }
        FieldLines.rewrite(from: start, &writer) {
            replacement($0, $1) != nil
        } write: { line, writer in
            guard let rule = replacement(writer.base + line.start, line.nameCount) else { return }
            switch rule.substitution.find(in: line.value(in: writer), scratch: scratch) {
            case .failed: break
            case .notFound: writer.append(writer.base + line.start, line.next &- line.start)
            case .found(let groups):
                let found = groups.found
                writer.append(writer.base + line.start, line.valueStart &- line.start &+ Int(found.offset))
                withUnsafePointer(to: groups) { render(rule.substitution.with, $0, &writer) }
                writer.append(
                    writer.base + line.valueStart + Int(found.end),
                    line.next &- line.valueStart &- Int(found.end))
            }
        }
    }

    private func replacement(_ name: UnsafePointer<UInt8>, _ count: Int) -> Replacement? {
        replace.first { isSame(name, count, $0.name) }
    }

    /// The replacement for a field by name (lower case), if there is one.
    public func replacement(for name: StaticString) -> Template? {
        for rule in set where equals(rule.name.base, rule.name.count, lowercase: name) { return rule.value }
        return nil
    }
}
