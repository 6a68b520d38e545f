// The compiled form of a list of routes: flat tables of plain data.
//
//   hosts ──► root node ──► nodes (one per path segment) ──► lists of candidates
//     │  └──► expressions                                     │
//     └ fallback: next less specific host                     └ route: checks (methods, conditions)
//
// A host is found by one hash look-up (more only for wildcards, one per label); a path costs one
// look-up per segment. Neither depends on the number of routes.

import WeirHTTPModel

struct ListRef: BitwiseCopyable {
    var start: Int32 = 0
    var count: Int32 = 0
}

struct HostEntry: BitwiseCopyable {
    var name = ByteRange.empty
    var isWildcard = false
    /// The next less specific host that also covers this one; -1 for "any".
    var fallback: Int32 = -1
    var root: Int32 = 0
    var expressions = ListRef()
}

struct Node: BitwiseCopyable {
    var parent: Int32 = -1
    var label = ByteRange.empty
    /// The only literal child; `none` without, `many` when the children are in the edge table.
    var onlyChild: Int32 = Node.none
    var captureChild: Int32 = Node.none
    /// Candidates whose path ends here, and those for whom everything from here on fits: before expressions,
    /// and after them.
    var full = ListRef()
    var early = ListRef()
    var prefix = ListRef()
    var subtreeHasFull = false
    var subtreeHasEarly = false
    var subtreeHasPrefix = false

    static let none: Int32 = -1
    static let many: Int32 = -2
}

struct Candidate: BitwiseCopyable {
    var route: Int32
    /// Which of the rule's paths.
    var path: Int32
    var names: ListRef
    var hasTail: Bool
}

struct ExpressionEntry: BitwiseCopyable {
    var code: OpaquePointer
    var candidates: ListRef
    /// Group numbers of the named groups, in the order of names.
    var groups: ListRef
}

struct RouteChecks: BitwiseCopyable {
    /// Bit per `Method`; 0 allows every method.
    var methodMask: UInt16 = 0
    /// Methods Weir does not know by number.
    var otherMethods = ListRef()
    var conditions = ListRef()
}

struct ConditionEntry: BitwiseCopyable {
    enum Source: UInt8 { case field, query, cookie, certificate, when }
    enum Test: UInt8 { case present, equals, prefix, expression }

    var source: Source
    var test: Test
    var isNegated: Bool
    var id: FieldID
    /// For `.certificate`.
    var part = CertificatePart.whole
    var name: ByteRange
    var value: ByteRange
    /// Of a regular expression; of `when` the condition, which its rule owns.
    var code: OpaquePointer?
}

/// Pointers to all tables; owned by `Router`.
struct RouteTables {
    var hosts: UnsafeMutableBufferPointer<HostEntry>
    var exactSlots: UnsafeMutableBufferPointer<Int32>
    var wildcardSlots: UnsafeMutableBufferPointer<Int32>
    var hasWildcards: Bool
    var nodes: UnsafeMutableBufferPointer<Node>
    var edges: UnsafeMutableBufferPointer<Int32>
    var candidates: UnsafeMutableBufferPointer<Candidate>
    var expressions: UnsafeMutableBufferPointer<ExpressionEntry>
    var checks: UnsafeMutableBufferPointer<RouteChecks>
    var conditions: UnsafeMutableBufferPointer<ConditionEntry>
    var methods: UnsafeMutableBufferPointer<ByteRange>
    var numbers: UnsafeMutableBufferPointer<UInt16>
    var captureNames: UnsafeMutableBufferPointer<ByteRange>
    /// Names and values; byte 0 is "/".
    var bytes: UnsafeMutableBufferPointer<UInt8>

    @inline(__always)
    var base: UnsafePointer<UInt8> { UnsafePointer(bytes.baseAddress.unsafelyUnwrapped) }

    func deallocate() {
        hosts.deallocate()
        exactSlots.deallocate()
        wildcardSlots.deallocate()
        nodes.deallocate()
        edges.deallocate()
        candidates.deallocate()
        expressions.deallocate()
        checks.deallocate()
        conditions.deallocate()
        methods.deallocate()
        numbers.deallocate()
        captureNames.deallocate()
        bytes.deallocate()
    }

    static func edgeSeed(_ node: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: node)) &* 0x2545_f491_4f6c_dd1d
    }

    /// The most specific host entry for a request's host: exact, else the longest wildcard, else any (0).
    func host(_ bytes: UnsafePointer<UInt8>, _ length: Int) -> Int32 {
        var count = length
        // No name is longer (RFC 1035 §2.3.4); this also bounds the work below.
        guard count > 0, count <= 262 else { return 0 }
        if let found = lookUp(bytes, trimDot(bytes, count)) { return found }
        // A port is no part of RequestHead.host; tolerate callers that leave it in.
        if bytes[0] != 0x5b {
            var i = 0
            while i < count, bytes[i] != 0x3a { i &+= 1 }
            if i < count {
                count = i
                if let found = lookUp(bytes, trimDot(bytes, count)) { return found }
            }
        }
        return 0
    }

    private func trimDot(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        count > 1 && bytes[count - 1] == 0x2e ? count - 1 : count
    }

    private func lookUp(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32? {
        if let found = probe(exactSlots, bytes, count) { return found }
        guard hasWildcards else { return nil }
        var at = 1
        while at < count {
            // A star stands for at least one character, so the first dot looked at is the second byte.
            if bytes[at] == 0x2e, let found = probe(wildcardSlots, bytes + at + 1, count - at - 1) {
                return found
            }
            at &+= 1
        }
        return nil
    }

    private func probe(
        _ slots: UnsafeMutableBufferPointer<Int32>, _ bytes: UnsafePointer<UInt8>, _ count: Int
    ) -> Int32? {
        let mask = slots.count - 1
        var slot = Int(hash(bytes, count, seed: 0, folding: true)) & mask
        while slots[slot] >= 0 {
            let entry = hosts[Int(slots[slot])]
            if Int(entry.name.count) == count,
                isEqual(bytes, base + Int(entry.name.offset), count, folding: true)
            {
                return slots[slot]
            }
            slot = (slot &+ 1) & mask
        }
        return nil
    }

    /// The literal child of a node for a segment; -1 when there is none.
    @inline(__always)
    func child(of node: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        let only = nodes[Int(node)].onlyChild
        if only == Node.none { return Node.none }
        if only >= 0 { return isLabel(only, bytes, count) ? only : Node.none }
        let mask = edges.count - 1
        var slot = Int(hash(bytes, count, seed: Self.edgeSeed(node), folding: false)) & mask
        while edges[slot] >= 0 {
            let candidate = edges[slot]
            if nodes[Int(candidate)].parent == node, isLabel(candidate, bytes, count) { return candidate }
            slot = (slot &+ 1) & mask
        }
        return Node.none
    }

    @inline(__always)
    private func isLabel(_ node: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        let label = nodes[Int(node)].label
        return Int(label.count) == count && isEqual(bytes, base + Int(label.offset), count, folding: false)
    }
}
