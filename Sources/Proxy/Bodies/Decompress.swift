// Decompression on the way to the endpoint: request bodies leave their coding where a route asks for it.
//
// A body that was held whole and is small when decoded is decoded before an endpoint is chosen: it goes out
// with its length, a bad one never reaches an endpoint, and another attempt sends the same bytes. Every
// other body is decoded as it is sent, in blocks: a few bytes can be GiB, so no more is produced than the
// endpoint takes, than one turn of the loop may cost, and than the route's bounds allow. What was taken out
// of the framing and is not decoded yet stays in `held`; an attempt that is repeated decodes it afresh.
// Which bodies, and the bounds themselves, are in the Compression module.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience

/// What becomes of the coding of a request body.
enum RequestDecoding: UInt8 {
    /// The body goes as it came.
    case none
    /// Decoded as it is sent; `held` is coded.
    case asSent
    /// `held` is all of it, decoded.
    case held
}

extension Worker {
    /// Most decoded bytes produced in one go.
    private static let decodedBlockBytes = 64 << 10
    /// Where they stand in `output`; a chunk's header goes before them.
    private static let decodedOffset = 64
    /// The share of a loop turn that coding or decoding one body may use, in plain bytes: about as much
    /// time as moving `turnBytesMax` takes.
    static let codedTurnBytesMax = 256 << 10

    /// Looks at the coding of a body that is to come.
    func prepareDecoding(_ exchange: ExchangePointer) -> StepResult {
        guard exchange.pointee.upgrade == .none, let view = view(exchange) else { return .pass }
        switch RequestCoding(of: view) {
        case .none:
            return .pass
        case .coded where exchange.pointee.web != nil, .unsupported:
            // gRPC has codings of its own, message by message.
            return .refuse(Failure(.requestCodingUnsupported, phase: .admit))
        case .coded(let coding):
            exchange.pointee.requestCoding = coding
            exchange.pointee.decoding = .asSent
            exchange.pointee.isDecoding = true
            exchange.pointee.requestBody.dropsDigests = true
            return .pass
        }
    }

    /// Decodes a body that is held whole, when what comes out is small enough to be held too.
    ///
    /// - Parameter bytesMax: most decoded bytes that are held.
    func decodeHeld(_ exchange: ExchangePointer, bytesMax: Int) -> StepResult {
        guard exchange.pointee.decoding == .asSent, exchange.pointee.requestBody.isDone,
            let coded = exchange.pointee.held
        else { return .pass }
        guard beginDecoding(exchange), let decoder = exchange.pointee.decoder else {
            return .refuse(Self.failure(of: .noMemory, exchange))
        }
        let step = decoder.read(
            coded.readable, coded.count, into: output, capacity: min(bytesMax, outputBytes))
        let error = step.error ?? (step.hasMore ? nil : decoder.finish())
        if error != nil || step.hasMore {
            dropDecoder(exchange, isTrial: true)
            return error.map { .refuse(Self.failure(of: $0, exchange)) } ?? .pass
        }
        let plain = buffers.take(step.produced)
        plain.append(output, step.produced)
        buffers.give(coded)
        exchange.pointee.held = plain
        exchange.pointee.decoding = .held
        exchange.pointee.isDecoding = false
        exchange.pointee.decodedBytes = UInt64(step.produced)
        dropDecoder(exchange)
        return .pass
    }

    /// Starts at the beginning of the body, for one attempt. False: there is no memory for a decoder.
    func beginDecoding(_ exchange: ExchangePointer) -> Bool {
        dropDecoder(exchange, isTrial: true)
        guard let limits = exchange.route?.decompression,
            let coding = exchange.pointee.requestCoding,
            let decoder = Decoder.make(coding, limits: limits, memory: decoderMemory)
        else { return false }
        exchange.pointee.decoder = decoder
        exchange.pointee.isDecoding = true
        exchange.pointee.decodedBytes = 0
        exchange.pointee.codedTaken = 0
        exchange.pointee.codedWaits = true
        return true
    }

    /// Gives the decoder back, wherever its body stands. isTrial: the body is decoded once more, and
    /// counted then.
    func dropDecoder(_ exchange: ExchangePointer, isTrial: Bool = false) {
        guard let decoder = exchange.pointee.decoder else { return }
        exchange.pointee.decoder = nil
        if !isTrial {
            metrics.cell(worker: index).decoded(
                decoder.coding, bytesIn: decoder.bytesIn, bytesOut: decoder.bytesOut)
        }
        decoder.destroy()
    }

