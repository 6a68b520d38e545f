// How a response is put for the client's version of HTTP.
//
// The phases write a head's fields as lines; where it begins, how it ends, how the body is framed and
// what is said about the connection depends on the version, and is decided here.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import TLS
import Telemetry

extension Worker {
    /// Whether these first bytes of a connection are those of a version that carries streams.
    func opensCarrier(
        _ client: ClientPointer, _ plan: ListenerPlan, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Bool {
        client.pointee.requests == 0 && !client.pointee.transport.isStream
            // With TLS it is ALPN that says so (RFC 9113 §3.3).
            && client.pointee.transport.tls == nil && plan.streams.opens(bytes, count)
    }

    /// Whether what a handshake agreed on is carried in streams.
    func carries(_ version: NegotiatedProtocol, _ plan: ListenerPlan) -> Bool { version == plan.streams.alpn }

    /// Begins the body of a request. On a stream its length is checked by the session, and its end is the stream's.
    func beginBody(_ exchange: ExchangePointer, _ head: RequestHead, _ client: ClientPointer) {
        guard let stream = client.pointee.transport.stream else {
            exchange.pointee.requestBody.begin(head.framing, length: head.contentLength)
            return
        }
        exchange.pointee.requestBody.begin(
            head.framing == .chunked ? .untilClose : head.framing, length: head.contentLength,
            endsWithStream: !stream.pointee.ended)
    }

    /// What decides which steps of policies concern a request, once its body has begun.
    @inline(__always)
    func traits(_ exchange: ExchangePointer) -> Traits {
        var traits: Traits = []
        if !exchange.pointee.requestBody.isDone { traits.insert(.body) }
        if exchange.pointee.request.wantsUpgrade { traits.insert(.upgrade) }
        // Without trailers there is no gRPC.
        if exchange.pointee.request.version.hasStreams, exchange.pointee.request.acceptsTrailers {
            traits.insert(.call)
        }
        return traits
    }

    /// Bytes of its body to be received at a time. The last byte of a stream's body waits for the stream's end, so that
    /// what turns out to be longer than it said was complete for nobody (RFC 9113 §8.1.1).
    @inline(__always)
    func bodyBytesWanted(_ exchange: ExchangePointer, _ client: ClientPointer) -> Int {
        guard exchange.pointee.requestBody.framing == .length else { return Self.inputBytes }
        var wanted = exchange.pointee.requestBody.remaining
        if exchange.pointee.requestBody.endsWithStream, wanted > 0,
            client.pointee.transport.stream.map({ !$0.pointee.ended }) ?? false
        {
            wanted &-= 1
        }
        return Int(min(UInt64(Self.inputBytes), wanted))
    }

    /// Whether other exchanges of this client are under way on the same connection.
    func sharesConnection(_ client: ClientPointer) -> Bool { client.pointee.transport.isStream }

    /// Whether this client would take the status of an ordinary response for the opening of the tunnel it
    /// asked for: the success of an extended CONNECT says just that (RFC 8441 §5).
    func readsAsAgreement(_ status: UInt16, _ client: ClientPointer) -> Bool {
        client.pointee.transport.isStream && (200..<300).contains(status)
    }

    /// Begins a response head.
    func beginResponseHead(
        _ exchange: ExchangePointer, _ status: UInt16, reason: StaticString, _ writer: inout ByteWriter
    ) {
        beginResponseHead(
            exchange, status,
            reason: UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount), &writer)
    }

