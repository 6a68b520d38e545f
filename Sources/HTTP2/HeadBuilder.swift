// Field lines, as the decompressor yields them, become a head: bytes in one block, a field table, and
// notes about what decides where the message goes and where it ends.
//
// Every line is counted and judged when it comes, before anything of it is kept: RFC 9113 §8.2 and §8.3
// for its form, and limits of fields and of bytes + 32 per field (§6.5.2; cookie crumbs and pseudo-header
// fields count). Over a limit nothing more is kept, but decompression goes on, because the table is
// shared by the connection; several times over it the connection ends (CVE-2024-28182 and its kind).
// The first thing wrong is what is reported. What only the whole head can tell is in HeadFinish.swift.

import WeirHTTP1
import WeirHTTPModel

/// The head that is being read. One per session: field sections of different streams never mix.
struct HeadProgress {
    enum Kind: UInt8 {
        case none, request, response, trailers
        /// Of a stream whose message nobody wants: decompressed and counted only.
        case ignored
    }

    var kind = Kind.none
    var record: StreamPointer?
    /// Where its bytes and fields start in the inbox.
    var byteStart = 0
    var fieldStart = 0

    var bytesCounted = 0
    var fieldsCounted = 0
    var tooLarge = false
    var targetTooLong = false
    var violation = HTTP2Violation.none
    var cause = Violation.none
    var expectationFailed = false
    var underscoreRefused = false

    var sawRegular = false
    var present: Pseudo = []
    var method = ByteRange.empty
    var scheme = ByteRange.empty
    var path = ByteRange.empty
    var authority = ByteRange.empty
    var protocolName = ByteRange.empty
    var host = ByteRange.empty
    var hasHost = false
    var status: UInt16 = 0

    var hasLength = false
    var length: UInt64 = 0
    var expectsContinue = false
    var acceptsTrailers = false
    var hasDate = false
    var priority = StreamPriority()
    var hasPriority = false
    /// Cookie fields in the table, and whether the last line was one (then crumbs join in place).
    var cookieFields = 0
    var lastWasCookie = false

    struct Pseudo: OptionSet, BitwiseCopyable {
        let rawValue: UInt8
        static var method: Pseudo { Pseudo(rawValue: 1) }
        static var scheme: Pseudo { Pseudo(rawValue: 2) }
        static var path: Pseudo { Pseudo(rawValue: 4) }
        static var authority: Pseudo { Pseudo(rawValue: 8) }
        static var protocolName: Pseudo { Pseudo(rawValue: 16) }
        static var status: Pseudo { Pseudo(rawValue: 32) }
    }
}

/// Starts a head on a stream.
func beginHead(_ s: SessionPointer, _ kind: HeadProgress.Kind, _ record: StreamPointer?) {
    let box = inbox(s)
    s.pointee.head = HeadProgress()
    s.pointee.head.kind = kind
    s.pointee.head.record = record
    s.pointee.head.byteStart = box.pointee.byteCount
    s.pointee.head.fieldStart = box.pointee.fieldCount
    if kind == .request {
        // The place of Host, which comes first whichever field it comes from.
        box.pointee.append(
            Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .host))
    }
}

/// Takes one field line. False: the connection is over.
func addField(
    _ s: SessionPointer, _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>,
    _ valueCount: Int
) -> Bool {
    s.pointee.head.bytesCounted &+= nameCount &+ valueCount &+ 32
    s.pointee.head.fieldsCounted &+= 1
    let bytes = s.pointee.head.bytesCounted
    let fields = s.pointee.head.fieldsCounted
    let isTrailers = s.pointee.head.kind == .trailers
    let bytesMax = isTrailers ? ChunkedDecoder.trailerBytesMax : s.pointee.configuration.head.bytesMax
    let fieldsMax = isTrailers ? ChunkedDecoder.trailerFieldsMax : s.pointee.configuration.head.fieldsMax
    if bytes > bytesMax || fields > fieldsMax {
        s.pointee.head.tooLarge = true
        if bytes > s.pointee.configuration.head.bytesMax &* HTTP2Configuration.headFloodFactor
            || fields > s.pointee.configuration.head.fieldsMax &* HTTP2Configuration.headFloodFactor
        {
            violate(s, .headFlood)
            return false
        }
        return true
    }
    if s.pointee.head.tooLarge || s.pointee.head.violation != .none || s.pointee.head.kind == .ignored {
        return true
    }
    let isPseudo = nameCount > 0 && name[0] == UInt8(ascii: ":")
    let found =
        isPseudo
        ? addPseudo(s, name, nameCount, value, valueCount)
        : addRegular(s, name, nameCount, value, valueCount)
    if found != .none { s.pointee.head.violation = found }
    return true
}

