// What the owner sends: heads, bodies, ends, resets.
//
// Fields are copied by the library when they are submitted; body bytes into the stream's queue. A call
// for a stream that has gone answers false or 0 and does nothing: between two events the peer may have
// ended any stream.

import CNGHTTP2
import WeirHTTP1
import WeirHTTPModel

extension HTTP2Session {
    // MARK: Heads

    /// Server: the final response head.
    ///
    /// - Parameters:
    ///   - status: 200…999.
    ///   - fields: without connection-specific ones; valid during the call.
    ///   - endStream: there is no body. Otherwise `submitData` and `submitEnd` follow.
    /// - Returns: false when the stream is gone or has its response.
    @discardableResult
    public func submitResponseHead(
        _ stream: Int32, status: UInt16, fields: UnsafePointer<HTTP2Field>, count: Int, endStream: Bool
    ) -> Bool {
        guard let record = sendable(stream), !record.pointee.flags.contains(.headSubmitted) else {
            return false
        }
        record.pointee.flags.insert(.headSubmitted)
        if endStream { record.pointee.flags.insert(.localEnded) }
        var provider = bodyProvider(record)
        let result = withStatus(status, fields, count) { vectors, vectorCount in
            withUnsafePointer(to: &provider) {
                nghttp2_submit_response(
                    s.pointee.library, stream, vectors, vectorCount, endStream ? nil : $0)
            }
        }
        return result == 0
    }

    /// Server: an interim response (100, 103).
    @discardableResult
    public func submitInterim(
        _ stream: Int32, status: UInt16, fields: UnsafePointer<HTTP2Field>, count: Int
    ) -> Bool {
        guard let record = sendable(stream), !record.pointee.flags.contains(.headSubmitted) else {
            return false
        }
        return withStatus(status, fields, count) { vectors, vectorCount in
            nghttp2_submit_headers(s.pointee.library, 0, stream, nil, vectors, vectorCount, nil)
        } == 0
    }

    /// Client: opens a stream with a request. `streamsFree` says whether it leaves at once.
    ///
    /// - Parameters:
    ///   - path: empty for CONNECT without `protocolName`, which then has no scheme either.
    ///   - protocolName: makes it an extended CONNECT (RFC 8441).
    ///   - userData: what the stream's events carry.
    /// - Returns: the stream's number, or nil when none can be opened on this connection.
    public func submitRequest(
        method: UnsafeBufferPointer<UInt8>, scheme: StaticString, authority: UnsafeBufferPointer<UInt8>,
        path: UnsafeBufferPointer<UInt8>, protocolName: UnsafeBufferPointer<UInt8>? = nil,
        fields: UnsafePointer<HTTP2Field>, count: Int, endStream: Bool, userData: UInt
    ) -> Int32? {
        guard s.pointee.role == .client, !acceptsNoStreams, let methodStart = method.baseAddress else {
            return nil
        }
        let record = s.pointee.context.pointee.takeStream()
        record.pointee.method = HeadParts.method(methodStart, count: method.count)
        record.pointee.userData = userData
        record.pointee.flags = [.headSubmitted, .isKnown]
        if endStream { record.pointee.flags.insert(.localEnded) }

        s.pointee.context.pointee.reserveVectors(count &+ 5)
        let vectors = s.pointee.context.pointee.vectors
        var used = 0
        func add(_ name: StaticString, _ value: UnsafeBufferPointer<UInt8>) {
            guard let start = value.baseAddress else { return }
            vectors[used] = nghttp2_nv(HTTP2Field(name, value: start, valueCount: value.count))
            used &+= 1
        }
        add(":method", method)
        if !path.isEmpty {
            add(":scheme", UnsafeBufferPointer(start: scheme.utf8Start, count: scheme.utf8CodeUnitCount))
        }
        if !authority.isEmpty { add(":authority", authority) }
        if !path.isEmpty { add(":path", path) }
        if let protocolName { add(":protocol", protocolName) }
        for index in 0..<count { vectors[used &+ index] = nghttp2_nv(fields[index]) }
        var provider = bodyProvider(record)
        let stream = withUnsafePointer(to: &provider) {
            nghttp2_submit_request(
                s.pointee.library, nil, vectors, used &+ count, endStream ? nil : $0, nil)
        }
        if stream <= 0 {
            s.pointee.context.pointee.give(record)
            return nil
        }
        record.pointee.id = stream
        s.pointee.streams.insert(record)
        _ = s.pointee.closed.open(stream)
        return stream
    }