    func beginResponseHead(
        _ exchange: ExchangePointer, _ status: UInt16, reason: UnsafeBufferPointer<UInt8>,
        _ writer: inout ByteWriter
    ) {
        if exchange.pointee.client.pointee.transport.isStream { return }
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(status))
        writer.append(0x20)
        writer.append(reason)
        writer.append("\r\n")
    }

    /// Writes what stands last in a response head: the body's framing, and what happens to the connection where
    /// the version's default is the other thing.
    @inline(__always)
    func writeFraming(_ exchange: ExchangePointer, _ writer: inout ByteWriter) {
        if exchange.pointee.client.pointee.transport.isStream { return }
        if exchange.pointee.clientChunked { writer.append("transfer-encoding: chunked\r\n") }
        if exchange.pointee.upgrade == .open {
            if exchange.pointee.status == 101, let token = view(exchange)?.field(named: "upgrade") {
                writer.append("connection: upgrade\r\nupgrade: ")
                writer.append(token)
                writer.append("\r\n")
            }
        } else if exchange.pointee.client.pointee.closeAfterResponse {
            writer.append("connection: close\r\n")
        } else if exchange.pointee.request.version == .http10 {
            writer.append("connection: keep-alive\r\n")
        }
        writer.append("\r\n")
    }

    /// How a body of unknown length will reach this client.
    func frameResponse(_ exchange: ExchangePointer) {
        if exchange.pointee.client.pointee.transport.isStream { return }
        switch exchange.pointee.request.version {
        case .http10:
            // It knows the end only by our closing.
            exchange.pointee.client.pointee.closeAfterResponse = true
        case .http11:
            exchange.pointee.clientChunked = true
        case .http2, .http3:
            break
        }
    }

    /// Ends and sends an interim head. False: the client is gone.
    func sendInterim(_ exchange: ExchangePointer, _ status: UInt16, _ writer: inout ByteWriter) -> Bool {
        let client = exchange.pointee.client
        if let stream = client.pointee.transport.stream {
            exchange.pointee.bytesOut += UInt64(writer.count)
            if stream.sendHead(status: status, lines: output, writer.count, ends: false) { return true }
            broke(client, errno: ECONNRESET)
            return false
        }
        writer.append("\r\n")
        exchange.pointee.bytesOut += UInt64(writer.count)
        return sendToClient(client, output, writer.count)
    }

    /// Sends a response of our own: the head in `output`, and its body, in one go if there is room for both.
    /// False: the client is gone.
    func sendWhole(
        _ exchange: ExchangePointer, _ writer: inout ByteWriter, body: UnsafeBufferPointer<UInt8>?
    ) -> Bool {
        let headBytes = writer.count
        guard !writer.overflowed else {
            exchange.end(.limit(.head, phase: exchange.pointee.phase))
            return false
        }
        if let body, body.count > outputBytes - headBytes, let start = body.baseAddress {
            guard sendBeginning(exchange, headBytes: headBytes, headBytes, isWhole: false) else {
                return false
            }
            exchange.pointee.bytesOut += UInt64(body.count)
            // Sending only reads.
            let bytes = UnsafeMutablePointer(mutating: start)
            guard sendToClient(exchange.pointee.client, bytes, body.count) else { return false }
            endBody(exchange)
            return true
        }
        if let body { writer.append(body) }
        return sendBeginning(exchange, headBytes: headBytes, writer.count, isWhole: true)
    }

    /// Sends the head that stands in `output`, and what stands behind it of the body: all of it, or the
    /// rest follows by `sendToClient` and `endBody`. False: the client is gone.
    func sendBeginning(_ exchange: ExchangePointer, headBytes: Int, _ count: Int, isWhole: Bool) -> Bool {
        let client = exchange.pointee.client
        exchange.pointee.bytesOut += UInt64(count)
        guard let stream = client.pointee.transport.stream else { return sendToClient(client, output, count) }
        let bodyBytes = count - headBytes
        guard
            stream.sendHead(
                status: exchange.pointee.status, lines: output, headBytes, ends: isWhole && bodyBytes == 0)
        else {
            broke(client, errno: ECONNRESET)
            return false
        }
        if bodyBytes == 0 { return true }
        guard sendToClient(client, output + headBytes, bodyBytes) else { return false }
        if isWhole { endBody(exchange) }
        return true
    }

    /// A body of our own of known length has been sent.
    func endBody(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        guard let stream = client.pointee.transport.stream else { return }
        stream.end(trailers: nil, 0, isBlocked: client.pointee.transport.isBlocked, pool: &buffers)
    }
}
