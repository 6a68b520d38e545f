// What the library calls while it reads and writes frames.
//
// Each callback finds the session through the pointer it was created with, does the little there is to
// do, and never calls back into reading or writing. Frames were counted, and judged by the state of their
// stream, before they came here (FrameWatch).
//
// The union of all frames is read through its parts, which all begin with the frame header.

import CNGHTTP2
import WeirHTTPModel

@inline(__always)
private func session(_ user: UnsafeMutableRawPointer?) -> SessionPointer? {
    user?.assumingMemoryBound(to: SessionState.self)
}

@inline(__always)
private func part<Part>(_ frame: UnsafePointer<nghttp2_frame>, _: Part.Type) -> UnsafePointer<Part> {
    UnsafeRawPointer(frame).assumingMemoryBound(to: Part.self)
}

func setCallbacks(_ callbacks: OpaquePointer) {
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
        guard let s = session(user), let frame else { return CallbackResult.fatal }
        headersBegin(s, part(frame, nghttp2_headers.self))
        return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
        _, _, name, nameCount, value, valueCount, _, user in
        guard let s = session(user), let name, let value else { return CallbackResult.fatal }
        if !addField(s, name, nameCount, value, valueCount) { return CallbackResult.fatal }
        return pauseIfFull(s)
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
        guard let s = session(user), let frame else { return CallbackResult.fatal }
        frameReceived(s, frame)
        return s.pointee.isDeaf ? CallbackResult.fatal : 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
        _, _, id, bytes, count, user in
        guard let s = session(user), let bytes else { return CallbackResult.fatal }
        dataReceived(s, id, bytes, count)
        return pauseIfFull(s)
    }
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, _, error, user in
        guard let s = session(user) else { return CallbackResult.fatal }
        s.pointee.invalid = HTTP2Violation(libraryError: Int(error))
        return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, user in
        guard let s = session(user) else { return CallbackResult.fatal }
        if let record = s.pointee.streams.find(id) {
            closeRecord(s, record, HTTP2ErrorCode(rawValue: code))
        }
        return 0
    }
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
        guard let s = session(user), let frame else { return CallbackResult.fatal }
        frameSent(s, frame)
        return 0
    }
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, error, user in
        guard let s = session(user), let frame else { return CallbackResult.fatal }
        frameNotSent(s, part(frame, nghttp2_headers.self), Int(error))
        return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) {
        _, _, header, count, source, user in
        guard let s = session(user), let header, let source,
            let record = source.pointee.ptr?.assumingMemoryBound(to: StreamRecord.self)
        else { return CallbackResult.fatal }
        return packData(s, record, header, count)
    }
}

/// Stops decoding until the owner has taken what there is.
@inline(__always)
private func pauseIfFull(_ s: SessionPointer) -> CInt {
    guard let box = s.pointee.inbox, box.pointee.isFull else { return 0 }
    // A head that fills the inbox alone would never end.
    if s.pointee.head.kind != .none, box.pointee.eventCount == 0 { return 0 }
    s.pointee.isPaused = true
    return CallbackResult.pause
}

// MARK: - Receiving

private func headersBegin(_ s: SessionPointer, _ headers: UnsafePointer<nghttp2_headers>) {
    let id = headers.pointee.hd.stream_id
    if let record = s.pointee.streams.find(id) {
        let flags = record.pointee.flags
        if flags.contains(.discards) || flags.contains(.isClosed) || flags.contains(.wasReset) {
            beginHead(s, .ignored, record)
        } else {
            beginHead(s, flags.contains(.headDone) ? .trailers : .response, record)
        }
        return
    }
    guard s.pointee.role == .server, headers.pointee.cat == NGHTTP2_HCAT_REQUEST else {
        beginHead(s, .ignored, nil)
        return
    }
    let record = s.pointee.context.pointee.takeStream()
    record.pointee.id = id
    record.pointee.openedMs = s.pointee.nowMs
    s.pointee.streams.insert(record)
    if s.pointee.peerStreams >= Int(s.pointee.configuration.streamsMax) {
        refuseStream(s, record)
        return
    }
    record.pointee.flags.insert(.counts)
    s.pointee.peerStreams &+= 1
    beginHead(s, .request, record)
}

/// One stream too many (RFC 9113 §5.1.2): the peer may try it again, but not for ever.
private func refuseStream(_ s: SessionPointer, _ record: StreamPointer) {
    record.pointee.flags.formUnion([.discards, .resetIsOurs])
    beginHead(s, .ignored, record)
    if charge(s, .provokedResetFlood) { resetStream(s, record, .refusedStream) }
}

