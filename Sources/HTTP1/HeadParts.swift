// The parts of a head that every version of HTTP reads alike, for the codecs of the other versions:
// tokens, field values, targets, authorities, lengths, trailers. The rules are those of the parsers in
// this module; a request must not mean something else because it came over HTTP/2.

import WeirHTTPModel

/// Rules for the parts of a head, each on bytes that are already cut out of it.
public enum HeadParts {
    /// Whether the bytes are a token (RFC 9110 §5.6.2), which is never empty.
    public static func isToken(_ bytes: UnsafePointer<UInt8>, count: Int) -> Bool {
        var at = 0
        while at < count, ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
        return at == count && count > 0
    }

    /// The offset of the first byte that is no token character or an upper-case letter; `count` when
    /// there is none.
    public static func endOfLowercaseToken(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        var at = 0
        while at < count, ByteClass.contains(bytes[at], ByteClass.token), bytes[at] &- 65 >= 26 {
            at &+= 1
        }
        return at
    }

    /// The offset of the first control character other than HTAB; `count` when there is none.
    public static func endOfValue(_ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        endOfText(bytes, 0, count)
    }

    /// The method with this name (case-sensitive), or `.other`.
    public static func method(_ bytes: UnsafePointer<UInt8>, count: Int) -> Method {
        Method.identify(bytes, count: count)
    }

    /// Reads the request target in `target`, behind which stands one space that belongs to the caller,
    /// into `head`, whose method is set. All four forms are accepted.
    ///
    /// - Parameters:
    ///   - refusesAmbiguous: as `HeadLimits.refusesAmbiguousPaths`.
    ///   - port: of an authority in the target.
    public static func readTarget(
        _ bytes: UnsafePointer<UInt8>, _ target: ByteRange, refusesAmbiguous: Bool,
        into head: inout RequestHead, port: inout Int32
    ) -> Violation {
        var cursor = Int(target.offset)
        let end = Int(target.end)
        if target.isEmpty { return .targetFormUnknown }
        let reader = TargetReader(
            bytes: bytes, end: end &+ 1, atEnd: .malformed(.targetByteInvalid, cursor),
            refusesAmbiguous: refusesAmbiguous)
        do throws(HeadStop) {
            let authority = try reader.read(&cursor, into: &head)
            port = authority?.port ?? -1
        } catch {
            return error.violation
        }
        return cursor == end ? .none : .targetByteInvalid
    }

    /// Reads host and port of the authority in `range`.
    ///
    /// - Parameters:
    ///   - host: the host part, brackets of an IPv6 literal included; may be empty.
    ///   - port: -1 when there is none.
    public static func readAuthority(
        _ bytes: UnsafePointer<UInt8>, _ range: ByteRange, host: inout ByteRange, port: inout Int32
    ) -> Violation {
        do throws(HeadStop) {
            let authority = try Authority(
                bytes, Int(range.offset), Int(range.end), violation: .targetAuthorityInvalid)
            host = authority.host
            port = authority.port
            return .none
        } catch {
            return error.violation
        }
    }

    /// Reads a Content-Length value.
    public static func readContentLength(
        _ bytes: UnsafePointer<UInt8>, _ value: ByteRange, into length: inout UInt64
    ) -> Violation {
        var notes = FramingNotes()
        let field = Field(
            nameOffset: value.offset, nameCount: 0, valueOffset: value.offset, valueCount: value.count,
            id: .contentLength)
        do throws(HeadStop) {
            try notes.readContentLength(bytes, field)
        } catch {
            return error.violation
        }
        length = notes.contentLength
        return .none
    }

    /// What becomes of a request field with `_` in its name.
    public static func fate(
        ofUnderscored name: UnsafePointer<UInt8>, count: Int, _ rule: UnderscoreRule
    ) -> FieldFate {
        switch rule {
        case .pass: FieldNames.isAliasOfGuarded(name, count) ? .drop : .keep
        case .drop: .drop
        case .refuse: .refuse
        }
    }

    /// Whether a field ends at this hop, whatever else the message says.
    @inline(__always)
    public static func isHopByHop(_ id: FieldID) -> Bool { FramingNotes.isHopByHop(id) }

    /// What becomes of a field among the trailers.
    public static func trailerRule(_ id: FieldID) -> FieldFate { ChunkedDecoder.trailerRule(id) }
}

/// What becomes of a field that could be taken for another, or among the trailers (RFC 9110 §6.5.1).
public enum FieldFate: Sendable {
    /// Passed on.
    case keep
    /// Not passed on: of trailers, it would mean something in the head.
    case drop
    /// Malformed: of trailers, whoever merges it into the head changes the message's end or its destination.
    case refuse
}

extension HeadStop {
    fileprivate var violation: Violation {
        if case .malformed(let violation, _) = result { return violation }
        // Nothing else comes out of the functions used here.
        return .targetByteInvalid
    }
}
