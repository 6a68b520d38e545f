// Request heads (RFC 9112 §3 and §5, RFC 9110).
//
// One pass over the bytes, without allocation. The parser keeps nothing between calls: a head that is
// not whole yet is parsed again from its start when more of it has arrived, which is cheaper than
// keeping state for the one in thousands that comes in parts (the caller waits for a line feed before
// it tries again, and the head's length is bounded). What is wrong in the bytes seen is reported
// without waiting for the rest.
//
// Nothing is repaired and nothing is decided twice: a head that is `complete` has one reading.
// Does not decide what to answer; 400 fits every violation except `versionUnsupported` (505) and
// `expectationUnknown` (417).

import WeirHTTPModel

/// Parses HTTP/1.0 and HTTP/1.1 request heads. Stateless; one value serves any number of connections.
public struct RequestParser: Sendable {
    public let limits: HeadLimits

    public init(limits: HeadLimits = HeadLimits()) {
        self.limits = limits
    }

    /// Parses the head that starts at `bytes`.
    ///
    /// One empty line (CRLF) before the request line is skipped (RFC 9112 §2.2); offsets and
    /// `byteCount` include it.
    ///
    /// - Parameters:
    ///   - count: how many bytes have arrived, the head's first byte included; there may be more
    ///     than the head.
    ///   - fields: room for `limits.fieldsMax` fields.
    ///   - head: on `.complete` the head; otherwise what had been read when the parser stopped.
    /// - Returns: `.incomplete` when the bytes are the beginning of a head that may become valid.
    public func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, fields: UnsafeMutablePointer<Field>,
        into head: inout RequestHead
    ) -> HeadResult {
        head = RequestHead()
        let end = min(count, limits.bytesMax)
        do throws(HeadStop) {
            try parse(bytes, end, fields, &head)
            return .complete
        } catch {
            if error.result == .incomplete, end == limits.bytesMax { return .tooLarge(.bytes) }
            return error.result
        }
    }

    @inline(__always)
    private func parse(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ fields: UnsafeMutablePointer<Field>,
        _ head: inout RequestHead
    ) throws(HeadStop) {
        var cursor = 0
        if end > 0, bytes[0] == UInt8(ascii: "\r") || bytes[0] == UInt8(ascii: "\n") {
            cursor = try lineEnd(bytes, 0, end: end)
        }
        try readMethod(bytes, &cursor, end, &head)
        let authority = try readTarget(bytes, &cursor, end, &head)
        cursor &+= 1
        try readVersion(bytes, &cursor, end, &head)

        var notes = FramingNotes()
        var hasHost = false
        var hasUpgrade = false
        var fieldCount = 0
        var field = Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other)
        let headEnd: Int
        while true {
            let lineStart = cursor
            guard
                try readFieldLine(
                    bytes, &cursor, end: end, isFirst: fieldCount == 0, limits: limits, &field)
            else {
                headEnd = lineStart
                break
            }
            if fieldCount == limits.fieldsMax { throw .tooLarge(.fields) }
            switch field.id {
            case .host:
                if hasHost { throw .malformed(.hostDuplicate, Int(field.nameOffset)) }
                hasHost = true
                try readHost(bytes, field, authority, &head)
            case .contentLength:
                try notes.readContentLength(bytes, field)
            case .transferEncoding:
                try notes.readTransferEncoding(bytes, field, version: head.version)
            case .connection:
                try notes.readConnection(bytes, field)
            case .te:
                if listContains(bytes, field.value, lowercase: "trailers"), head.version >= .http11 {
                    head.acceptsTrailers = true
                }
            case .upgrade:
                hasUpgrade = field.valueCount > 0
            case .expect:
                try readExpect(bytes, field, &head)
            case .other where FieldNames.hasUnderscore(bytes + Int(field.nameOffset), Int(field.nameCount)):
                if try !keepsUnderscored(bytes, field) { continue }
            default:
                break
            }
            field.isHopByHop = FramingNotes.isHopByHop(field.id)
            fields[fieldCount] = field
            fieldCount &+= 1
        }

        if !hasHost, head.version >= .http11 { throw .malformed(.hostMissing, headEnd) }
        head.fieldCount = Int32(truncatingIfNeeded: fieldCount)
        head.byteCount = UInt32(truncatingIfNeeded: cursor)
        if notes.isChunked {
            head.framing = .chunked
        } else if notes.hasContentLength {
            head.framing = .length
            head.contentLength = notes.contentLength
        }
        if head.version >= .http11 {
            head.wantsKeepAlive = !notes.closes
            head.wantsUpgrade = notes.upgrades && hasUpgrade
        } else {
            head.wantsKeepAlive = notes.keepsAlive && !notes.closes
        }
        if notes.namesFields { try FramingNotes.markNamedFields(bytes, fields, count: fieldCount) }
    }

    // MARK: - Request line

    /// Reads the method and the space behind it.
    @inline(__always)
    private func readMethod(
        _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ head: inout RequestHead
    ) throws(HeadStop) {
        let start = cursor
        var at = start
        while at < end, ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
        guard at < end, at > start, bytes[at] == UInt8(ascii: " ") else {
            throw methodStop(bytes, at, end, start: start)
        }
        head.methodName = ByteRange(start, at &- start)
        head.method = Method.identify(bytes + start, count: at &- start)
        cursor = at &+ 1
    }

    @inline(never)
    private func methodStop(
        _ bytes: UnsafePointer<UInt8>, _ at: Int, _ end: Int, start: Int
    ) -> HeadStop {
        guard at < end else { return .incomplete }
        switch bytes[at] {
        case UInt8(ascii: "\r"):
            guard at &+ 1 < end else { return .incomplete }
            if bytes[at &+ 1] != UInt8(ascii: "\n") { return .malformed(.bareCR, at) }
            // The cursor is behind an empty line already when the method starts behind offset 0.
            return .malformed(at == start ? .extraEmptyLine : .methodInvalid, at)
        case UInt8(ascii: "\n"):
            return .malformed(.bareLF, at)
        case UInt8(ascii: " "), UInt8(ascii: "\t"):
            return .malformed(at == start ? .methodMissing : .requestLineWhitespace, at)
        default:
            return .malformed(.methodInvalid, at)
        }
    }

    /// Reads the target up to the space behind it.
    @inline(__always)
    private func readTarget(
        _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ head: inout RequestHead
    ) throws(HeadStop) -> Authority? {
        // One byte more than the longest target, for the space.
        let targetEnd = cursor &+ limits.targetBytesMax &+ 1
        let reader = TargetReader(
            bytes: bytes, end: min(end, targetEnd),
            atEnd: end >= targetEnd ? .tooLarge(.target) : .incomplete,
            refusesAmbiguous: limits.refusesAmbiguousPaths)
        if cursor < end, bytes[cursor] == UInt8(ascii: " ") {
            throw .malformed(.requestLineWhitespace, cursor)
        }
        return try reader.read(&cursor, into: &head)
    }

    /// Reads the version and the line end behind it.
    @inline(__always)
    private func readVersion(
        _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ head: inout RequestHead
    ) throws(HeadStop) {
        head.version = try readHTTPVersion(bytes, &cursor, end, isRequest: true)
        cursor = try lineEnd(bytes, cursor, end: end, otherwise: .versionMalformed)
    }

    // MARK: - Fields

    @inline(__always)
    private func readHost(
        _ bytes: UnsafePointer<UInt8>, _ field: Field, _ target: Authority?, _ head: inout RequestHead
    ) throws(HeadStop) {
        let value = field.value
        let host = try Authority(
            bytes, Int(value.offset), Int(value.end), violation: .hostInvalid)
        if let target {
            try compareHost(bytes, host, target, head, at: Int(value.offset))
        } else {
            head.authority = value
            head.host = host.host
        }
    }

    /// A request whose target names one authority and whose `Host` names another would be routed by
    /// one reader to the first and by another to the second.
    @inline(never)
    private func compareHost(
        _ bytes: UnsafePointer<UInt8>, _ host: Authority, _ target: Authority, _ head: RequestHead,
        at offset: Int
    ) throws(HeadStop) {
        var port = host.port
        if port < 0 {
            if head.targetForm == .authority {
                // CONNECT has no scheme whose port could be meant; the target's own is required.
                port = target.port
            } else {
                let isHTTPS = bytes[Int(head.target.offset) &+ 4] | 0x20 == UInt8(ascii: "s")
                port = isHTTPS ? 443 : 80
            }
        }
        let isSame = equalIgnoringASCIICase(
            bytes + Int(host.host.offset), Int(host.host.count), bytes + Int(target.host.offset),
            Int(target.host.count))
        if !isSame || port != target.port { throw .malformed(.hostMismatch, offset) }
    }

    /// Whether a field with `_` in its name stays in the table.
    @inline(never)
    private func keepsUnderscored(_ bytes: UnsafePointer<UInt8>, _ field: Field) throws(HeadStop) -> Bool {
        let name = bytes + Int(field.nameOffset)
        switch HeadParts.fate(ofUnderscored: name, count: Int(field.nameCount), limits.underscores) {
        case .keep: return true
        case .drop: return false
        case .refuse: throw .malformed(.fieldNameUnderscore, Int(field.nameOffset))
        }
    }

    @inline(never)
    private func readExpect(
        _ bytes: UnsafePointer<UInt8>, _ field: Field, _ head: inout RequestHead
    ) throws(HeadStop) {
        let start = Int(field.valueOffset)
        guard equals(bytes + start, Int(field.valueCount), lowercase: "100-continue") else {
            throw .malformed(.expectationUnknown, start)
        }
        // RFC 9110 §10.1.1: an expectation in an HTTP/1.0 request is ignored.
        head.expectsContinue = head.version >= .http11
    }
}

