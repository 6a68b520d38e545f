// One walk through the tables for one request: the code of live routing and of `weir explain`.
//
// Order of candidates for each host, the most specific host first:
//   1. paths matched to their end; compared segment by segment from the left, a literal beats a capture
//   2. prefixes of routes with `before: expressions`; compared the same way, and where one is the beginning
//      of the other the longer wins
//   3. regular expressions in the order of their first declaration
//   4. all other prefixes
//   within one path: more conditions (the method counts as one, and so does `when`) first, then the order of declaration
// A candidate whose method or conditions do not hold is passed over; the next less specific follows.

import WeirHTTPModel

enum Verdict: Equatable {
    case matched
    case method
    /// Index of the first condition that does not hold.
    case condition(Int32)
    /// A regular expression reached its limits.
    case failed
}

/// Sees every candidate tried.
protocol TrialObserver {
    /// Whether the walk goes on after the winner, to see the others.
    static var seesAll: Bool { get }
    mutating func entered(host: Int32)
    mutating func tried(_ candidate: Candidate, host: Int32, _ verdict: Verdict)
}

/// Live routing: nobody looks.
struct NoTrials: TrialObserver {
    static var seesAll: Bool { false }
    @inline(__always) mutating func entered(host: Int32) {}
    @inline(__always) mutating func tried(_ candidate: Candidate, host: Int32, _ verdict: Verdict) {}
}

struct RouteWalk<Observer: TrialObserver> {
    enum Pass { case full, early, prefix }

    let tables: RouteTables
    let request: RequestView
    unowned(unsafe) let scratch: RouteScratch
    /// What conditions may ask for beyond the head; nil: no rule does.
    let context: UnsafePointer<RequestContext>?
    /// What decides for the path.
    let path: UnsafePointer<UInt8>
    let count: Int
    let isDecoded: Bool
    var observer: Observer
    var match = RouteMatch()
    private var host: Int32 = 0
    private var starts = InlineArray<8, Int32>(repeating: 0)
    private var ends = InlineArray<8, Int32>(repeating: 0)
    private var depth = 0

    init(
        _ tables: RouteTables, _ request: RequestView, _ scratch: RouteScratch,
        _ context: UnsafePointer<RequestContext>?, _ observer: Observer
    ) {
        let range = request.head.pointee.path
        var path = request.bytes + Int(range.offset)
        var count = Int(range.count)
        if count == 0,
            request.head.pointee.targetForm == .absolute || request.head.pointee.targetForm == .origin
        {
            path = tables.base  // "/", RFC 9112 §3.2.2
            count = 1
        }
        if request.head.pointee.pathTraits.contains(.escapes) {
            let room = scratch.pathRoom(count)
            count = PathForm.writeDeciding(path, count, into: room)
            path = UnsafePointer(room)
        }
        self.init(tables, request, path, count, scratch, context, observer)
    }

    /// A walk for another path than the request's, in the form that decides.
    init(
        _ tables: RouteTables, _ request: RequestView, _ path: UnsafePointer<UInt8>, _ count: Int,
        _ scratch: RouteScratch, _ context: UnsafePointer<RequestContext>?, _ observer: Observer
    ) {
        self.tables = tables
        self.request = request
        self.scratch = scratch
        self.context = context
        self.observer = observer
        self.path = path
        self.count = count
        isDecoded = request.head.pointee.pathTraits.contains(.escapes)
    }

    /// - Returns: whether a route matched; `match` is then complete.
    mutating func run() -> Bool {
        let range = request.head.pointee.host
        host = tables.host(request.bytes + Int(range.offset), Int(range.count))
        while host >= 0 {
            observer.entered(host: host)
            let entry = tables.hosts[Int(host)]
            if visit(entry.root, 1, .full) || visit(entry.root, 1, .early)
                || visitExpressions(entry.expressions)
                || visit(entry.root, 1, .prefix)
            {
                break
            }
            host = entry.fallback
        }
        if match.route >= 0 { match.methodMismatch = false }
        return match.route >= 0
    }

