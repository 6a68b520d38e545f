// What only a whole field section can tell: which pseudo-header fields are missing, whether :authority
// and host agree, what the target is, where the body ends (RFC 9113 §8.3.1, §8.3.2, §8.5; RFC 8441 §4).
//
// The outcome is an event with the head in the form the parsers of HTTP/1.1 give it. Defends against the
// smuggling that translation to HTTP/1.1 would make possible: the target is read by the same rules, an
// authority in two places must be one, a length must be the length of the data.

import CNGHTTP2
import WeirHTTP1
import WeirHTTPModel

/// The field section is complete.
func finishHead(_ s: SessionPointer, endsStream: Bool) {
    let kind = s.pointee.head.kind
    s.pointee.head.kind = .none
    guard let record = s.pointee.head.record else { return }
    if endsStream { record.pointee.flags.insert(.remoteEnded) }
    if kind == .ignored || record.pointee.flags.contains(.discards) { return }
    if s.pointee.head.violation != .none {
        malformed(s, record, s.pointee.head.violation)
        return
    }
    switch kind {
    case .request: finishRequest(s, record, endsStream)
    case .response: finishResponse(s, record, endsStream)
    case .trailers: finishTrailers(s, record, endsStream)
    case .none, .ignored: break
    }
}

/// An event with the block and the fields of the head that has just ended.
private func headEvent(_ s: SessionPointer, _ kind: HTTP2Event.Kind, _ record: StreamPointer) -> HTTP2Event {
    var event = HTTP2Event(kind)
    event.stream = record.pointee.id
    event.record = record
    event.bytesOffset = s.pointee.head.byteStart
    event.fieldsOffset = s.pointee.head.fieldStart
    let box = inbox(s)
    event.count = box.pointee.byteCount &- s.pointee.head.byteStart
    event.fieldCount = Int32(truncatingIfNeeded: box.pointee.fieldCount &- s.pointee.head.fieldStart)
    return event
}

private func refuse(
    _ s: SessionPointer, _ record: StreamPointer, _ status: UInt16, _ violation: HTTP2Violation,
    cause: Violation = .none
) {
    record.pointee.flags.formUnion([.discards, .isKnown])
    var event = HTTP2Event(.headRefused)
    event.stream = record.pointee.id
    event.record = record
    event.status = status
    event.violation = violation
    event.cause = cause
    event.endsStream = record.pointee.flags.contains(.remoteEnded)
    enqueue(s, event)
}

// MARK: - Requests

private func finishRequest(_ s: SessionPointer, _ record: StreamPointer, _ endsStream: Bool) {
    if s.pointee.head.tooLarge { return refuse(s, record, 431, .none) }
    if s.pointee.head.targetTooLong { return refuse(s, record, 414, .none) }
    let box = inbox(s)
    let base = UnsafePointer(box.pointee.bytes + s.pointee.head.byteStart)
    var head = RequestHead()
    head.version = .http2
    var cause = Violation.none
    let found = readRequest(s, base, &head, &cause)
    if found != .none { return malformed(s, record, found, cause: cause) }
    if s.pointee.head.underscoreRefused {
        return refuse(s, record, 400, .none, cause: .fieldNameUnderscore)
    }
    if s.pointee.head.expectationFailed { return refuse(s, record, 417, .expectationUnknown) }

    if s.pointee.head.hasLength {
        if endsStream, s.pointee.head.length > 0 { return malformed(s, record, .contentLengthMismatch) }
        record.pointee.flags.insert(.hasLength)
        record.pointee.length = s.pointee.head.length
        head.framing = .length
        head.contentLength = s.pointee.head.length
    } else {
        head.framing = endsStream ? .none : .chunked
    }
    head.expectsContinue = s.pointee.head.expectsContinue
    head.acceptsTrailers = s.pointee.head.acceptsTrailers
    if s.pointee.head.cookieFields > 1 { joinCookies(s) }
    fillHost(s)

    record.pointee.method = head.method
    record.pointee.flags.formUnion([.headDone, .isKnown])
    if s.pointee.head.hasPriority { setPriority(s, record, s.pointee.head.priority) }

    var event = headEvent(s, .head, record)
    head.fieldCount = event.fieldCount
    head.byteCount = UInt32(truncatingIfNeeded: event.count)
    event.request = head
    event.endsStream = endsStream
    event.urgency = record.pointee.urgency
    event.isIncremental = record.pointee.isIncremental
    event.scheme = s.pointee.head.scheme
    event.protocolName = s.pointee.head.protocolName
    enqueue(s, event)
}