    // MARK: Bodies

    /// Body bytes that the stream takes now. 0: `writable` comes when there is room again, unless the
    /// stream is gone or our half is ended.
    public func room(_ stream: Int32) -> Int {
        guard let record = writableRecord(stream) else { return 0 }
        return room(record)
    }

    private func room(_ record: StreamPointer) -> Int {
        let free = queueBytesMax(s) &- record.pointee.queue.count
        if free > 0 { return free }
        record.pointee.flags.insert(.wantsRoom)
        return 0
    }

    /// Copies body bytes into the stream's queue.
    ///
    /// - Returns: how many it took, up to `room`; when fewer than `count`, `writable` comes later.
    public func submitData(_ stream: Int32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Int {
        guard count > 0, let record = writableRecord(stream) else { return 0 }
        let taken = min(count, room(record))
        if taken < count { record.pointee.flags.insert(.wantsRoom) }
        if taken > 0 {
            enqueueData(s, record, bytes, taken)
            resume(record)
        }
        return taken
    }

    /// Ends our half behind what is queued, with trailers if there are any.
    ///
    /// - Parameter trailers: without pseudo-header fields; valid during the call.
    /// - Returns: false when the stream is gone or our half is ended already.
    @discardableResult
    public func submitEnd(
        _ stream: Int32, trailers: UnsafePointer<HTTP2Field>? = nil, count: Int = 0
    ) -> Bool {
        guard let record = writableRecord(stream) else { return false }
        record.pointee.flags.insert(.localEnded)
        if let trailers, count > 0 { keepTrailers(record, trailers, count) }
        resume(record)
        return true
    }

    /// Body bytes of this stream that wait to be packed into frames.
    public func queuedBytes(_ stream: Int32) -> Int {
        s.pointee.streams.find(stream)?.pointee.queue.count ?? 0
    }

    // MARK: Ends

    /// When END_STREAM was sent on this stream; nil while it was not, or when there is no such stream. A peer
    /// that is told at once not to go on takes that for a failure, so its owner waits a little (`reset`).
    public func endSentMs(_ stream: Int32) -> UInt64? {
        guard let record = s.pointee.streams.find(stream), record.pointee.flags.contains(.endSent) else {
            return nil
        }
        return record.pointee.progressMs
    }

    /// Cuts the stream off; what is queued is dropped. `closed` follows when it has been sent.
    public func reset(_ stream: Int32, _ code: HTTP2ErrorCode) {
        guard let record = s.pointee.streams.find(stream) else { return }
        record.pointee.flags.formUnion([.resetIsOurs, .discards])
        resetStream(s, record, code)
    }

    /// Asks for a sign of life: `pingAck`.
    public func ping() {
        nghttp2_submit_ping(s.pointee.library, 0, nil)
    }

    /// First step of an orderly end (RFC 9113 §6.8): asks the peer to open no further streams, while
    /// those under way to us are still served. A PING goes out right behind it: with `pingAck` the peer has
    /// read both, and it is time for `shutdown`.
    public func announceShutdown() {
        nghttp2_submit_shutdown_notice(s.pointee.library)
    }

    /// Last step: streams the peer opens from now on are not served; when those open are done,
    /// `isFinished`.
    public func shutdown(_ code: HTTP2ErrorCode = .noError) {
        nghttp2_submit_goaway(
            s.pointee.library, 0, nghttp2_session_get_last_proc_stream_id(s.pointee.library),
            code.rawValue, nil, 0)
    }

    /// Ends the connection now: GOAWAY with this code, then nothing; nothing more is read.
    public func terminate(_ code: HTTP2ErrorCode) {
        WeirHTTP2.terminate(s, code)
    }

    /// The peer left our settings unacknowledged for too long: ends the connection, as any violation does.
    public func settingsTimedOut() {
        violate(s, .settingsTimeout)
    }

    // MARK: - Inner

    /// The record of a stream on which something can still be sent.
    private func sendable(_ stream: Int32) -> StreamPointer? {
        guard let record = s.pointee.streams.find(stream),
            record.pointee.flags.isDisjoint(with: [.isClosed, .wasReset])
        else { return nil }
        return record
    }

    private func writableRecord(_ stream: Int32) -> StreamPointer? {
        guard let record = sendable(stream), record.pointee.flags.contains(.headSubmitted),
            !record.pointee.flags.contains(.localEnded)
        else { return nil }
        return record
    }

    private func resume(_ record: StreamPointer) {
        guard record.pointee.flags.contains(.isDeferred) else { return }
        record.pointee.flags.remove(.isDeferred)
        nghttp2_session_resume_data(s.pointee.library, record.pointee.id)
    }

    private func bodyProvider(_ record: StreamPointer) -> nghttp2_data_provider {
        nghttp2_data_provider(source: nghttp2_data_source(ptr: record)) {
            _, _, _, wanted, flags, source, user in
            guard let user, let flags, let source,
                let record = source.pointee.ptr?.assumingMemoryBound(to: StreamRecord.self)
            else { return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue) }
            return offerData(user.assumingMemoryBound(to: SessionState.self), record, wanted, flags)
        }
    }