/// Reads a version of HTTP/1 at `cursor`: a minor version above 1 is spoken to as 1.1 (RFC 9110 §2.5).
@inline(__always)
func readHTTPVersion(
    _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, isRequest: Bool
) throws(HeadStop) -> Version {
    if cursor &+ 8 <= end {
        let word = UnsafeRawPointer(bytes + cursor).loadUnaligned(as: UInt64.self)
        // "HTTP/1.1" and "HTTP/1.0" as they lie in memory.
        if UInt64(littleEndian: word) == 0x312E_312F_5054_5448 {
            cursor &+= 8
            return .http11
        }
        if UInt64(littleEndian: word) == 0x302E_312F_5054_5448 {
            cursor &+= 8
            return .http10
        }
        if UInt64(littleEndian: word) << 8 == 0x2E31_2F50_5454_4800,
            UInt8(truncatingIfNeeded: UInt64(littleEndian: word) >> 56) &- UInt8(ascii: "0") <= 9
        {
            cursor &+= 8
            return .http11
        }
    }
    throw versionStop(bytes, cursor, end, isRequest: isRequest)
}

@inline(never)
private func versionStop(
    _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, isRequest: Bool
) -> HeadStop {
    let malformed: Violation = isRequest ? .versionMalformed : .statusLineMalformed
    let pattern: StaticString = "HTTP/0.0"
    for index in 0..<8 {
        let at = start &+ index
        guard at < end else { return .incomplete }
        let byte = bytes[at]
        let wanted = pattern.utf8Start[index]
        if byte == wanted || wanted == UInt8(ascii: "0") && byte &- UInt8(ascii: "0") <= 9 { continue }
        if isRequest {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"): return .malformed(.requestLineWhitespace, at)
            case UInt8(ascii: "\r") where index == 0:
                guard at &+ 1 < end else { return .incomplete }
                return .malformed(bytes[at &+ 1] == UInt8(ascii: "\n") ? .versionMissing : .bareCR, at)
            case UInt8(ascii: "\n"): return .malformed(.bareLF, at)
            default: break
            }
        }
        return .malformed(malformed, at)
    }
    return .malformed(.versionUnsupported, start)
}

