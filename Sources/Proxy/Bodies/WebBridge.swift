// gRPC-Web on the client's side, gRPC on the endpoint's ("gRPC Web", protocol differences).
//
// A browser cannot read trailers, so a gRPC-Web response carries them in a last frame of its body, and the
// whole body in base64 when text was asked for. What the forms look like is said in the GRPC module; here
// bodies pass through it, block by block, in any version of HTTP on the client's side and over streams on
// the endpoint's. A request is held to its framing on the way, so that no endpoint takes half a message
// for a call; a block of a response becomes a third longer at most, so the transport's bound holds.
// What is no answer of a gRPC server goes to the client as it is. CORS is no concern of the bridge.

import WeirGRPC
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience

/// What the bridge keeps of an exchange. Plain data in a pooled buffer.
struct WebBridge {
    /// The request is base64.
    let isText: Bool
    /// The form the client wants its response in.
    let responseKind: GRPCKind
    var request: GRPCWebRequestDecoder
    var response: GRPCWebResponseEncoder
    /// Follows the response's messages: a status of ours can stand between two.
    var frames = FrameScanner()
    /// The response is a gRPC server's.
    var isCall = false
    /// It is, and has a body.
    var isOpen = false
    /// The response's head has a status already.
    var hasStatus = false
}

extension UnsafeMutablePointer where Pointee == Buffer {
    fileprivate var bridge: UnsafeMutablePointer<WebBridge> {
        UnsafeMutableRawPointer(base).assumingMemoryBound(to: WebBridge.self)
    }
}

extension Worker {
    /// A chunk's size and line end, with room to spare.
    private static let chunkHeaderBytesMax = 32

    /// Bridges the exchange when the client speaks gRPC-Web and the endpoints can be spoken to in gRPC.
    func beginBridge(_ exchange: ExchangePointer) {
        let request = exchange.pointee.request
        guard request.method == .post, !request.wantsUpgrade, exchange.service?.streams != nil,
            let view = view(exchange), let kinds = view.grpcKinds, kinds.request != .grpc
        else { return }
        let buffer = buffers.take(MemoryLayout<WebBridge>.stride)
        UnsafeMutableRawPointer(buffer.base).initializeMemory(
            as: WebBridge.self,
            to: WebBridge(
                isText: kinds.request == .webText, responseKind: kinds.response,
                request: GRPCWebRequestDecoder(kinds.request),
                response: GRPCWebResponseEncoder(kinds.response)))
        exchange.pointee.web = buffer
    }

    // MARK: the request

    /// Decodes body bytes into the held buffer, as far as it has room.
    func holdBridged(
        _ exchange: ExchangePointer, _ held: BufferPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, _ holdMax: Int
    ) -> (consumed: Int, error: (Violation, Int)?) {
        guard let bridge = exchange.pointee.web?.bridge else { return (0, nil) }
        var held = held
        let needed = bridge.pointee.isText ? GRPCWebRequestDecoder.room(for: count) : count
        if held.room < needed {
            if held.count + needed > holdMax {
                exchange.pointee.holdIsOver = true
                exchange.pointee.isReplayable = false
                return (0, nil)
            }
            let grown = buffers.take(holdMax)
            grown.append(held.readable, held.count)
            buffers.give(held)
            exchange.pointee.held = grown
            held = grown
        }
        var result = Relayed()
        while let run = nextRun(&exchange.pointee.requestBody, bytes, count, &result) {
            guard
                let decoded = bridge.pointee.request.decode(
                    bytes + run.offset, run.count, into: held.writable)
            else { break }
            if bridge.pointee.isText {
                held.pointee.end += UInt32(decoded.count)
            } else {
                held.append(bytes + run.offset, run.count)
            }
        }
        return (result.consumed, result.violation)
    }