    /// Lists :status and the fields in the context's scratch.
    private func withStatus(
        _ status: UInt16, _ fields: UnsafePointer<HTTP2Field>, _ count: Int,
        _ body: (UnsafePointer<nghttp2_nv>, Int) -> CInt
    ) -> CInt {
        s.pointee.context.pointee.reserveVectors(count &+ 1)
        let vectors = s.pointee.context.pointee.vectors
        for index in 0..<count { vectors[index &+ 1] = nghttp2_nv(fields[index]) }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3) { digits in
            guard let start = digits.baseAddress else { return CInt(NGHTTP2_ERR_NOMEM.rawValue) }
            start[0] = 48 &+ UInt8(truncatingIfNeeded: status / 100 % 10)
            start[1] = 48 &+ UInt8(truncatingIfNeeded: status / 10 % 10)
            start[2] = 48 &+ UInt8(truncatingIfNeeded: status % 10)
            vectors[0] = nghttp2_nv(HTTP2Field(":status", value: start, valueCount: 3))
            return body(vectors, count &+ 1)
        }
    }

    /// Trailers go out behind the queue, so they are copied: first the vectors, then their bytes.
    private func keepTrailers(_ record: StreamPointer, _ fields: UnsafePointer<HTTP2Field>, _ count: Int) {
        var byteCount = count &* MemoryLayout<nghttp2_nv>.stride
        for index in 0..<count { byteCount &+= fields[index].nameCount &+ fields[index].valueCount }
        let block = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 16)
        let vectors = block.bindMemory(to: nghttp2_nv.self, capacity: count)
        var at = (block + count &* MemoryLayout<nghttp2_nv>.stride).assumingMemoryBound(to: UInt8.self)
        for index in 0..<count {
            let field = fields[index]
            at.update(from: field.name, count: field.nameCount)
            (at + field.nameCount).update(from: field.value, count: field.valueCount)
            var copy = field
            copy.name = UnsafePointer(at)
            copy.value = UnsafePointer(at + field.nameCount)
            vectors[index] = nghttp2_nv(copy)
            at += field.nameCount &+ field.valueCount
        }
        record.pointee.trailers = block
        record.pointee.trailerCount = count
    }
}

extension nghttp2_nv {
    /// The library takes mutable pointers and does not write through them.
    @inline(__always)
    fileprivate init(_ field: HTTP2Field) {
        self.init(
            name: UnsafeMutablePointer(mutating: field.name),
            value: UnsafeMutablePointer(mutating: field.value), namelen: field.nameCount,
            valuelen: field.valueCount,
            flags: field.isSensitive ? UInt8(truncatingIfNeeded: NGHTTP2_NV_FLAG_NO_INDEX.rawValue) : 0)
    }
}