/// Notes a pseudo-header field (RFC 9113 §8.3).
private func addPseudo(
    _ s: SessionPointer, _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>,
    _ valueCount: Int
) -> HTTP2Violation {
    let kind = s.pointee.head.kind
    if kind == .trailers { return .pseudoInTrailers }
    if s.pointee.head.sawRegular { return .pseudoAfterRegular }
    guard let pseudo = HeadProgress.Pseudo(name, nameCount) else { return .pseudoUnknown }
    if (pseudo == .status) != (kind == .response) { return .pseudoOfOtherKind }
    if s.pointee.head.present.contains(pseudo) { return .pseudoDuplicate }
    s.pointee.head.present.insert(pseudo)
    let box = inbox(s)
    switch pseudo {
    case .status:
        return readStatus(s, value, valueCount)
    case .method:
        if !HeadParts.isToken(value, count: valueCount) { return .methodInvalid }
        s.pointee.head.method = keep(s, box, value, valueCount)
    case .scheme:
        if !equals(value, valueCount, lowercase: "https"), !equals(value, valueCount, lowercase: "http") {
            return .schemeInvalid
        }
        s.pointee.head.scheme = keep(s, box, value, valueCount)
    case .path:
        if valueCount == 0 { return .pathEmpty }
        if valueCount > s.pointee.configuration.head.targetBytesMax {
            s.pointee.head.targetTooLong = true
            return .none
        }
        s.pointee.head.path = keep(s, box, value, valueCount)
        // The end that the reader of targets looks for.
        box.pointee.append(byte: UInt8(ascii: " "))
    case .authority:
        s.pointee.head.authority = keep(s, box, value, valueCount)
        box.pointee.append(byte: UInt8(ascii: " "))
    default:
        if !HeadParts.isToken(value, count: valueCount) { return .protocolInvalid }
        s.pointee.head.protocolName = keep(s, box, value, valueCount)
    }
    return .none
}

/// Copies a value into the head's block.
@inline(__always)
private func keep(
    _ s: SessionPointer, _ box: UnsafeMutablePointer<Inbox>, _ value: UnsafePointer<UInt8>, _ count: Int
) -> ByteRange {
    ByteRange(box.pointee.append(value, count) &- s.pointee.head.byteStart, count)
}

private func readStatus(
    _ s: SessionPointer, _ value: UnsafePointer<UInt8>, _ count: Int
) -> HTTP2Violation {
    guard count == 3 else { return .statusInvalid }
    var status: UInt16 = 0
    for at in 0..<3 {
        let digit = value[at] &- UInt8(ascii: "0")
        if digit > 9 { return .statusInvalid }
        status = status &* 10 &+ UInt16(digit)
    }
    if status < 100 { return .statusInvalid }
    s.pointee.head.status = status
    return .none
}

