// Compression on the way to the client: the third way a response body goes, beside relay and splice. Files
// take it in Files/CodedFile.swift; fixed responses are coded when they are configured (CodedBodies.swift).
//
// Which response, and what its fields become, is judged in the Compression module. A body that is coded
// keeps its reader and its trailers and gets another length: chunks, the end of a stream, or the
// connection's end for clients of HTTP/1.0. What the encoder holds back goes out when the endpoint has
// nothing more to say at the moment and the body is of unknown length: it may be a live stream.
// One block in is at most what the encoder held (its window) and a block out, so the transport's bound
// holds with a few hundred KiB more.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// Takes an encoder for a response that is to be compressed, and frames it anew. False: there is none to be had,
    /// and it goes as it is.
    func beginCoding(
        _ exchange: ExchangePointer, _ decision: CompressionDecision, _ rule: CompressionRule,
        _ head: ResponseHead
    ) -> Bool {
        guard let coding = decision.coding,
            let encoder = encoders.take(
                coding, level: rule.level(of: coding),
                size: head.framing == .length ? head.contentLength : nil)
        else { return false }
        exchange.pointee.encoder = encoder
        exchange.pointee.responseBody.dropsDigests = true
        exchange.pointee.flushesWhenIdle = decision.flushesWhenIdle
        frameResponse(exchange)
        return true
    }

    /// One block of the response body towards the client, coded when that was decided.
    func relayResponse(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, prefixCount: Int
    ) -> Relayed {
        if let encoder = exchange.pointee.encoder {
            return relayEncoded(
                exchange, encoder, bytes, count, prefixCount: prefixCount,
                flush: exchange.pointee.flushesWhenIdle && !upstream.pointee.canRead)
        }
        if exchange.pointee.web != nil,
            let relayed = relayBridged(exchange, bytes, count, prefixCount: prefixCount)
        {
            return relayed
        }
        return relay(
            &exchange.pointee.responseBody, bytes, count, chunked: exchange.pointee.clientChunked,
            prefixCount: prefixCount, to: &exchange.pointee.client.pointee.transport)
    }

    /// The endpoint has nothing more at the moment: what the encoder holds of a live stream goes out.
    /// False: stop.
    func flushEncoder(_ exchange: ExchangePointer, _ upstream: UpstreamPointer) -> Bool {
        guard let encoder = exchange.pointee.encoder, exchange.pointee.flushesWhenIdle, encoder.hasUnflushed
        else { return true }
        let relayed = relayEncoded(exchange, encoder, input, 0, prefixCount: 0, flush: true)
        return checkRelayed(exchange, upstream, relayed, extra: 0)
    }

    /// Gives the encoder back, wherever its body stands.
    func dropEncoder(_ exchange: ExchangePointer) {
        guard let encoder = exchange.pointee.encoder else { return }
        exchange.pointee.encoder = nil
        metrics.cell(worker: index).encoded(
            encoder.coding, bytesIn: encoder.bytesIn, bytesOut: encoder.bytesOut)
        encoders.give(encoder)
    }

    func relayEncoded(
        _ exchange: ExchangePointer, _ encoder: Encoder, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int,
        prefixCount: Int, flush: Bool
    ) -> Relayed {
        var result = Relayed()
        var prefix = prefixCount
        var filled = 0
        while true {
            let run = nextRun(&exchange.pointee.responseBody, bytes, count, &result)
            if result.violation != nil { return result }
            let isLast = exchange.pointee.responseBody.isDone
            let mode: FlushMode =
                isLast ? .finish : run == nil && flush && encoder.hasUnflushed ? .flush : .none
            if run != nil || mode != .none {
                let size = run?.count ?? 0
                var taken = 0
                while true {
                    let from = run.map { UnsafePointer(bytes + $0.offset + taken) }
                    let step = encoder.write(
                        from, size - taken, into: encoders.scratch + filled,
                        capacity: EncoderPool.scratchBytes - filled, mode: mode)
                    taken += step.consumed
                    filled += step.produced
                    if step.hasFailed {
                        result.encoderFailed = true
                        return result
                    }
                    if EncoderPool.scratchBytes - filled < 1024 {
                        sendCoded(exchange, filled, prefix, isLast: false, &result)
                        if result.errno != 0 { return result }
                        prefix = 0
                        filled = 0
                    }
                    if !step.hasMore { break }
                }
            }
            if run != nil && !isLast { continue }
            sendCoded(exchange, filled, prefix, isLast: isLast, &result)
            if isLast { dropEncoder(exchange) }
            return result
        }
    }

    /// Sends what stands in `output` up to `prefix` and what the encoder has written, framed for the client.
    private func sendCoded(
        _ exchange: ExchangePointer, _ count: Int, _ prefix: Int, isLast: Bool, _ result: inout Relayed
    ) {
        let client = exchange.pointee.client
        let isChunked = exchange.pointee.clientChunked
        var writer = ByteWriter(output, capacity: outputBytes)
        writer.skip(prefix)
        if isChunked && count > 0 { writeChunkHeader(count, &writer) }
        let headerEnd = writer.count
        if isChunked && count > 0 { writer.append("\r\n") }
        if isChunked && isLast { writeLastChunk(exchange.pointee.responseBody, &writer) }
        let trailing = writer.count - headerEnd
        var partCount = 0
        func addPart(_ start: UnsafeMutablePointer<UInt8>, _ length: Int) {
            if length == 0 { return }
            parts[partCount] = iovec(iov_base: start, iov_len: length)
            partCount += 1
        }
        addPart(output, headerEnd)
        addPart(encoders.scratch, count)
        addPart(output + headerEnd, trailing)
        let total = writer.count + count
        if total > 0 {
            result.errno = client.pointee.transport.send(
                parts, partCount, total: total, pool: &buffers, nowMs: nowMs)
            result.sent += total
        }
        if isLast, result.errno == 0, let stream = client.pointee.transport.stream {
            endStream(stream, exchange.pointee.responseBody, isBlocked: client.pointee.transport.isBlocked)
        }
    }
}
