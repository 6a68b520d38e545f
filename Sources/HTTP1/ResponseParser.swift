// Response heads (RFC 9112 §4 to §6, RFC 9110 §15).
//
// An upstream is read as strictly as a client: a response that two readers could end at different
// bytes is refused (the proxy answers 502), because its remainder would be taken for the answer to the
// next request on the connection. Accepted beyond the grammar: a status line without reason phrase
// that also lacks the space in front of it, which many servers send.
// What a service's `quirks` allow is overlooked in a second reading, of what the first has refused.
// Does not decide whether a 101 was asked for.

import WeirHTTPModel

/// Parses HTTP/1.0 and HTTP/1.1 response heads. Stateless; one value serves any number of connections.
public struct ResponseParser: Sendable {
    public let limits: HeadLimits

    public init(limits: HeadLimits = HeadLimits()) {
        self.limits = limits
    }

    /// Parses the head that starts at `bytes`. No empty line may precede it.
    ///
    /// `framing` of the head takes the request's method and the status into account. On responses that
    /// cannot have a body whatever they say (1xx, 204, 2xx to CONNECT) length fields mean nothing: they
    /// are marked hop-by-hop, and `allowsKeepAlive` is false if they announced a body all the same,
    /// for the peer may send it.
    ///
    /// - Parameters:
    ///   - count: how many bytes have arrived, the head's first byte included; there may be more
    ///     than the head.
    ///   - requestMethod: of the request that is answered.
    ///   - fields: room for `limits.fieldsMax` fields.
    ///   - head: on `.complete` the head; otherwise what had been read when the parser stopped.
    /// - Returns: `.incomplete` when the bytes are the beginning of a head that may become valid.
    public func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, requestMethod: Method,
        fields: UnsafeMutablePointer<Field>, into head: inout ResponseHead
    ) -> HeadResult {
        parse(bytes, count, requestMethod, fields, &head, allowing: [])
    }

    /// The same for a peer that is known to break the standard in these ways. For what `parse` has called
    /// malformed.
    @inline(never)
    public func parseLeniently(
        _ bytes: UnsafePointer<UInt8>, count: Int, requestMethod: Method,
        fields: UnsafeMutablePointer<Field>, into head: inout ResponseHead, allowing quirks: Quirks
    ) -> HeadResult {
        parse(bytes, count, requestMethod, fields, &head, allowing: quirks)
    }

    @inline(__always)
    private func parse(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ requestMethod: Method,
        _ fields: UnsafeMutablePointer<Field>, _ head: inout ResponseHead, allowing quirks: Quirks
    ) -> HeadResult {
        head = ResponseHead()
        let end = min(count, limits.bytesMax)
        do throws(HeadStop) {
            try read(bytes, end, requestMethod, fields, &head, quirks)
            return .complete
        } catch {
            if error.result == .incomplete, end == limits.bytesMax { return .tooLarge(.bytes) }
            return error.result
        }
    }

    @inline(__always)
    private func read(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ requestMethod: Method,
        _ fields: UnsafeMutablePointer<Field>, _ head: inout ResponseHead, _ quirks: Quirks
    ) throws(HeadStop) {
        var cursor = 0
        head.version = try readHTTPVersion(bytes, &cursor, end, isRequest: false)
        try readStatus(bytes, &cursor, end, &head)

        var notes = FramingNotes()
        var fieldCount = 0
        var field = Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other)
        while try readFieldLine(
            bytes, &cursor, end: end, isFirst: fieldCount == 0, limits: limits, &field)
        {
            if fieldCount == limits.fieldsMax { throw .tooLarge(.fields) }
            var isRepeated = false
            switch field.id {
            case .contentLength where quirks.contains(.duplicateLength):
                isRepeated = try notes.readLengths(bytes, &field, &head.quirks)
            case .transferEncoding where quirks.contains(.teIdentity) && isIdentity(bytes, field):
                try notes.readIdentity(field, &head.quirks)
            case .contentLength:
                try notes.readContentLength(bytes, field)
            case .transferEncoding:
                try notes.readTransferEncoding(bytes, field, version: head.version)
            case .connection:
                try notes.readConnection(bytes, field)
            case .keepAlive:
                readKeepAlive(bytes, field, &head)
            case .date:
                head.hasDate = true
            default:
                break
            }
            field.isHopByHop = FramingNotes.isHopByHop(field.id) || isRepeated
            fields[fieldCount] = field
            fieldCount &+= 1
        }

        head.fieldCount = Int32(truncatingIfNeeded: fieldCount)
        head.byteCount = UInt32(truncatingIfNeeded: cursor)
        head.hasContentLength = notes.hasContentLength
        head.contentLength = notes.contentLength
        head.allowsKeepAlive =
            head.version >= .http11 ? !notes.closes : notes.keepsAlive && !notes.closes
        // By RFC 9112 §6.3 the body goes on to the end of the connection: nothing behind it is a response.
        if notes.isIdentity { head.allowsKeepAlive = false }
        if notes.namesFields { try FramingNotes.markNamedFields(bytes, fields, count: fieldCount) }
        setFraming(requestMethod, notes, fields, &head)
    }

    private func isIdentity(_ bytes: UnsafePointer<UInt8>, _ field: Field) -> Bool {
        equals(bytes + Int(field.valueOffset), Int(field.valueCount), lowercase: "identity")
    }

    /// RFC 9112 §6.3.
    @inline(__always)
    private func setFraming(
        _ requestMethod: Method, _ notes: FramingNotes, _ fields: UnsafeMutablePointer<Field>,
        _ head: inout ResponseHead
    ) {
        let status = head.status
        if status < 200 || status == 204 || requestMethod == .connect && status < 300 {
            head.framing = .none
            if notes.isChunked || notes.hasContentLength { dropLengths(notes, fields, &head) }
        } else if requestMethod == .head || status == 304 {
            head.framing = .none
        } else if notes.isChunked {
            head.framing = .chunked
        } else if notes.hasContentLength {
            head.framing = .length
        } else {
            head.framing = .untilClose
            head.allowsKeepAlive = false
        }
    }

    @inline(never)
    private func dropLengths(
        _ notes: FramingNotes, _ fields: UnsafeMutablePointer<Field>, _ head: inout ResponseHead
    ) {
        for index in 0..<Int(head.fieldCount) where fields[index].id == .contentLength {
            fields[index].isHopByHop = true
        }
        if notes.isChunked || notes.contentLength > 0 { head.allowsKeepAlive = false }
        head.hasContentLength = false
        head.contentLength = 0
    }

    /// Reads the status, the reason phrase and the line end, from the space before the status.
    @inline(__always)
    private func readStatus(
        _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ head: inout ResponseHead
    ) throws(HeadStop) {
        guard cursor < end else { throw .incomplete }
        if bytes[cursor] != UInt8(ascii: " ") {
            if bytes[cursor] == UInt8(ascii: "\n") { throw .malformed(.bareLF, cursor) }
            throw .malformed(.statusLineMalformed, cursor)
        }
        var status: UInt16 = 0
        for at in cursor &+ 1...cursor &+ 3 {
            guard at < end else { throw .incomplete }
            let digit = bytes[at] &- UInt8(ascii: "0")
            if digit > 9 || status == 0 && digit == 0 { throw .malformed(.statusInvalid, at) }
            status = status &* 10 &+ UInt16(digit)
        }
        head.status = status
        cursor &+= 4
        guard cursor < end else { throw .incomplete }
        if bytes[cursor] == UInt8(ascii: " ") {
            let reason = cursor &+ 1
            cursor = endOfText(bytes, reason, end)
            head.reason = ByteRange(reason, cursor &- reason)
            cursor = try lineEnd(bytes, cursor, end: end, otherwise: .reasonByteInvalid)
        } else {
            cursor = try lineEnd(bytes, cursor, end: end, otherwise: .statusInvalid)
        }
    }

    /// Reads the `timeout` parameter; what is not understood counts as absent, for it is a hint.
    @inline(never)
    private func readKeepAlive(
        _ bytes: UnsafePointer<UInt8>, _ field: Field, _ head: inout ResponseHead
    ) {
        var at = Int(field.valueOffset)
        let end = Int(field.value.end)
        while at < end {
            while at < end, bytes[at] == UInt8(ascii: " ") || bytes[at] == UInt8(ascii: "\t") { at &+= 1 }
            if at &+ 8 < end, equals(bytes + at, 8, lowercase: "timeout=") {
                at &+= 8
                var seconds = 0
                while at < end, bytes[at] &- UInt8(ascii: "0") <= 9 {
                    seconds = min(seconds &* 10 &+ Int(bytes[at] &- UInt8(ascii: "0")), Int(UInt16.max))
                    at &+= 1
                }
                head.keepAliveTimeoutSeconds = UInt16(truncatingIfNeeded: seconds)
                return
            }
            while at < end, bytes[at] != UInt8(ascii: ",") { at &+= 1 }
            at &+= 1
        }
    }
}