private func frameReceived(_ s: SessionPointer, _ frame: UnsafePointer<nghttp2_frame>) {
    let header = part(frame, nghttp2_frame_hd.self)
    switch header.pointee.type {
    case FrameType.data:
        guard header.pointee.flags & FrameFlag.endStream != 0,
            let record = s.pointee.streams.find(header.pointee.stream_id)
        else { return }
        dataEnded(s, record)
    case FrameType.headers:
        finishHead(s, endsStream: header.pointee.flags & FrameFlag.endStream != 0)
    case FrameType.resetStream:
        resetReceived(s, part(frame, nghttp2_rst_stream.self).pointee)
    case FrameType.windowUpdate:
        let increment = part(frame, nghttp2_window_update.self).pointee.window_size_increment
        if increment < Int32(FloodBudget.tinyIncrementBytes) { _ = charge(s, .windowUpdateFlood) }
    case FrameType.settings:
        guard header.pointee.flags & FrameFlag.acknowledgement == 0 else {
            s.pointee.settingsAcknowledged = true
            return
        }
        s.pointee.settingsReceived = true
        enqueue(s, HTTP2Event(.settings))
    case FrameType.ping:
        guard header.pointee.flags & FrameFlag.acknowledgement != 0 else { return }
        enqueue(s, HTTP2Event(.pingAck))
    case FrameType.goaway:
        let goaway = part(frame, nghttp2_goaway.self)
        s.pointee.goawayReceived = true
        var event = HTTP2Event(.goaway)
        event.stream = goaway.pointee.last_stream_id
        event.code = HTTP2ErrorCode(rawValue: goaway.pointee.error_code)
        enqueue(s, event)
    case FrameType.priorityUpdate:
        priorityUpdated(s, part(frame, nghttp2_extension.self))
    default:
        break
    }
}

/// One stream less of the peer's, or of ours. What it costs a client, `FloodBudget.resetCost` says; an endpoint may
/// reset what we opened.
private func resetReceived(_ s: SessionPointer, _ frame: nghttp2_rst_stream) {
    // One that is closed stays until its last event is taken, and says nothing more.
    guard let record = s.pointee.streams.find(frame.hd.stream_id), !record.pointee.flags.contains(.isClosed)
    else {
        _ = charge(s, .resetFlood)
        return
    }
    let flags = record.pointee.flags
    record.pointee.flags.insert(.peerReset)
    if s.pointee.role == .server, !flags.contains(.endSent) {
        let age = flags.contains(.isSeen) ? s.pointee.nowMs &- record.pointee.openedMs : nil
        let cost = FloodBudget.resetCost(ageMs: age)
        if cost > 0, !charge(s, .resetFlood, cost) { return }
    }
    var event = HTTP2Event(.reset)
    event.stream = record.pointee.id
    event.record = record
    event.code = HTTP2ErrorCode(rawValue: frame.error_code)
    enqueue(s, event)
}

/// The library has changed its own order already (RFC 9218 §7.1).
private func priorityUpdated(_ s: SessionPointer, _ frame: UnsafePointer<nghttp2_extension>) {
    guard let payload = frame.pointee.payload?.assumingMemoryBound(to: nghttp2_ext_priority_update.self),
        let record = s.pointee.streams.find(payload.pointee.stream_id),
        !record.pointee.flags.contains(.isClosed)
    else { return }
    var priority = StreamPriority()
    if let text = payload.pointee.field_value {
        priority = StreamPriority(text, count: payload.pointee.field_value_len)
    }
    record.pointee.urgency = priority.urgency
    record.pointee.isIncremental = priority.isIncremental
    var event = HTTP2Event(.priority)
    event.stream = record.pointee.id
    event.record = record
    event.urgency = priority.urgency
    event.isIncremental = priority.isIncremental
    enqueue(s, event)
}

private func dataReceived(
    _ s: SessionPointer, _ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int
) {
    guard let record = s.pointee.streams.find(id), !record.pointee.flags.contains(.discards),
        !record.pointee.flags.contains(.isClosed)
    else {
        nghttp2_session_consume(s.pointee.library, id, count)
        return
    }
    record.pointee.received &+= UInt64(count)
    let flags = record.pointee.flags
    var violation = HTTP2Violation.none
    if !flags.contains(.headDone) {
        violation = .dataBeforeHead
    } else if flags.contains(.hasNoBody) {
        violation = .bodyNotAllowed
    } else if flags.contains(.hasLength), record.pointee.received > record.pointee.length {
        violation = .contentLengthMismatch
    }
    if violation != .none {
        nghttp2_session_consume(s.pointee.library, id, count)
        malformed(s, record, violation)
        return
    }
    record.pointee.unconsumed &+= count
    var event = HTTP2Event(.data)
    event.stream = id
    event.record = record
    event.bytes = bytes
    event.count = count
    enqueue(s, event)
}

private func dataEnded(_ s: SessionPointer, _ record: StreamPointer) {
    record.pointee.flags.insert(.remoteEnded)
    if record.pointee.flags.contains(.discards) { return }
    if !record.pointee.flags.contains(.headDone) { return malformed(s, record, .dataBeforeHead) }
    if !lengthAgrees(record) { return malformed(s, record, .contentLengthMismatch) }
    let box = inbox(s)
    let last = box.pointee.eventCount &- 1
    if last >= box.pointee.eventNext, box.pointee.events[last].kind == .data,
        box.pointee.events[last].record == record
    {
        box.pointee.events[last].endsStream = true
        return
    }
    var event = HTTP2Event(.end)
    event.stream = record.pointee.id
    event.record = record
    event.endsStream = true
    enqueue(s, event)
}