    /// Tries the candidates below a node; `at` is where the next segment starts, beyond the end when the
    /// path is used up. Returns whether the walk is over. As deep as the deepest pattern, not the path.
    private mutating func visit(_ index: Int32, _ at: Int, _ pass: Pass) -> Bool {
        let node = tables.nodes[Int(index)]
        let list: ListRef
        let isOnTheWay: Bool
        switch pass {
        case .full: (list, isOnTheWay) = (node.full, node.subtreeHasFull)
        case .early: (list, isOnTheWay) = (node.early, node.subtreeHasEarly)
        case .prefix: (list, isOnTheWay) = (node.prefix, node.subtreeHasPrefix)
        }
        guard isOnTheWay else { return false }
        if at > count { return tryAll(list, prefixCount: count, tail: count) }
        if node.onlyChild != Node.none || node.captureChild != Node.none {
            var end = at
            while end < count, path[end] != 0x2f { end &+= 1 }
            let child = tables.child(of: index, path + at, end &- at)
            if child >= 0, visit(child, end &+ 1, pass) { return true }
            if node.captureChild >= 0, end > at {
                starts[depth] = Int32(truncatingIfNeeded: at)
                ends[depth] = Int32(truncatingIfNeeded: end)
                depth &+= 1
                if visit(node.captureChild, end &+ 1, pass) { return true }
                depth &-= 1
            }
        }
        return pass != .full && tryAll(list, prefixCount: at &- 1, tail: at)
    }

    private mutating func visitExpressions(_ list: ListRef) -> Bool {
        var i = list.start
        while i < list.start &+ list.count {
            let entry = tables.expressions[Int(i)]
            switch scratch.match(entry.code, path, count) {
            case .unmatched: break
            case .failed:
                if fail(tables.candidates[Int(entry.candidates.start)]) { return true }
            case .matched:
                depth = 0
                var end = 0
                if let whole = scratch.group(0) { end = whole.end }
                while depth < Int(entry.groups.count) {
                    let number = tables.numbers[Int(entry.groups.start) &+ depth]
                    let group = scratch.group(Int(number)) ?? (start: 0, end: 0)
                    starts[depth] = Int32(truncatingIfNeeded: group.start)
                    ends[depth] = Int32(truncatingIfNeeded: group.end)
                    depth &+= 1
                }
                if tryAll(entry.candidates, prefixCount: end, tail: count) { return true }
                depth = 0
            }
            i &+= 1
        }
        return false
    }

    private mutating func tryAll(_ list: ListRef, prefixCount: Int, tail: Int) -> Bool {
        var i = list.start
        while i < list.start &+ list.count {
            let candidate = tables.candidates[Int(i)]
            let verdict = check(tables.checks[Int(candidate.route)])
            switch verdict {
            case .matched:
                observer.tried(candidate, host: host, verdict)
                if match.route < 0 { win(candidate, prefixCount: prefixCount, tail: tail) }
                if !Observer.seesAll { return true }
            case .method:
                observer.tried(candidate, host: host, verdict)
                match.methodMismatch = true
            case .condition:
                observer.tried(candidate, host: host, verdict)
            case .failed:
                if fail(candidate) { return true }
            }
            i &+= 1
        }
        return false
    }

    /// Fails closed: the routes behind one that could not be judged are not tried.
    private mutating func fail(_ candidate: Candidate) -> Bool {
        observer.tried(candidate, host: host, .failed)
        if match.route < 0 { match.expressionFailed = true }
        return true
    }

    private mutating func win(_ candidate: Candidate, prefixCount: Int, tail: Int) {
        match.route = candidate.route
        match.pathPrefixCount = UInt32(truncatingIfNeeded: position(prefixCount))
        let named = min(Int(candidate.names.count), 8)
        match.captureCount = Int32(named)
        var i = 0
        while i < named {
            let isTail = candidate.hasTail && i == named &- 1
            let start = position(isTail ? tail : Int(starts[i]))
            let end = position(isTail ? count : Int(ends[i]))
            match.captures[i].name = tables.numbers[Int(candidate.names.start) &+ i]
            match.captures[i].range = ByteRange(Int(request.head.pointee.path.offset) &+ start, end &- start)
            i &+= 1
        }
    }

    /// Where a position of what decides stands in the path itself.
    private func position(_ position: Int) -> Int {
        let path = request.head.pointee.path
        if isDecoded {
            return PathForm.offset(of: position, in: request.bytes + Int(path.offset), Int(path.count))
        }
        return min(position, Int(path.count))
    }

    // MARK: Methods and conditions

    private func check(_ checks: RouteChecks) -> Verdict {
        var i = checks.conditions.start
        while i < checks.conditions.start &+ checks.conditions.count {
            switch holds(tables.conditions[Int(i)]) {
            case .matched: break
            case .unmatched: return .condition(i &- checks.conditions.start)
            case .failed: return .failed
            }
            i &+= 1
        }
        return allowsMethod(checks) ? .matched : .method
    }