/// Checks and keeps a regular field (RFC 9113 §8.2).
private func addRegular(
    _ s: SessionPointer, _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>,
    _ valueCount: Int
) -> HTTP2Violation {
    s.pointee.head.sawRegular = true
    if nameCount == 0 { return .fieldNameEmpty }
    let bad = HeadParts.endOfLowercaseToken(name, count: nameCount)
    if bad != nameCount { return name[bad] &- 65 < 26 ? .fieldNameUppercase : .fieldNameInvalid }
    if nameCount > s.pointee.configuration.head.fieldNameBytesMax {
        s.pointee.head.tooLarge = true
        return .none
    }
    if HeadParts.endOfValue(value, count: valueCount) != valueCount { return .fieldValueByteInvalid }
    if valueCount > 0, isWhitespace(value[0]) || isWhitespace(value[valueCount &- 1]) {
        return .fieldValueWhitespace
    }
    let id = FieldID.identify(name, count: nameCount)
    if id == .other, s.pointee.head.kind == .request, FieldNames.hasUnderscore(name, nameCount) {
        switch HeadParts.fate(
            ofUnderscored: name, count: nameCount, s.pointee.configuration.head.underscores)
        {
        case .keep: break
        case .drop: return .none
        case .refuse:
            s.pointee.head.underscoreRefused = true
            return .none
        }
    }
    let box = inbox(s)
    let wasCookie = s.pointee.head.lastWasCookie
    s.pointee.head.lastWasCookie = id == .cookie
    if id == .cookie, s.pointee.head.kind == .request {
        if wasCookie {
            // The crumb before it is what was appended last (RFC 9113 §8.2.3).
            box.pointee.append(byte: UInt8(ascii: ";"))
            box.pointee.append(byte: UInt8(ascii: " "))
            _ = box.pointee.append(value, valueCount)
            box.pointee.fields[box.pointee.fieldCount &- 1].valueCount &+= UInt32(
                truncatingIfNeeded: valueCount &+ 2)
            return .none
        }
        s.pointee.head.cookieFields &+= 1
    } else if id != .other {
        let found = noteKnown(s, id, value, valueCount)
        if found != .none { return found }
        if id == .host, s.pointee.head.kind == .request { return keepHost(s, value, valueCount) }
    } else if nameCount == 8, s.pointee.head.kind == .request, equals(name, 8, lowercase: "priority") {
        s.pointee.head.priority = StreamPriority(value, count: valueCount)
        s.pointee.head.hasPriority = true
    }
    let start = s.pointee.head.byteStart
    let nameOffset = box.pointee.append(name, nameCount) &- start
    let valueOffset = box.pointee.append(value, valueCount) &- start
    var field = Field(
        nameOffset: UInt32(truncatingIfNeeded: nameOffset),
        nameCount: UInt16(truncatingIfNeeded: nameCount),
        valueOffset: UInt32(truncatingIfNeeded: valueOffset),
        valueCount: UInt32(truncatingIfNeeded: valueCount), id: id)
    field.isHopByHop = HeadParts.isHopByHop(id)
    if s.pointee.head.kind == .trailers {
        switch HeadParts.trailerRule(id) {
        case .keep: break
        case .drop: field.isHopByHop = true
        case .refuse: return .trailerForbidden
        }
    }
    box.pointee.append(field)
    return .none
}

@inline(__always)
private func isWhitespace(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t")
}

/// Fields that decide something.
private func noteKnown(
    _ s: SessionPointer, _ id: FieldID, _ value: UnsafePointer<UInt8>, _ count: Int
) -> HTTP2Violation {
    switch id {
    case .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade:
        return .connectionField
    case .te:
        if !equals(value, count, lowercase: "trailers") { return .teNotTrailers }
        s.pointee.head.acceptsTrailers = true
    case .contentLength where s.pointee.head.kind != .trailers:
        if s.pointee.head.hasLength { return .contentLengthDuplicate }
        s.pointee.head.hasLength = true
        switch HeadParts.readContentLength(value, ByteRange(0, count), into: &s.pointee.head.length) {
        case .none: break
        case .contentLengthTooLarge: return .contentLengthTooLarge
        default: return .contentLengthInvalid
        }
    case .expect where s.pointee.head.kind == .request:
        if equals(value, count, lowercase: "100-continue") {
            s.pointee.head.expectsContinue = true
        } else {
            s.pointee.head.expectationFailed = true
        }
    case .date:
        s.pointee.head.hasDate = true
    default:
        break
    }
    return .none
}

/// Host has its place at the start of the table and is filled in at the end of the head.
private func keepHost(
    _ s: SessionPointer, _ value: UnsafePointer<UInt8>, _ count: Int
) -> HTTP2Violation {
    if s.pointee.head.hasHost { return .hostDuplicate }
    s.pointee.head.hasHost = true
    s.pointee.head.host = keep(s, inbox(s), value, count)
    return .none
}

extension HeadProgress.Pseudo {
    /// The pseudo-header field with this name, colon included.
    fileprivate init?(_ name: UnsafePointer<UInt8>, _ count: Int) {
        func isSame(_ literal: StaticString) -> Bool {
            for index in 0..<count where name[index] != literal.utf8Start[index] { return false }
            return true
        }
        switch count {
        case 5:
            guard isSame(":path") else { return nil }
            self = .path
        case 7:
            if isSame(":method") {
                self = .method
            } else if isSame(":scheme") {
                self = .scheme
            } else if isSame(":status") {
                self = .status
            } else {
                return nil
            }
        case 9:
            guard isSame(":protocol") else { return nil }
            self = .protocolName
        case 10:
            guard isSame(":authority") else { return nil }
            self = .authority
        default:
            return nil
        }
    }
}
