// Conditions on requests: expressions, with what they ask for found in a RequestContext.
//
// What decides cannot be dodged by spelling: `request.path` is the one routes compare, escapes decoded, and the host is in
// lower case, without a dot at its end. `request.uri` is what the client wrote.

import WeirExpressions
import WeirHTTPModel

/// A compiled condition on requests. Immutable.
public final class RequestCondition: Sendable {
    /// What it asks, and how.
    public let expression: ConditionExpression
    let patterns: [RegularExpression]
    /// Whether it asks for a value of the client's certificate: only then has it to be read.
    public let usesCertificate: Bool
    /// Whether it asks for the time: only then has its text to be made.
    public let usesTime: Bool

    /// Compiles a condition.
    ///
    /// - Parameter known: what can be asked where it stands.
    public init(_ text: String, known: Known) throws(ExpressionError) {
        expression = try ConditionExpression(text, known: known)
        var patterns: [RegularExpression] = []
        for pattern in expression.patterns {
            do throws(PatternError) {
                patterns.append(try RegularExpression(pattern.text))
            } catch {
                throw ExpressionError(at: pattern.position + error.position, error.message)
            }
        }
        self.patterns = patterns
        let properties = expression.properties
        usesCertificate = properties.contains { $0.certificatePart != nil }
        usesTime = properties.contains(.timeISO)
    }

    /// Whether it holds. Allocates nothing, except that `scratch` grows to the longest value it has seen that had
    /// to be written.
    public func evaluate(_ context: UnsafePointer<RequestContext>, scratch: RouteScratch) -> ConditionOutcome
    {
        evaluate(context, scratch: scratch, path: nil)
    }

    /// - Parameter path: what decides for it; nil: it has to be found out.
    func evaluate(
        _ context: UnsafePointer<RequestContext>, scratch: RouteScratch, path: UnsafeBufferPointer<UInt8>?
    ) -> ConditionOutcome {
        var source = RequestSource(context: context, scratch: scratch, patterns: patterns, path: path)
        return expression.evaluate(&source)
    }

    /// How it is judged, for people. Allocates.
    public func trace(_ context: UnsafePointer<RequestContext>) -> ConditionTrace {
        let scratch = RouteScratch()
        var source = RequestSource(context: context, scratch: scratch, patterns: patterns, path: nil)
        return withExtendedLifetime(scratch) { expression.trace(&source) }
    }
}

/// The properties of one request.
private struct RequestSource: PropertySource {
    typealias Text = UnsafeBufferPointer<UInt8>

    let context: UnsafePointer<RequestContext>
    unowned(unsafe) let scratch: RouteScratch
    let patterns: [RegularExpression]
    let path: Text?

    mutating func matches(pattern: Int, _ text: Text) -> Bool? {
        // An empty text may have no address.
        let outcome =
            text.baseAddress.map { scratch.match(patterns[pattern].code, $0, text.count) }
            ?? withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { room in
                room.baseAddress.map { scratch.match(patterns[pattern].code, $0, 0) } ?? .failed
            }
        switch outcome {
        case .matched: return true
        case .unmatched: return false
        case .failed: return nil
        }
    }

    mutating func value(of property: Property, named name: Text, field: FieldID, side: Int) -> PropertyValue {
        let request = context.pointee.request
        let head = request.head
        switch property {
        case .method: return known(head.pointee.methodName.bytes(in: request.bytes))
        case .scheme: return isRequest ? text(context.pointee.origin.scheme) : .missing
        case .host:
            var host = context.pointee.origin.host.bytes(in: request.bytes)
            if host.count > 1, host.last == 0x2e { host = Text(rebasing: host.dropLast()) }
            return known(lowercased(host, side))
        case .authority:
            return known(lowercased(context.pointee.origin.authority.bytes(in: request.bytes), side))
        case .port: return port
        case .path: return decidingPath(side)
        case .query:
            return head.pointee.hasQuery ? .text(head.pointee.query.bytes(in: request.bytes)) : .missing
        case .uri: return uri(side)
        case .version:
            if isRequest { return text(head.pointee.version.name) }
            return context.pointee.outcome.map { text($0.pointee.proto) } ?? .missing
        case .requestID: return known(context.pointee.requestID)
        case .header: return fieldValue(name, field, side)
        case .queryParameter:
            guard let value = request.queryParameter(name) else { return .missing }
            guard let start = value.baseAddress else { return .text(value) }
            let room = scratch.sideRoom(side, value.count)
            return .text(Text(start: room, count: decodeParameter(start, value.count, into: room)))
        case .cookie: return request.cookie(name).map { .text($0) } ?? .missing
        case .clientIP:
            return context.pointee.clientAddress.map { .address(high: $0.high, low: $0.low) } ?? .missing
        case .clientPort: return number(UInt64(context.pointee.clientPort))
        case .certificateVerified: return .boolean(context.pointee.certificate != nil)
        case .certificateSubject, .certificateIssuer, .certificateSAN, .certificateFingerprint,
            .certificateSerial:
            guard let certificate = context.pointee.certificate, let part = property.certificatePart else {
                return .missing
            }
            return known(certificate.pointee[part])
        case .listener: return known(context.pointee.listener)
        case .timeISO: return known(context.pointee.timeISO)
        case .capture: return context.pointee.capture(name).map { .text($0) } ?? .missing
        case .route: return known(context.pointee.route)
        case .service: return known(context.pointee.service)
        case .endpoint: return known(context.pointee.endpoint)
        case .attempts: return context.pointee.outcome.map { .number(Int64($0.pointee.attempts)) } ?? .missing
        case .duration: return context.pointee.outcome.map { amount($0.pointee.durationUs) } ?? .missing
        case .bytesIn: return context.pointee.outcome.map { amount($0.pointee.bytesIn) } ?? .missing
        case .bytesOut: return context.pointee.outcome.map { amount($0.pointee.bytesOut) } ?? .missing
        case .status: return context.pointee.outcome.map { number(UInt64($0.pointee.status)) } ?? .missing
        case .errorStatus: return context.pointee.error.map { number(UInt64($0.pointee.status)) } ?? .missing
        case .errorPhrase: return context.pointee.error.map { text($0.pointee.phrase) } ?? .missing
        case .errorReason: return context.pointee.error.map { text($0.pointee.reason) } ?? .missing
        // In templates only.
        case .markedQuery, .group: return .missing
        }
    }