extension Method {
    /// The method with this name (case-sensitive), or `.other`.
    @inline(__always)
    static func identify(_ name: UnsafePointer<UInt8>, count: Int) -> Method {
        if count == 3, name[0] == UInt8(ascii: "G"), name[1] == UInt8(ascii: "E"),
            name[2] == UInt8(ascii: "T")
        {
            return .get
        }
        return identifyOther(name, count: count)
    }

    @inline(never)
    private static func identifyOther(_ name: UnsafePointer<UInt8>, count: Int) -> Method {
        switch count {
        case 3:
            if isSame(name, "PUT") { return .put }
        case 4:
            if isSame(name, "POST") { return .post }
            if isSame(name, "HEAD") { return .head }
        case 5:
            if isSame(name, "PATCH") { return .patch }
            if isSame(name, "TRACE") { return .trace }
        case 6:
            if isSame(name, "DELETE") { return .delete }
        case 7:
            if isSame(name, "OPTIONS") { return .options }
            if isSame(name, "CONNECT") { return .connect }
        default:
            break
        }
        return .other
    }

    /// Compares with a literal of the same length.
    @inline(__always)
    private static func isSame(_ name: UnsafePointer<UInt8>, _ literal: StaticString) -> Bool {
        for index in 0..<literal.utf8CodeUnitCount where name[index] != literal.utf8Start[index] {
            return false
        }
        return true
    }
}
