// The fields that say where a message ends and what becomes of its connection: Content-Length,
// Transfer-Encoding, Connection (RFC 9112 §6 and §9, RFC 9110 §7.6.1), read alike in requests and
// responses.
//
// Defends against request smuggling: every combination that two implementations are known to read
// differently is refused, even where the standard offers a rule of precedence (both lengths, a
// repeated length with equal values, a list of codings that ends with chunked). Only of an endpoint whose
// service names it as one of its `quirks` some of that is taken.

import WeirHTTPModel

/// What the framing and connection fields of one head said.
struct FramingNotes {
    var contentLength: UInt64 = 0
    var hasContentLength = false
    var isChunked = false
    /// `Transfer-Encoding: identity` was overlooked.
    var isIdentity = false
    var closes = false
    var keepsAlive = false
    var upgrades = false
    /// A `Connection` field names fields other than those that are hop-by-hop anyway.
    var namesFields = false

    /// Fields that end at this hop whether `Connection` names them or not. `Trailer` is not among
    /// them: trailers pass, and so does the announcement.
    @inline(__always)
    static func isHopByHop(_ id: FieldID) -> Bool {
        switch id {
        case .connection, .keepAlive, .proxyConnection, .te, .transferEncoding, .upgrade, .http2Settings:
            true
        default:
            false
        }
    }

    private var optionCount = 0
    /// Most options in all `Connection` fields of a head: marking costs options × fields.
    private static var optionsMax: Int { 64 }

    @inline(never)
    mutating func readContentLength(
        _ bytes: UnsafePointer<UInt8>, _ field: Field
    ) throws(HeadStop) {
        if hasContentLength { throw .malformed(.contentLengthDuplicate, Int(field.nameOffset)) }
        if isChunked { throw .malformed(.transferEncodingWithContentLength, Int(field.nameOffset)) }
        let start = Int(field.valueOffset)
        if field.valueCount == 0 { throw .malformed(.contentLengthInvalid, start) }
        var value: UInt64 = 0
        for at in start..<start &+ Int(field.valueCount) {
            let digit = bytes[at] &- UInt8(ascii: "0")
            if digit > 9 { throw .malformed(.contentLengthInvalid, at) }
            // 2^63 - 1 is 922…807; one digit more at a tenth of that cannot overflow 64 bits.
            if value > UInt64(Int64.max) / 10 { throw .malformed(.contentLengthTooLarge, start) }
            value = value &* 10 &+ UInt64(digit)
        }
        if value > UInt64(Int64.max) { throw .malformed(.contentLengthTooLarge, start) }
        contentLength = value
        hasContentLength = true
    }

    /// A length that may be given several times, as long as it is the same (RFC 9110 §8.6): in several
    /// fields, or as a list in one, which is left with its first value.
    ///
    /// - Returns: whether there was a field with it before.
    @inline(never)
    mutating func readLengths(
        _ bytes: UnsafePointer<UInt8>, _ field: inout Field, _ used: inout Quirks
    ) throws(HeadStop) -> Bool {
        let hasEarlier = hasContentLength
        let end = Int(field.value.end)
        var at = Int(field.valueOffset)
        var first: Field?
        while true {
            func isBlank(_ at: Int) -> Bool {
                bytes[at] == UInt8(ascii: " ") || bytes[at] == UInt8(ascii: "\t")
            }
            while at < end, isBlank(at) { at &+= 1 }
            let start = at
            while at < end, bytes[at] != UInt8(ascii: ",") { at &+= 1 }
            var stop = at
            while stop > start, isBlank(stop &- 1) { stop &-= 1 }
            var element = field
            element.valueOffset = UInt32(truncatingIfNeeded: start)
            element.valueCount = UInt32(truncatingIfNeeded: stop &- start)
            let isRepeated = hasContentLength
            let before = contentLength
            hasContentLength = false
            try readContentLength(bytes, element)
            if isRepeated {
                guard contentLength == before else {
                    throw .malformed(.contentLengthDuplicate, Int(field.nameOffset))
                }
                used.insert(.duplicateLength)
            }
            if first == nil { first = element }
            if at == end { break }
            at &+= 1
        }
        if let first { field = first }
        return hasEarlier
    }

    /// `identity` counts as absent, as long as there is no other coding.
    @inline(never)
    mutating func readIdentity(_ field: Field, _ used: inout Quirks) throws(HeadStop) {
        if isChunked || isIdentity {
            throw .malformed(.transferEncodingDuplicate, Int(field.nameOffset))
        }
        isIdentity = true
        used.insert(.teIdentity)
    }

    @inline(never)
    mutating func readTransferEncoding(
        _ bytes: UnsafePointer<UInt8>, _ field: Field, version: Version
    ) throws(HeadStop) {
        if isChunked || isIdentity {
            throw .malformed(.transferEncodingDuplicate, Int(field.nameOffset))
        }
        if version < .http11 { throw .malformed(.transferEncodingInHTTP10, Int(field.nameOffset)) }
        if hasContentLength {
            throw .malformed(.transferEncodingWithContentLength, Int(field.nameOffset))
        }
        let start = Int(field.valueOffset)
        let count = Int(field.valueCount)
        guard equals(bytes + start, count, lowercase: "chunked") else {
            throw transferEncodingStop(bytes, start, count)
        }
        isChunked = true
    }