private func readRequest(
    _ s: SessionPointer, _ base: UnsafePointer<UInt8>, _ head: inout RequestHead, _ cause: inout Violation
) -> HTTP2Violation {
    let present = s.pointee.head.present
    guard present.contains(.method) else { return .methodMissing }
    head.methodName = s.pointee.head.method
    head.method = HeadParts.method(base + Int(head.methodName.offset), count: Int(head.methodName.count))
    let hasProtocol = present.contains(.protocolName)
    if hasProtocol {
        if head.method != .connect { return .protocolWithoutConnect }
        if !s.pointee.configuration.offersExtendedConnect { return .extendedConnectNotEnabled }
    } else if head.method == .connect {
        return readConnect(s, base, &head, &cause)
    }
    guard present.contains(.scheme) else { return .schemeMissing }
    guard present.contains(.path) else { return .pathMissing }
    let path = s.pointee.head.path
    var port: Int32 = -1
    let first = base[Int(path.offset)]
    if first == UInt8(ascii: "*"), path.count == 1 {
        if head.method != .options { return .asteriskNotOptions }
    } else if first != UInt8(ascii: "/") {
        return .pathInvalid
    }
    // An extended CONNECT has a path like any other request, not an authority (RFC 8441 §4).
    if hasProtocol { head.method = .get }
    cause = HeadParts.readTarget(
        base, path, refusesAmbiguous: s.pointee.configuration.head.refusesAmbiguousPaths, into: &head,
        port: &port)
    if hasProtocol { head.method = .connect }
    if cause != .none { return .targetInvalid }
    return readAuthorities(s, base, &head, &cause)
}

/// CONNECT without :protocol: nothing but an authority, whose port is required (RFC 9113 §8.5).
private func readConnect(
    _ s: SessionPointer, _ base: UnsafePointer<UInt8>, _ head: inout RequestHead, _ cause: inout Violation
) -> HTTP2Violation {
    let present = s.pointee.head.present
    if !present.isDisjoint(with: [.scheme, .path]) { return .connectWithSchemeOrPath }
    guard present.contains(.authority) else { return .authorityMissing }
    var port: Int32 = -1
    cause = HeadParts.readTarget(
        base, s.pointee.head.authority, refusesAmbiguous: false, into: &head, port: &port)
    if cause == .userinfoInTarget { return .userinfoInAuthority }
    if cause != .none { return .connectAuthorityInvalid }
    guard s.pointee.head.hasHost else { return .none }
    var host = ByteRange.empty
    var hostPort: Int32 = -1
    cause = HeadParts.readAuthority(base, s.pointee.head.host, host: &host, port: &hostPort)
    if cause != .none { return .hostInvalid }
    if hostPort < 0 { hostPort = port }
    return hostPort == port && isSame(base, host, head.host) ? .none : .hostMismatch
}