    /// One block of the request body towards the endpoint.
    func relayCall(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> Relayed {
        var result = Relayed()
        guard let bridge = exchange.pointee.web?.bridge else { return result }
        // Decoded bytes collect in `output`: they are never more than what they come from.
        var filled = 0
        while let run = nextRun(&exchange.pointee.requestBody, bytes, count, &result) {
            guard
                let decoded = bridge.pointee.request.decode(
                    bytes + run.offset, run.count, into: output + filled)
            else { return result }
            if !bridge.pointee.isText { (output + filled).update(from: bytes + run.offset, count: run.count) }
            filled += decoded.count
        }
        if result.violation != nil || exchange.pointee.requestBody.isTooLong { return result }
        let isLast = exchange.pointee.requestBody.isDone
        if isLast && bridge.pointee.request.finish() != nil { return result }
        if filled > 0 {
            result.errno = upstream.pointee.transport.send(output, filled, pool: &buffers, nowMs: nowMs)
            result.sent = filled
        }
        if isLast, result.errno == 0, let stream = upstream.pointee.transport.stream {
            endStream(
                stream, exchange.pointee.requestBody, isBlocked: upstream.pointee.transport.isBlocked)
        }
        return result
    }

    /// Refuses a request whose body is not base64, or not whole messages. True: the exchange has its answer.
    func refuseBridged(_ exchange: ExchangePointer) -> Bool {
        guard let bridge = exchange.pointee.web?.bridge else { return false }
        if exchange.pointee.requestBody.isDone { _ = bridge.pointee.request.finish() }
        guard let error = bridge.pointee.request.error else { return false }
        exchange.fail(Failure(.grpcWebMalformed, phase: exchange.pointee.phase, detail: Detail(error)))
        return true
    }

    // MARK: the response

    /// Decides on a response, whose body has begun, whether a gRPC server made it, and puts its fields in the client's
    /// form, which stand as lines in `writer` from `start` on.
    func bridgeResponse(
        _ exchange: ExchangePointer, _ head: ResponseHead, _ fields: UnsafePointer<Field>,
        _ base: UnsafePointer<UInt8>, from start: Int, _ writer: inout ByteWriter
    ) {
        guard let bridge = exchange.pointee.web?.bridge else { return }
        var isCall = false
        for i in 0..<Int(head.fieldCount) {
            let field = fields[i]
            if field.id == .contentType {
                isCall = GRPCContentType(field.value.bytes(in: base))?.kind == .grpc
            } else if equals(
                base + Int(field.nameOffset), Int(field.nameCount), lowercase: "grpc-status")
            {
                bridge.pointee.hasStatus = true
            }
        }
        bridge.pointee.isCall = isCall
        guard isCall else { return }
        exchange.pointee.mayTransform = false
        bridge.pointee.isOpen = !exchange.pointee.responseBody.isDone
        if bridge.pointee.isOpen {
            // Another length, and no trailers of HTTP's.
            frameResponse(exchange)
            FieldLines.takeOut(from: start, &writer) {
                equals($0, $1, lowercase: "content-length") || equals($0, $1, lowercase: "trailer")
            }
        }
        writeType(as: bridge.pointee.responseKind, from: start, &writer)
        if !bridge.pointee.isOpen && !bridge.pointee.hasStatus {
            GRPCFields.writeStatus(.unknown, message: Self.noStatus, &writer)
        }
    }

    /// Puts the fields of a bridged request in gRPC's form.
    func writeBridgedRequest(from start: Int, _ writer: inout ByteWriter) {
        writeType(as: .grpc, from: start, &writer)
    }

    private func writeType(as kind: GRPCKind, from start: Int, _ writer: inout ByteWriter) {
        FieldLines.rewrite(from: start, &writer) {
            equals($0, $1, lowercase: "content-type")
        } write: { line, writer in
            let value = line.value(in: writer)
            writer.append("content-type: ")
            if let type = GRPCContentType(value) {
                type.write(as: kind, of: value, &writer)
            } else {
                writer.append(value)
            }
            writer.append("\r\n")
        }
    }

    /// One block of the response body towards the client; nil when it is not bridged.
    func relayBridged(
        _ exchange: ExchangePointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, prefixCount: Int
    ) -> Relayed? {
        guard let bridge = exchange.pointee.web?.bridge, bridge.pointee.isOpen else { return nil }
        var result = Relayed()
        var tail = beginTail(prefixCount)
        var raw = UnsafeMutableBufferPointer<UInt8>(start: nil, count: 0)
        // The body of a stream has no framing of its own: a block is one run.
        if let run = nextRun(&exchange.pointee.responseBody, bytes, count, &result) {
            _ = bridge.pointee.frames.scan(bytes + run.offset, run.count)
            if bridge.pointee.responseKind == .webText {
                guard tail.capacity - tail.count >= GRPCWebResponseEncoder.room(for: run.count) else {
                    return overflowed(bridge, result)
                }
                // Flushed each time: the client can read all that the endpoint has said.
                let text = bridge.pointee.response.encode(
                    bytes + run.offset, run.count, into: output + tail.count, flush: true)
                tail.skip(text.count)
            } else {
                raw = UnsafeMutableBufferPointer(start: bytes + run.offset, count: run.count)
            }
        }
        if exchange.pointee.responseBody.isDone {
            if let trailers = exchange.pointee.responseBody.trailers {
                bridge.pointee.response.writeTrailers(
                    UnsafeBufferPointer(start: trailers.readable, count: trailers.count), &tail)
                exchange.pointee.responseBody.trailers = nil
                buffers.give(trailers)
            } else if !bridge.pointee.hasStatus {
                bridge.pointee.response.writeStatus(.unknown, message: Self.noStatus, &tail)
            }
        }
        return sendBridged(exchange, bridge, raw, &tail, prefixCount, result)
    }

    /// Ends a bridged response that has begun and cannot be finished: with a status of ours, where one can
    /// stand between two messages. False: it can only be cut.
    func endBridged(_ exchange: ExchangePointer, _ failure: Failure) -> Bool {
        guard let bridge = exchange.pointee.web?.bridge, bridge.pointee.isOpen,
            exchange.pointee.responseStarted, !exchange.pointee.responseDone,
            bridge.pointee.frames.isAtBoundary
        else { return false }
        exchange.pointee.failure = failure
        exchange.pointee.isLocal = true
        exchange.pointee.responseBody.isDone = true
        var tail = beginTail(0)
        let name = failure.reason.name
        bridge.pointee.response.writeStatus(
            failure.reason.grpcStatus,
            message: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), &tail)
        let relayed = sendBridged(
            exchange, bridge, UnsafeMutableBufferPointer(start: nil, count: 0), &tail, 0, Relayed())
        exchange.pointee.bytesOut += UInt64(relayed.sent)
        if relayed.errno != 0 || relayed.encoderFailed {
            exchange.end(failure)
            return true
        }
        exchange.pointee.responseDone = true
        if exchange.pointee.client.pointee.transport.isBlocked {
            armDeadlines(exchange)
        } else {
            exchange.finish()
        }
        return true
    }