    /// Whether there is a request: TCP connections and UDP sessions have none.
    private var isRequest: Bool { !context.pointee.request.head.pointee.methodName.isEmpty }

    /// What is empty is missing, where nobody can have meant it to be.
    private func known(_ text: Text) -> PropertyValue { text.isEmpty ? .missing : .text(text) }

    private func text(_ text: StaticString) -> PropertyValue {
        known(Text(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// 0 stands for none.
    private func number(_ number: UInt64) -> PropertyValue { number == 0 ? .missing : amount(number) }

    private func amount(_ number: UInt64) -> PropertyValue { .number(Int64(clamping: number)) }

    private func lowercased(_ text: Text, _ side: Int) -> Text {
        guard text.contains(where: { $0 &- 65 < 26 }) else { return text }
        let room = scratch.sideRoom(side, text.count)
        for (i, byte) in text.enumerated() { room[i] = asciiLowercased(byte) }
        return Text(start: room, count: text.count)
    }

    private var port: PropertyValue {
        guard isRequest else { return .missing }
        let written = context.pointee.origin.writtenPort.bytes(in: context.pointee.request.bytes)
        if written.isEmpty { return number(UInt64(context.pointee.origin.impliedPort)) }
        var port: Int64 = 0
        for byte in written.prefix(5) { port = port * 10 + Int64(byte &- 48) }
        return .number(port)
    }

    private func decidingPath(_ side: Int) -> PropertyValue {
        if let path { return known(path) }
        let head = context.pointee.request.head
        let path = head.pointee.path.bytes(in: context.pointee.request.bytes)
        guard let start = path.baseAddress, !path.isEmpty else { return rootPath }
        guard head.pointee.pathTraits.contains(.escapes) else { return .text(path) }
        let room = scratch.sideRoom(side, path.count)
        return .text(Text(start: room, count: PathForm.writeDeciding(start, path.count, into: room)))
    }

    /// "/" for an absolute-form target without a path (RFC 9112 §3.2.2).
    private var rootPath: PropertyValue {
        context.pointee.request.head.pointee.targetForm == .absolute ? text("/") : .missing
    }

    private func uri(_ side: Int) -> PropertyValue {
        let request = context.pointee.request
        let head = request.head
        let path = head.pointee.path.bytes(in: request.bytes)
        if !head.pointee.hasQuery { return path.isEmpty ? rootPath : .text(path) }
        let query = head.pointee.query.bytes(in: request.bytes)
        let capacity = path.count + query.count + 2
        var writer = ByteWriter(scratch.sideRoom(side, capacity), capacity: capacity)
        if path.isEmpty { writer.append(0x2f) } else { writer.append(path) }
        writer.append(0x3f)
        writer.append(query)
        return .text(Text(start: writer.base, count: writer.count))
    }

    /// All lines of a field, joined as one list (RFC 9110 §5.3); lines of Cookie by "; " (RFC 6265 §5.4).
    private func fieldValue(_ name: Text, _ id: FieldID, _ side: Int) -> PropertyValue {
        let request = context.pointee.request
        guard let wanted = name.baseAddress else { return .missing }
        var found: Text?
        var total = 0
        var count = 0
        func forEachLine(_ body: (Text) -> Void) {
            var i = 0
            while i < Int(request.head.pointee.fieldCount) {
                let field = request.fields[i]
                i &+= 1
                guard field.id == id,
                    id != .other
                        || Int(field.nameCount) == name.count
                            && isEqual(
                                request.bytes + Int(field.nameOffset), wanted, name.count, folding: true)
                else { continue }
                body(field.value.bytes(in: request.bytes))
            }
        }
        forEachLine { value in
            found = value
            total += value.count + 2
            count += 1
        }
        guard let found else { return .missing }
        if count == 1 { return .text(found) }
        var writer = ByteWriter(scratch.sideRoom(side, total), capacity: total)
        var isFirst = true
        forEachLine { value in
            if !isFirst { writer.append(id == .cookie ? "; " : ", ") }
            isFirst = false
            writer.append(value)
        }
        return .text(Text(start: writer.base, count: writer.count))
    }
}