// MARK: - Sending

private func frameSent(_ s: SessionPointer, _ frame: UnsafePointer<nghttp2_frame>) {
    let header = part(frame, nghttp2_frame_hd.self)
    switch header.pointee.type {
    case FrameType.data, FrameType.headers:
        if header.pointee.type == FrameType.data { s.pointee.budget.dataSent(bytes: header.pointee.length) }
        guard header.pointee.flags & FrameFlag.endStream != 0,
            let record = s.pointee.streams.find(header.pointee.stream_id)
        else { return }
        record.pointee.flags.insert(.endSent)
        record.pointee.progressMs = s.pointee.nowMs
    case FrameType.resetStream:
        let code = part(frame, nghttp2_rst_stream.self).pointee.error_code
        if let record = s.pointee.streams.find(header.pointee.stream_id),
            record.pointee.flags.contains(.resetIsOurs)
        {
            return
        }
        if code != HTTP2ErrorCode.noError.rawValue { _ = charge(s, .provokedResetFlood) }
    case FrameType.ping:
        if header.pointee.flags & FrameFlag.acknowledgement == 0 { s.pointee.pingsUnanswered &+= 1 }
    case FrameType.goaway:
        let goaway = part(frame, nghttp2_goaway.self).pointee
        let code = goaway.error_code
        s.pointee.goawayLastSent = goaway.last_stream_id
        if code == HTTP2ErrorCode.noError.rawValue, goaway.last_stream_id == Int32.max {
            // Only now: submitted together with the notice, it would overtake it.
            nghttp2_submit_ping(s.pointee.library, 0, nil)
        }
        if code != HTTP2ErrorCode.noError.rawValue, !s.pointee.isTerminated {
            // The library has ended the connection; this is where it shows.
            s.pointee.isTerminated = true
            s.pointee.isDeaf = true
            var event = HTTP2Event(.violation)
            event.violation = HTTP2Violation(code: code, lastInvalid: s.pointee.invalid)
            event.code = HTTP2ErrorCode(rawValue: code)
            s.pointee.violation = event.violation
            enqueue(s, event)
        }
    default:
        break
    }
}

private func frameNotSent(
    _ s: SessionPointer, _ headers: UnsafePointer<nghttp2_headers>, _ error: Int
) {
    guard headers.pointee.hd.type == FrameType.headers,
        let record = s.pointee.streams.find(headers.pointee.hd.stream_id)
    else { return }
    if headers.pointee.cat == NGHTTP2_HCAT_REQUEST {
        record.pointee.flags.insert(.neverSent)
        closeRecord(s, record, .refusedStream)
    } else {
        record.pointee.flags.insert(.resetIsOurs)
        resetStream(s, record, .internalError)
    }
}

// MARK: - Reasons

extension HTTP2Violation {
    /// What an error of the library (`nghttp2_error`) says about the peer.
    init(libraryError: Int) {
        switch libraryError {
        case Int(NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue), Int(NGHTTP2_ERR_SETTINGS_EXPECTED.rawValue):
            self = .prefaceInvalid
        case Int(NGHTTP2_ERR_FLOODED.rawValue): self = .acknowledgementFlood
        case Int(NGHTTP2_ERR_TOO_MANY_CONTINUATIONS.rawValue): self = .continuationFlood
        case Int(NGHTTP2_ERR_FRAME_SIZE_ERROR.rawValue): self = .frameSize
        case Int(NGHTTP2_ERR_FLOW_CONTROL.rawValue): self = .flowControl
        case Int(NGHTTP2_ERR_HEADER_COMP.rawValue): self = .compression
        case Int(NGHTTP2_ERR_STREAM_CLOSED.rawValue), Int(NGHTTP2_ERR_STREAM_CLOSING.rawValue):
            self = .streamState
        case Int(NGHTTP2_ERR_TOO_MANY_SETTINGS.rawValue): self = .settingsFlood
        case Int(NGHTTP2_ERR_PROTO.rawValue): self = .frameInvalid
        default: self = .libraryFailure
        }
    }

    /// The reason of a GOAWAY that the library sends by itself.
    fileprivate init(code: UInt32, lastInvalid: HTTP2Violation) {
        switch HTTP2ErrorCode(rawValue: code) {
        case .frameSizeError: self = .frameSize
        case .flowControlError: self = .flowControl
        case .compressionError: self = .compression
        case .streamClosed: self = .streamState
        case .internalError: self = .libraryFailure
        case .enhanceYourCalm: self = lastInvalid.endsConnection ? lastInvalid : .emptyFrameFlood
        default: self = lastInvalid.endsConnection ? lastInvalid : .frameInvalid
        }
    }
}