    /// A body that cannot be decoded, or not within the route's bounds.
    func refuseCoding(_ exchange: ExchangePointer, _ error: DecodeError) {
        exchange.fail(Self.failure(of: error, exchange))
    }

    private static func failure(of error: DecodeError, _ exchange: ExchangePointer) -> Failure {
        let phase = exchange.pointee.phase
        return switch error {
        case .tooLarge, .ratioExceeded:
            Failure(.requestDecodedTooLarge, phase: phase, detail: Detail(error))
        case .noMemory:
            .limit(.memory, phase: phase)
        case .malformed, .truncated, .trailingBytes, .windowTooLarge:
            Failure(.requestCodingMalformed, phase: phase, detail: Detail(error))
        }
    }

    /// Fills one block with what the bytes decode to and sends it. Stops when the block is full: then
    /// `codedWaits`, or `consumed` is less than `count`. What waits to be decoded goes before `bytes`.
    func relayDecoded(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> Relayed {
        let exchange = attempt.exchange
        var result = Relayed()
        guard let decoder = exchange.pointee.decoder else {
            result.decodeError = .noMemory
            return result
        }
        let room = output + Self.decodedOffset
        var filled = 0
        while filled < Self.decodedBlockBytes {
            var source: UnsafePointer<UInt8>?
            var length = 0
            let isWaiting = exchange.pointee.codedWaits
            if isWaiting {
                let taken = Int(exchange.pointee.codedTaken)
                source = exchange.pointee.held.map { UnsafePointer($0.readable + taken) }
                length = exchange.pointee.held.map { $0.count - taken } ?? 0
            } else if let run = nextRun(&exchange.pointee.requestBody, bytes, count, &result) {
                if exchange.pointee.requestBody.isTooLong { return result }
                source = UnsafePointer(bytes + run.offset)
                length = run.count
            } else {
                if result.violation != nil { return result }
                break
            }
            let step = decoder.read(
                source, length, into: room + filled, capacity: Self.decodedBlockBytes - filled)
            filled += step.produced
            if step.error != nil || (!step.hasMore && step.consumed < length) {
                result.decodeError = step.error ?? .malformed
                return result
            }
            exchange.pointee.codedWaits = step.hasMore
            if isWaiting {
                exchange.pointee.codedTaken += UInt32(step.consumed)
            } else if step.consumed < length, let source {
                // Behind the body that was held, so nothing is: this is in its place.
                let rest = buffers.take(length - step.consumed)
                rest.append(source + step.consumed, length - step.consumed)
                exchange.pointee.held = rest
                exchange.pointee.codedTaken = 0
            }
            if step.hasMore { break }
        }
        exchange.pointee.decodedBytes = decoder.bytesOut
        if !exchange.pointee.codedWaits && !exchange.pointee.isReplayable { giveUpReplay(exchange) }
        let isLast = exchange.pointee.requestBody.isDone && !exchange.pointee.codedWaits
        if isLast, let error = decoder.finish() {
            result.decodeError = error
            return result
        }
        sendDecoded(attempt, upstream, filled, isLast: isLast, &result)
        if isLast {
            exchange.pointee.isDecoding = false
            dropDecoder(exchange)
        }
        return result
    }

    /// Sends a decoded block that stands in `output`, framed for the endpoint.
    private func sendDecoded(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ count: Int, isLast: Bool,
        _ result: inout Relayed
    ) {
        let exchange = attempt.exchange
        var start = Self.decodedOffset
        var end = start + count
        if attempt.pointee.upstreamChunked {
            if count > 0 {
                var header = ByteWriter(output, capacity: Self.decodedOffset)
                writeChunkHeader(count, &header)
                memmove(output + (start - header.count), output, header.count)
                start -= header.count
            }
            var writer = ByteWriter(output, capacity: outputBytes)
            writer.skip(end)
            if count > 0 { writer.append("\r\n") }
            if isLast { writeLastChunk(exchange.pointee.requestBody, &writer) }
            end = writer.count
        }
        if end > start {
            result.errno = upstream.pointee.transport.send(
                output + start, end - start, pool: &buffers, nowMs: nowMs)
            result.sent += end - start
        }
        if isLast, result.errno == 0, let stream = upstream.pointee.transport.stream {
            endStream(
                stream, exchange.pointee.requestBody, isBlocked: upstream.pointee.transport.isBlocked)
        }
    }
}