/// :authority and host: at least one, valid, and both for the same place (RFC 9113 §8.3.1).
private func readAuthorities(
    _ s: SessionPointer, _ base: UnsafePointer<UInt8>, _ head: inout RequestHead, _ cause: inout Violation
) -> HTTP2Violation {
    var host = ByteRange.empty
    var port: Int32 = -1
    let hasAuthority = s.pointee.head.present.contains(.authority)
    if hasAuthority {
        let authority = s.pointee.head.authority
        cause = HeadParts.readAuthority(base, authority, host: &host, port: &port)
        if cause != .none {
            return contains(base, authority, UInt8(ascii: "@")) ? .userinfoInAuthority : .authorityInvalid
        }
        if host.isEmpty { return .authorityInvalid }
        head.authority = authority
        head.host = host
    }
    guard s.pointee.head.hasHost else { return hasAuthority ? .none : .authorityMissing }
    var fieldHost = ByteRange.empty
    var fieldPort: Int32 = -1
    cause = HeadParts.readAuthority(base, s.pointee.head.host, host: &fieldHost, port: &fieldPort)
    if cause != .none { return .hostInvalid }
    if fieldHost.isEmpty { return .hostInvalid }
    if !hasAuthority {
        head.authority = s.pointee.head.host
        head.host = fieldHost
        return .none
    }
    let usual: Int32 = s.pointee.head.scheme.count == 5 ? 443 : 80
    if port < 0 { port = usual }
    if fieldPort < 0 { fieldPort = usual }
    return port == fieldPort && isSame(base, host, fieldHost) ? .none : .hostMismatch
}

private func isSame(_ base: UnsafePointer<UInt8>, _ a: ByteRange, _ b: ByteRange) -> Bool {
    equalIgnoringASCIICase(base + Int(a.offset), Int(a.count), base + Int(b.offset), Int(b.count))
}

private func contains(_ base: UnsafePointer<UInt8>, _ range: ByteRange, _ byte: UInt8) -> Bool {
    range.bytes(in: base).contains(byte)
}

/// Writes the field that was kept free for Host.
private func fillHost(_ s: SessionPointer) {
    let box = inbox(s)
    let name: StaticString = "host"
    let offset = box.pointee.append(name.utf8Start, name.utf8CodeUnitCount) &- s.pointee.head.byteStart
    let value =
        s.pointee.head.present.contains(.authority) ? s.pointee.head.authority : s.pointee.head.host
    box.pointee.fields[s.pointee.head.fieldStart] = Field(
        nameOffset: UInt32(truncatingIfNeeded: offset), nameCount: 4, valueOffset: value.offset,
        valueCount: value.count, id: .host)
}

/// Crumbs that did not stand side by side become one field, in the place of the first (RFC 9113 §8.2.3).
@inline(never)
private func joinCookies(_ s: SessionPointer) {
    let box = inbox(s)
    let start = s.pointee.head.byteStart
    let first = s.pointee.head.fieldStart
    var total = 0
    for index in first..<box.pointee.fieldCount where box.pointee.fields[index].id == .cookie {
        total &+= Int(box.pointee.fields[index].valueCount) &+ 2
    }
    if box.pointee.byteCapacity &- box.pointee.byteCount < total { box.pointee.growBytes(total) }
    let joined = box.pointee.byteCount &- start
    var kept = -1
    var write = first
    for index in first..<box.pointee.fieldCount {
        let field = box.pointee.fields[index]
        if field.id == .cookie {
            if kept >= 0 {
                box.pointee.append(byte: UInt8(ascii: ";"))
                box.pointee.append(byte: UInt8(ascii: " "))
            }
            let from = box.pointee.bytes + start + Int(field.valueOffset)
            _ = box.pointee.append(from, Int(field.valueCount))
            if kept >= 0 { continue }
            kept = write
        }
        box.pointee.fields[write] = field
        write &+= 1
    }
    box.pointee.fields[kept].valueOffset = UInt32(truncatingIfNeeded: joined)
    box.pointee.fields[kept].valueCount = UInt32(
        truncatingIfNeeded: box.pointee.byteCount &- start &- joined)
    box.pointee.fieldCount = write
}

// MARK: - Responses