    /// Where bytes of our making stand: behind what is written already, with room for a chunk's header.
    private func beginTail(_ prefixCount: Int) -> ByteWriter {
        var tail = ByteWriter(output, capacity: outputBytes)
        tail.skip(prefixCount + Self.chunkHeaderBytesMax)
        return tail
    }

    /// Sends what stands in `output` up to `prefixCount`, messages as they came, and the tail behind them,
    /// framed for the client.
    private func sendBridged(
        _ exchange: ExchangePointer, _ bridge: UnsafeMutablePointer<WebBridge>,
        _ raw: UnsafeMutableBufferPointer<UInt8>, _ tail: inout ByteWriter, _ prefixCount: Int,
        _ relayed: Relayed
    ) -> Relayed {
        var result = relayed
        let client = exchange.pointee.client
        let isLast = exchange.pointee.responseBody.isDone
        let tailStart = prefixCount + Self.chunkHeaderBytesMax
        var front = ByteWriter(output, capacity: tailStart)
        front.skip(prefixCount)
        if exchange.pointee.clientChunked {
            let payload = raw.count + tail.count - tailStart
            if payload > 0 {
                writeChunkHeader(payload, &front)
                tail.append("\r\n")
            }
            if isLast { writeLastChunk(exchange.pointee.responseBody, &tail) }
        }
        if tail.overflowed { return overflowed(bridge, result) }
        var partCount = 0
        func addPart(_ start: UnsafeMutablePointer<UInt8>, _ length: Int) {
            if length == 0 { return }
            parts[partCount] = iovec(iov_base: start, iov_len: length)
            partCount += 1
            result.sent += length
        }
        addPart(output, front.count)
        addPart(raw.baseAddress ?? output, raw.count)
        addPart(output + tailStart, tail.count - tailStart)
        if partCount > 0 {
            result.errno = client.pointee.transport.send(
                parts, partCount, total: result.sent, pool: &buffers, nowMs: nowMs)
        }
        if isLast, result.errno == 0, let stream = client.pointee.transport.stream {
            endStream(stream, exchange.pointee.responseBody, isBlocked: client.pointee.transport.isBlocked)
        }
        return result
    }

    /// More than there is room for: what has been taken of the body is lost, so nothing can follow it.
    private func overflowed(_ bridge: UnsafeMutablePointer<WebBridge>, _ relayed: Relayed) -> Relayed {
        bridge.pointee.isOpen = false
        var result = relayed
        result.encoderFailed = true
        return result
    }

    private static var noStatus: UnsafeBufferPointer<UInt8> {
        let text: StaticString = "the endpoint sent no grpc-status"
        return UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }
}