    private func allowsMethod(_ checks: RouteChecks) -> Bool {
        if checks.methodMask == 0 { return true }
        let method = request.head.pointee.method
        guard checks.methodMask >> UInt16(method.rawValue) & 1 == 1 else { return false }
        if method != .other { return true }
        let name = request.head.pointee.methodName.bytes(in: request.bytes)
        var i = checks.otherMethods.start
        while i < checks.otherMethods.start &+ checks.otherMethods.count {
            if bytesEqual(name, tables.methods[Int(i)].bytes(in: tables.base)) { return true }
            i &+= 1
        }
        return false
    }

    private func holds(_ condition: ConditionEntry) -> RouteScratch.Outcome {
        let found: RouteScratch.Outcome
        switch condition.source {
        case .field: found = testFields(condition)
        case .query:
            let query = request.head.pointee.query
            found = testPairs(condition, query, separator: 0x26)
        case .cookie: found = testFields(condition)
        case .certificate: found = testCertificate(condition)
        case .when: return testWhen(condition)
        }
        switch found {
        case .matched: return condition.isNegated ? .unmatched : .matched
        case .unmatched: return condition.isNegated ? .matched : .unmatched
        case .failed: return .failed
        }
    }

    private func testFields(_ condition: ConditionEntry) -> RouteScratch.Outcome {
        let isCookie = condition.source == .cookie
        let id = isCookie ? FieldID.cookie : condition.id
        let name = condition.name
        var i = 0
        while i < Int(request.head.pointee.fieldCount) {
            let field = request.fields[i]
            i &+= 1
            guard field.id == id else { continue }
            if isCookie {
                let outcome = testPairs(condition, field.value, separator: 0x3b)
                if outcome != .unmatched { return outcome }
                continue
            }
            if id == .other {
                guard UInt32(field.nameCount) == name.count,
                    isEqual(
                        request.bytes + Int(field.nameOffset), tables.base + Int(name.offset),
                        Int(name.count),
                        folding: true)
                else { continue }
            }
            let outcome = test(condition, field.value.bytes(in: request.bytes))
            if outcome != .unmatched { return outcome }
        }
        return .unmatched
    }

    private func testPairs(
        _ condition: ConditionEntry, _ range: ByteRange, separator: UInt8
    ) -> RouteScratch.Outcome {
        let name = condition.name.bytes(in: tables.base)
        let isQuery = condition.source == .query
        var pairs = PairIterator(
            request.bytes + Int(range.offset), Int(range.count), separator: separator)
        while pairs.next() {
            guard isQuery ? parameterEquals(pairs.name, name) : bytesEqual(pairs.name, name) else { continue }
            var value = pairs.value
            if isQuery, condition.test != .present, let start = value.baseAddress {
                let room = scratch.valueRoom(value.count)
                let count = decodeParameter(start, value.count, into: room)
                value = UnsafeBufferPointer(start: room, count: count)
            }
            let outcome = test(condition, value)
            if outcome != .unmatched { return outcome }
        }
        return .unmatched
    }

    private func testCertificate(_ condition: ConditionEntry) -> RouteScratch.Outcome {
        guard let certificate = context?.pointee.certificate else { return .unmatched }
        if condition.part == .whole { return .matched }
        if condition.part == .san {
            var names = AlternativeNames(certificate.pointee.san)
            while let name = names.next() {
                let outcome = test(condition, name)
                if outcome != .unmatched { return outcome }
            }
            return .unmatched
        }
        let value = certificate.pointee[condition.part]
        return value.isEmpty ? .unmatched : test(condition, value)
    }

    /// Whoever reads the path otherwise is asked with that reading.
    private func testWhen(_ condition: ConditionEntry) -> RouteScratch.Outcome {
        guard let code = condition.code, let context else { return .failed }
        let outcome = Unmanaged<RequestCondition>.fromOpaque(UnsafeRawPointer(code))._withUnsafeGuaranteedRef
        {
            $0.evaluate(context, scratch: scratch, path: UnsafeBufferPointer(start: path, count: count))
        }
        switch outcome {
        case .holds: return .matched
        case .fails: return .unmatched
        case .unknown: return .failed
        }
    }

    private func test(
        _ condition: ConditionEntry, _ value: UnsafeBufferPointer<UInt8>
    ) -> RouteScratch.Outcome {
        switch condition.test {
        case .present: return .matched
        case .equals:
            return bytesEqual(value, condition.value.bytes(in: tables.base)) ? .matched : .unmatched
        case .prefix:
            let wanted = condition.value.bytes(in: tables.base)
            let start = UnsafeBufferPointer(rebasing: value.prefix(wanted.count))
            return bytesEqual(start, wanted) ? .matched : .unmatched
        case .expression:
            guard let code = condition.code, let start = value.baseAddress else { return .failed }
            return scratch.match(code, start, value.count)
        }
    }
}
