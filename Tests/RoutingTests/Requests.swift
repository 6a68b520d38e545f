// Request views made from text, with a minimal splitter: routing is tested without the codec. Paths are
// taken to be in normal form.

import WeirHTTPModel

@testable import WeirRouting

/// Memory of one request; freed when it goes away.
final class Request {
    private let head = UnsafeMutablePointer<RequestHead>.allocate(capacity: 1)
    private let fields = UnsafeMutablePointer<Field>.allocate(capacity: 32)
    private let bytes: UnsafeMutablePointer<UInt8>

    init(
        _ target: String, _ lines: [(String, String)] = [], method: String = "GET", host: String = "",
        form: TargetForm = .origin
    ) {
        var head = RequestHead()
        var text: [UInt8] = []
        func add(_ part: String) -> ByteRange {
            text += Array(part.utf8)
            return ByteRange(text.count - part.utf8.count, part.utf8.count)
        }
        head.method = Method.allCases.first { $0.name.description == method } ?? .other
        head.methodName = add(method)
        _ = add(" ")
        head.targetForm = form
        let question = target.firstIndex(of: "?")
        let path = String(target[..<(question ?? target.endIndex)])
        head.path = add(path)
        if path.contains("%") { head.pathTraits.insert(.escapes) }
        if path.contains("//") { head.pathTraits.insert(.emptySegments) }
        if path.uppercased().contains("%2F") || path.uppercased().contains("%5C") {
            head.pathTraits.insert(.encodedSeparators)
        }
        if let question {
            _ = add("?")
            head.hasQuery = true
            head.query = add(String(target[target.index(after: question)...]))
        }
        _ = add(" ")
        head.authority = add(host)
        let port = host.hasSuffix("]") ? nil : host.lastIndex(of: ":")
        head.host = ByteRange(
            Int(head.authority.offset), host[..<(port ?? host.endIndex)].utf8.count)
        for (index, line) in lines.enumerated() {
            let name = add(line.0)
            let value = add(line.1)
            let id = FieldID.allCases.first {
                $0 != .other && $0.name.description == line.0.lowercased()
            }
            fields[index] = Field(
                nameOffset: name.offset, nameCount: UInt16(name.count), valueOffset: value.offset,
                valueCount: value.count, id: id ?? .other)
        }
        head.fieldCount = Int32(lines.count)
        self.head.initialize(to: head)
        bytes = .allocate(capacity: text.count)
        bytes.initialize(from: text, count: text.count)
    }

    deinit {
        bytes.deallocate()
        head.deallocate()
        fields.deallocate()
    }

    func with<T>(_ body: (RequestView) -> T) -> T {
        withExtendedLifetime(self) { body(RequestView(bytes: bytes, head: head, fields: fields)) }
    }
}

extension Router {
    func route(_ request: Request) -> (name: String?, match: RouteMatch, captures: [String: String]) {
        request.with { view in
            var match = RouteMatch()
            let found = self.match(view, scratch: RouteScratch(), into: &match)
            var captures: [String: String] = [:]
            for i in 0..<Int(match.captureCount) {
                captures[captureName(match.captures[i])] = match.captures[i].range.text(in: view.bytes)
            }
            return (found ? rules[Int(match.route)].name : nil, match, captures)
        }
    }

    func name(_ host: String, _ target: String, _ lines: [(String, String)] = [], method: String = "GET")
        -> String?
    {
        route(Request(target, lines, method: method, host: host)).name
    }
}

func rule(
    _ name: String, hosts: [String] = [], paths: [String] = [], methods: [String] = [],
    conditions: [Condition] = [], isBeforeExpressions: Bool = false
) throws -> RouteRule {
    RouteRule(
        name: name, hosts: try hosts.map { try HostPattern.parse($0) },
        paths: try paths.map { try PathPattern.parse($0) }, methods: methods, conditions: conditions,
        isBeforeExpressions: isBeforeExpressions)
}
