// How a request is put for the version of HTTP its endpoint speaks.
//
// `writeRequestHead` writes target, host and fields; how the head ends and the body is framed, and in
// which form both leave, is decided here.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import TLS
import WeirWebSocket

/// Where the parts of a request head stand in `output`.
struct WrittenRequest {
    /// First byte of the head.
    let start: Int
    let methodCount: Int
    let targetStart: Int
    private(set) var targetCount = 0
    /// Whether there is one.
    var target = UpstreamTarget.Outcome.written
    private(set) var hostStart = 0
    private(set) var hostCount = 0
    /// First byte of the fields behind `host`.
    private(set) var fieldsStart = 0

    /// Begins a head. The target is written next, then what Host says, the first field there is (RFC 9110 §7.2).
    @inline(__always)
    init(method: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) {
        start = writer.count
        methodCount = method.count
        writer.append(method)
        writer.append(0x20)
        targetStart = writer.count
    }

    @inline(__always)
    mutating func endTarget(_ writer: inout ByteWriter) {
        targetCount = writer.count - targetStart
        writer.append(" HTTP/1.1\r\nhost: ")
        hostStart = writer.count
    }

    @inline(__always)
    mutating func endHost(_ writer: inout ByteWriter) {
        hostCount = writer.count - hostStart
        writer.append("\r\n")
        fieldsStart = writer.count
    }
}

extension Worker {
    /// How the end of a response's body will be known. Only the end of a stream says that all of it came:
    /// its length has been checked by then.
    func bodyFraming(of head: ResponseHead, _ upstream: UpstreamPointer) -> BodyFraming {
        guard let stream = upstream.pointee.transport.stream, head.framing != .none else {
            return head.framing
        }
        return stream.pointee.ended && stream.pointee.trailers == nil ? .none : .untilClose
    }

    /// Bytes of its body to be received at a time. Of a length the last byte waits for the stream's end, so that no client
    /// of HTTP/1.1 takes for complete what turns out to be longer (RFC 9113 §8.1.1).
    @inline(__always)
    func bodyBytesWanted(_ exchange: ExchangePointer, from upstream: UpstreamPointer) -> Int {
        guard let stream = upstream.pointee.transport.stream, !stream.pointee.ended,
            exchange.pointee.response.framing == .length
        else { return Self.inputBytes }
        let left = exchange.pointee.response.contentLength &- exchange.pointee.responseBody.count
        return left == 0 ? Self.inputBytes : Int(min(UInt64(Self.inputBytes), left &- 1))
    }

    /// Ends a request head with the framing of its body.
    func endRequestHead(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ view: RequestView,
        _ writer: inout ByteWriter
    ) {
        let exchange = attempt.exchange
        let request = view.head.pointee
        let isStream = upstream.pointee.transport.isStream
        attempt.pointee.upstreamChunked = false
        // What is decoded has another length than it came with.
        let framing = exchange.pointee.isDecoded ? .chunked : request.framing
        switch framing {
        case .none, .untilClose:
            break
        case _ where exchange.pointee.web != nil:
            // Another length in another form: the stream's end tells.
            break
        case .length:
            writeContentLength(request.contentLength, &writer)
        case .chunked where exchange.requestIsComplete && !exchange.pointee.requestBody.hasTrailers:
            // Held whole, so its length is known now.
            writeContentLength(exchange.requestBytes, &writer)
        case .chunked:
            if !isStream {
                attempt.pointee.upstreamChunked = true
                writer.append("transfer-encoding: chunked\r\n")
            }
        }
        if request.acceptsTrailers || exchange.pointee.web != nil { writer.append("te: trailers\r\n") }
        if request.expectsContinue && !exchange.pointee.requestBody.isDone {
            writer.append("expect: 100-continue\r\n")
        }
        if isStream { return }
        if request.acceptsTrailers { writer.append("connection: te\r\n") }
        if exchange.pointee.upgrade == .asked, let token = view.field(named: "upgrade") {
            writer.append("connection: upgrade\r\nupgrade: ")
            writer.append(token)
            writer.append("\r\n")
            // What HTTP/2 does not need, RFC 6455 §4.1 asks of an HTTP/1.1 client.
            if request.version.hasStreams { writeWebSocketKey(&writer) }
        }
        writer.append("\r\n")
    }

    private func writeContentLength(_ length: UInt64, _ writer: inout ByteWriter) {
        writer.append("content-length: ")
        writer.append(decimal: length)
        writer.append("\r\n")
    }

    private func writeWebSocketKey(_ writer: inout ByteWriter) {
        writer.append("sec-websocket-key: ")
        writer.append(HandshakeKey.text(random.next(), random.next()))
        writer.append("\r\n")
    }

    /// Sends a head that stands in `output`, with what is held of the body. Returns 0 or an errno.
    func sendRequestHead(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ written: WrittenRequest,
        _ writer: inout ByteWriter
    ) -> Int32 {
        let exchange = attempt.exchange
        if let stream = upstream.pointee.transport.stream {
            return submitRequest(exchange, upstream, stream, written, &writer)
        }
        guard let held = heldToSend(exchange) else {
            if attempt.pointee.upstreamChunked && exchange.requestIsComplete {
                writeLastChunk(exchange.pointee.requestBody, &writer)
            }
            return upstream.pointee.transport.send(output, writer.count, pool: &buffers, nowMs: nowMs)
        }
        var partCount = 2
        parts[0] = iovec(iov_base: output, iov_len: writer.count)
        parts[1] = iovec(iov_base: held.readable, iov_len: held.count)
        if attempt.pointee.upstreamChunked {
            writeChunkHeader(held.count, &writer)
            let headBytes = writer.count
            writer.append("\r\n")
            if exchange.pointee.requestBody.isDone { writeLastChunk(exchange.pointee.requestBody, &writer) }
            parts[0].iov_len = headBytes
            parts[2] = iovec(iov_base: output + headBytes, iov_len: writer.count - headBytes)
            partCount = 3
        }
        return upstream.pointee.transport.send(
            parts, partCount, total: writer.count + held.count, pool: &buffers, nowMs: nowMs)
    }

    /// What goes with the head: the held part of the body, unless it has to be decoded first.
    private func heldToSend(_ exchange: ExchangePointer) -> BufferPointer? {
        guard let held = exchange.pointee.held, held.count > 0, !exchange.sendsStaged else {
            return nil
        }
        return held
    }

    private func submitRequest(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ stream: StreamPointer,
        _ written: WrittenRequest, _ writer: inout ByteWriter
    ) -> Int32 {
        guard let service = exchange.service else { return EPIPE }
        let held = heldToSend(exchange)
        let isUpgrade = exchange.pointee.upgrade == .asked
        let isDone = exchange.requestIsComplete && !isUpgrade
        let ends = isDone && held == nil && !exchange.pointee.requestBody.hasTrailers
        let submitted = stream.submitRequest(
            output, written, fieldsEnd: writer.count, scheme: service.tls == nil ? "http" : "https",
            isExtendedConnect: isUpgrade, ends: ends)
        guard submitted else { return EPIPE }
        if let held {
            let error = upstream.pointee.transport.send(
                held.readable, held.count, pool: &buffers, nowMs: nowMs)
            if error != 0 { return error }
        }
        if isDone && !ends {
            endStream(
                stream, exchange.pointee.requestBody, isBlocked: upstream.pointee.transport.isBlocked)
        }
        return 0
    }
}