private func finishResponse(_ s: SessionPointer, _ record: StreamPointer, _ endsStream: Bool) {
    if s.pointee.head.tooLarge { return refuse(s, record, 502, .none) }
    guard s.pointee.head.present.contains(.status) else { return malformed(s, record, .statusMissing) }
    let status = s.pointee.head.status
    var head = ResponseHead()
    head.status = status
    head.version = .http2
    head.hasDate = s.pointee.head.hasDate
    if status == 101 { return malformed(s, record, .switchingProtocols) }
    if status < 200 {
        if endsStream { return malformed(s, record, .interimEndsStream) }
        record.pointee.interimResponses &+= 1
        if Int(record.pointee.interimResponses) > HTTP2Configuration.interimResponsesMax {
            return malformed(s, record, .interimFlood)
        }
    } else {
        record.pointee.flags.insert(.headDone)
    }
    let found = setFraming(s, record, &head, endsStream)
    if found != .none { return malformed(s, record, found) }
    var event = headEvent(s, .head, record)
    head.fieldCount = event.fieldCount
    head.byteCount = UInt32(truncatingIfNeeded: event.count)
    event.response = head
    event.endsStream = endsStream
    enqueue(s, event)
}

/// Where the body ends, by status and method first (RFC 9110 §6.4.1), then by what the head says.
private func setFraming(
    _ s: SessionPointer, _ record: StreamPointer, _ head: inout ResponseHead, _ endsStream: Bool
) -> HTTP2Violation {
    let status = head.status
    let method = record.pointee.method
    let hasLength = s.pointee.head.hasLength
    head.hasContentLength = hasLength
    head.contentLength = hasLength ? s.pointee.head.length : 0
    let isTunnel = method == .connect && status >= 200 && status < 300
    if status < 200 || status == 204 || isTunnel {
        // Length fields mean nothing here and go no further.
        head.framing = .none
        if hasLength {
            let box = inbox(s)
            for index in s.pointee.head.fieldStart..<box.pointee.fieldCount
            where box.pointee.fields[index].id == .contentLength {
                box.pointee.fields[index].isHopByHop = true
            }
            head.hasContentLength = false
            head.contentLength = 0
        }
        if status == 204 { record.pointee.flags.insert(.hasNoBody) }
    } else if method == .head || status == 304 {
        head.framing = .none
        record.pointee.flags.insert(.hasNoBody)
    } else if hasLength {
        if endsStream, s.pointee.head.length > 0 { return .contentLengthMismatch }
        head.framing = .length
        record.pointee.flags.insert(.hasLength)
        record.pointee.length = s.pointee.head.length
    } else if endsStream {
        // The end is known: an HTTP/1.1 client is told a length instead of being sent an empty chunk.
        head.framing = .length
        head.hasContentLength = true
        appendEmptyLength(s)
    } else {
        head.framing = .chunked
    }
    return .none
}

private func appendEmptyLength(_ s: SessionPointer) {
    let box = inbox(s)
    let text: StaticString = "content-length0"
    let offset = box.pointee.append(text.utf8Start, text.utf8CodeUnitCount) &- s.pointee.head.byteStart
    box.pointee.append(
        Field(
            nameOffset: UInt32(truncatingIfNeeded: offset), nameCount: 14,
            valueOffset: UInt32(truncatingIfNeeded: offset &+ 14), valueCount: 1, id: .contentLength))
}

// MARK: - Ends

private func finishTrailers(_ s: SessionPointer, _ record: StreamPointer, _ endsStream: Bool) {
    if !endsStream { return malformed(s, record, .trailersWithoutEnd) }
    if s.pointee.head.tooLarge { return malformed(s, record, .trailersTooLarge) }
    if !lengthAgrees(record) { return malformed(s, record, .contentLengthMismatch) }
    var event = headEvent(s, .trailers, record)
    event.endsStream = true
    enqueue(s, event)
}

/// Whether as many body bytes came as were announced.
@inline(__always)
func lengthAgrees(_ record: StreamPointer) -> Bool {
    !record.pointee.flags.contains(.hasLength) || record.pointee.received == record.pointee.length
}

func setPriority(_ s: SessionPointer, _ record: StreamPointer, _ priority: StreamPriority) {
    record.pointee.urgency = priority.urgency
    record.pointee.isIncremental = priority.isIncremental
    guard s.pointee.role == .server else { return }
    var wanted = nghttp2_extpri(urgency: UInt32(priority.urgency), inc: priority.isIncremental ? 1 : 0)
    nghttp2_session_change_extpri_stream_priority(s.pointee.library, record.pointee.id, &wanted, 0)
}
