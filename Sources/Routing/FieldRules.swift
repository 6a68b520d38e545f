// Header rules: remove, set and add, run over the fields of a head when all of them are written.
//
// It makes no difference who wrote a field: the client, the endpoint or Weir. The fields stand as lines
// ("name: value" CR LF) in a region; those the rules govern are taken out of it, and what the rules say is
// written behind the rest. Nothing is looked up while fields are written, so a route without rules pays
// nothing for them.

import HTTPModel

/// Header rules of one direction. Removal is by name; set replaces, add appends. Immutable.
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

    public let set: [Rule]
    public let add: [Rule]
    /// Names whose lines are taken out.
    private let governed: [StaticBytes]
    /// Bit n: a governed name has n bytes (63: that many or more). Most names are told apart by it.
    private let lengths: UInt64
    private let direction: Direction

    public init(set: [Rule], add: [Rule], remove: [String], direction: Direction) {
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
            switch direction {
            case .request:
                if FieldNames.areAliases(name, count, wanted.base, wanted.count) { return true }
            case .response:
                if equalIgnoringASCIICase(name, count, wanted.base, wanted.count) { return true }
            }
        }
        return false
    }

    public func governs(_ name: StaticString) -> Bool { governs(name.utf8Start, name.utf8CodeUnitCount) }

    /// Takes the governed fields out of the lines that stand in `writer` from `start` on.
    public func takeOut(from start: Int, _ writer: inout ByteWriter) {
        let base = writer.base
        let end = writer.count
        var from = start
        var to = start
        while from < end {
            var next = from
            while next < end, base[next] != UInt8(ascii: "\n") { next &+= 1 }
            next = min(next &+ 1, end)
            var nameEnd = from
            while nameEnd < next, base[nameEnd] != UInt8(ascii: ":") { nameEnd &+= 1 }
            if !governs(base + from, nameEnd &- from) {
                if to != from { (base + to).update(from: base + from, count: next &- from) }
                to &+= next &- from
            }
            from = next
        }
        writer.drop(end &- to)
    }

    /// The replacement for a field by name (lower case), if there is one.
    public func replacement(for name: StaticString) -> Template? {
        for rule in set where equals(rule.name.base, rule.name.count, lowercase: name) { return rule.value }
        return nil
    }
}