    /// Tells a list of codings that Weir does not know from what is no list of codings at all.
    private func transferEncodingStop(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int
    ) -> HeadStop {
        var expectsCoding = true
        for at in start..<start &+ count {
            let byte = bytes[at]
            if ByteClass.contains(byte, ByteClass.token) {
                expectsCoding = false
            } else if byte == UInt8(ascii: ",") {
                if expectsCoding { return .malformed(.transferEncodingMalformed, at) }
                expectsCoding = true
            } else if byte != UInt8(ascii: " ") {
                return .malformed(.transferEncodingMalformed, at)
            }
        }
        return .malformed(expectsCoding ? .transferEncodingMalformed : .transferEncodingUnknown, start)
    }

    @inline(never)
    mutating func readConnection(_ bytes: UnsafePointer<UInt8>, _ field: Field) throws(HeadStop) {
        let start = Int(field.valueOffset)
        let count = Int(field.valueCount)
        // By far the most frequent two.
        if FieldID.identify(bytes + start, count: count) == .keepAlive {
            keepsAlive = true
            return
        }
        if equals(bytes + start, count, lowercase: "close") {
            closes = true
            return
        }
        var list = TokenList(bytes, start, count)
        while let option = try list.next() {
            optionCount &+= 1
            if optionCount > FramingNotes.optionsMax { throw .malformed(.connectionMalformed, option.offset) }
            try readOption(bytes, option)
        }
    }

    private mutating func readOption(
        _ bytes: UnsafePointer<UInt8>, _ option: (offset: Int, count: Int)
    ) throws(HeadStop) {
        let name = bytes + option.offset
        if equals(name, option.count, lowercase: "close") {
            closes = true
            return
        }
        let id = FieldID.identify(name, count: option.count)
        switch id {
        case .keepAlive:
            keepsAlive = true
        case .upgrade:
            upgrades = true
        case .te, .http2Settings, .proxyConnection, .connection:
            break
        // Dropping one of these would change who the message is for, where it ends or what its body
        // means: a way to make the next hop see another message than this one.
        case .host, .contentLength, .transferEncoding, .contentType, .contentEncoding, .contentRange:
            throw .malformed(.connectionNamesEssentialField, option.offset)
        default:
            namesFields = true
        }
    }

    /// Marks the fields that `Connection` names. Call when `namesFields`, after the last field.
    @inline(never)
    static func markNamedFields(
        _ bytes: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<Field>, count: Int
    ) throws(HeadStop) {
        for index in 0..<count where fields[index].id == .connection {
            let value = fields[index].value
            var list = TokenList(bytes, Int(value.offset), Int(value.count))
            while let option = try list.next() {
                for candidate in 0..<count
                where equalIgnoringASCIICase(
                    bytes + Int(fields[candidate].nameOffset), Int(fields[candidate].nameCount),
                    bytes + option.offset, option.count)
                {
                    fields[candidate].isHopByHop = true
                }
            }
        }
    }
}

/// The tokens of a comma-separated list (RFC 9110 §5.6.1); empty elements are passed over.
struct TokenList {
    private let bytes: UnsafePointer<UInt8>
    private var at: Int
    private let end: Int

    init(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ count: Int) {
        self.bytes = bytes
        self.at = start
        self.end = start &+ count
    }

    /// The next token, or nil at the end. Anything but tokens, commas and whitespace around them is
    /// `connectionMalformed` (Connection is the only list that is read strictly).
    mutating func next() throws(HeadStop) -> (offset: Int, count: Int)? {
        while at < end, isWhitespace(bytes[at]) || bytes[at] == UInt8(ascii: ",") { at &+= 1 }
        if at == end { return nil }
        let start = at
        while at < end, ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
        let count = at &- start
        while at < end, isWhitespace(bytes[at]) { at &+= 1 }
        if count == 0 || at < end && bytes[at] != UInt8(ascii: ",") {
            throw .malformed(.connectionMalformed, at)
        }
        return (start, count)
    }

    @inline(__always)
    private func isWhitespace(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
    }
}

/// Whether a list value has an element whose name (before ";" or "=") is the lower-case literal.
/// For fields that end at this hop and may be read leniently: TE.
@inline(never)
func listContains(_ bytes: UnsafePointer<UInt8>, _ value: ByteRange, lowercase name: StaticString) -> Bool {
    var at = Int(value.offset)
    let end = Int(value.end)
    while at < end {
        while at < end, !ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
        let start = at
        while at < end, ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
        if equals(bytes + start, at &- start, lowercase: name) { return true }
        while at < end, bytes[at] != UInt8(ascii: ",") { at &+= 1 }
    }
    return false
}
