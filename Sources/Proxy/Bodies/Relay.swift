// Moving bodies: from one transport to another, whatever their framing, with back-pressure.
//
// One block of raw bytes at a time is decoded, framed for the other side, and sent in one call.
// Whoever calls stops while the receiving side's outbox holds anything. Bodies of known length with
// much left to go are spliced through a pipe and never enter our memory.

import Compression
import Glibc
import HTTP1
import HTTPModel
import Reactor
import Resilience

/// What became of one block of raw body bytes.
struct Relayed {
    /// Raw bytes used; fewer than given when the body ended in between.
    var consumed = 0
    /// Bytes handed to the receiving side, framing included.
    var sent = 0
    /// The receiving side's errno.
    var errno: Int32 = 0
    var violation: (Violation, Int)?
    /// No memory to code the body with.
    var encoderFailed = false
    /// Why the body cannot be decoded.
    var decodeError: DecodeError?
}

extension Worker {
    /// From this much left on, a body of known length is spliced.
    static let spliceBytesMin: UInt64 = 64 << 10
    /// Bodies up to this size are copied behind their head and sent as one run.
    private static let copyBytesMax = 4 << 10

    /// One block of the request body towards the endpoint, in the form its exchange has it sent.
    func relayRequest(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> Relayed {
        if exchange.pointee.isDecoding { return relayDecoded(exchange, upstream, bytes, count) }
        if exchange.pointee.web != nil { return relayCall(exchange, upstream, bytes, count) }
        return relay(
            &exchange.pointee.requestBody, bytes, count, chunked: exchange.pointee.upstreamChunked,
            prefixCount: 0, to: &upstream.pointee.transport)
    }

    /// Decodes `count` raw bytes with `reader` and sends the payload, behind `prefixCount` bytes that
    /// already stand at the start of `output`. chunked: frame it in chunks, and end them when it ends.
    func relay(
        _ reader: inout BodyReader, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, chunked: Bool,
        prefixCount: Int, to transport: inout Transport
    ) -> Relayed {
        var result = Relayed()
        var prefix = prefixCount
        repeat {
            // Collect runs of payload; framing of our own is written behind the prefix.
            var partCount = 1
            var payload = 0
            var hasMore = true
            while hasMore && partCount < Self.partsMax - 1 {
                guard let run = nextRun(&reader, bytes, count, &result) else {
                    hasMore = false
                    break
                }
                parts[partCount] = iovec(iov_base: bytes + run.offset, iov_len: run.count)
                partCount += 1
                payload += run.count
            }
            // Nothing of a body that is refused goes on, least of all its end.
            if result.violation != nil || reader.isTooLong { return result }

            var writer = ByteWriter(output, capacity: outputBytes)
            writer.skip(prefix)
            var total = payload
            var trailing = 0
            if chunked {
                if payload > 0 {
                    writeChunkHeader(payload, &writer)
                }
                let headerEnd = writer.count
                if payload > 0 { writer.append("\r\n") }
                if reader.isDone { writeLastChunk(reader, &writer) }
                trailing = writer.count - headerEnd
                if trailing > 0 {
                    parts[partCount] = iovec(iov_base: output + headerEnd, iov_len: trailing)
                    partCount += 1
                }
                parts[0] = iovec(iov_base: output, iov_len: headerEnd)
                total += writer.count
            } else {
                parts[0] = iovec(iov_base: output, iov_len: prefix)
                total += prefix
                if payload <= Self.copyBytesMax && prefix > 0 && payload > 0 {
                    for i in 1..<partCount {
                        writer.append(parts[i].iov_base.assumingMemoryBound(to: UInt8.self), parts[i].iov_len)
                    }
                    parts[0].iov_len = writer.count
                    partCount = 1
                }
            }
            prefix = 0
            if total > 0 {
                let hasFirst = parts[0].iov_len > 0
                result.errno = transport.send(
                    hasFirst ? parts : parts + 1, hasFirst ? partCount : partCount - 1, total: total,
                    pool: &buffers, nowMs: nowMs)
                result.sent += total
                if result.errno != 0 { return result }
            }
            if !hasMore {
                if reader.isDone, let stream = transport.stream {
                    endStream(stream, reader, isBlocked: transport.isBlocked)
                }
                return result
            }
        } while true
    }

    /// The next run of payload within the block; nil when the block or the body is used up.
    @inline(__always)
    func nextRun(
        _ reader: inout BodyReader, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int,
        _ result: inout Relayed
    ) -> (offset: Int, count: Int)? {
        let left = count - result.consumed
        if reader.isDone || left == 0 { return nil }
        switch reader.framing {
        case .none:
            return nil
        case .length:
            let offset = result.consumed
            let fits = min(left, Int(clamping: reader.remaining))
            reader.took(fits)
            result.consumed += fits
            return (offset, fits)
        case .untilClose:
            let offset = result.consumed
            if let pings = reader.pings {
                return nextRun(&reader, besidesAnswersTo: pings, bytes, count, &result)
            }
            reader.frames?.passed(bytes + offset, left)
            reader.count += UInt64(left)
            result.consumed = count
            return (offset, left)
        case .chunked:
            switch reader.chunked.next(bytes, count: count, at: &result.consumed) {
            case .data(let offset, let length):
                reader.count += UInt64(length)
                return (offset, length)
            case .needMore:
                return nil
            case .end:
                reader.isDone = true
                return nil
            case .malformed(let violation, let at):
                result.violation = (violation, at)
                return nil
            }
        }
    }

    /// The chunk that ends a body, with the trailers that came with it.
    func writeLastChunk(_ reader: BodyReader, _ writer: inout ByteWriter) {
        writer.append("0\r\n")
        writeTrailers(reader, &writer)
        writer.append("\r\n")
    }

    private func writeTrailers(_ reader: BodyReader, _ writer: inout ByteWriter) {
        if reader.framing == .chunked, reader.chunked.hasTrailers {
            reader.chunked.withTrailers { bytes, fields in
                guard let base = bytes.baseAddress else { return }
                for field in fields where !field.isHopByHop {
                    let name = base + Int(field.nameOffset)
                    if reader.dropsDigests, RequestCoding.describesCodedBytes(name, Int(field.nameCount)) {
                        continue
                    }
                    writer.appendField(field, base)
                }
            }
        } else if let trailers = reader.trailers {
            writeLines(trailers, reader.dropsDigests, &writer)
        }
    }

    /// Trailers that stand as lines, "name: value" CR LF.
    private func writeLines(_ lines: BufferPointer, _ dropsDigests: Bool, _ writer: inout ByteWriter) {
        guard dropsDigests else {
            writer.append(lines.readable, lines.count)
            return
        }
        var at = 0
        while let end = memchr(lines.readable + at, 0x0a, lines.count - at) {
            let line = lines.readable + at
            let count = end.assumingMemoryBound(to: UInt8.self) - line + 1
            let colon = memchr(line, 0x3a, count)?.assumingMemoryBound(to: UInt8.self)
            if !RequestCoding.describesCodedBytes(line, colon.map { $0 - line } ?? count) {
                writer.append(line, count)
            }
            at += count
        }
    }

    /// Ends a stream behind its body, with the trailers that came with that.
    func endStream(_ stream: StreamPointer, _ reader: BodyReader, isBlocked: Bool) {
        var writer = ByteWriter(output, capacity: outputBytes)
        writeTrailers(reader, &writer)
        stream.end(
            trailers: writer.overflowed ? nil : output, writer.count, isBlocked: isBlocked, pool: &buffers)
    }

    // MARK: splicing

    /// How a round of splicing ended.
    enum Spliced {
        /// All of the body has been handed over.
        case done
        /// The source has nothing (more) now.
        case sourceEmpty
        /// The sink takes nothing (more) now.
        case sinkFull
        case sourceEnded(Int32)
        case sinkBroke(Int32)
        /// Enough for one turn of the loop; more can be moved at once.
        case shareUsed
    }

    /// How much one body may move before others get their turn.
    static let turnBytesMax = 2 << 20

    /// Whether a body is to be spliced: it already is, or much of it is left, neither side changes its
    /// bytes, and a pipe is to be had.
    func hasPipe(_ pipe: inout Pipe, _ reader: borrowing BodyReader, _ exchange: ExchangePointer) -> Bool {
        if pipe.exists { return true }
        guard reader.framing == .length, reader.remaining >= Self.spliceBytesMin,
            exchange.pointee.client.pointee.transport.isPlainSocket,
            exchange.pointee.upstream?.pointee.transport.isPlainSocket ?? false,
            let taken = pipes.take()
        else {
            return false
        }
        pipe = taken
        return true
    }

    /// Moves a body of known length through its pipe until one side has enough.
    func splice(
        _ reader: inout BodyReader, from source: Socket, to sink: Socket, _ pipe: inout Pipe,
        _ moved: inout UInt64
    )
        -> Spliced
    {
        while true {
            while pipe.count > 0 {
                let drained = pipe.drain(to: sink, more: false)
                if drained < 0 {
                    return drained == -Int(EAGAIN) || drained == -Int(EINTR)
                        ? .sinkFull : .sinkBroke(Int32(-drained))
                }
                moved += UInt64(drained)
            }
            if reader.isDone {
                pipes.give(pipe)
                pipe = .none
                return .done
            }
            if moved >= UInt64(Self.turnBytesMax) { return .shareUsed }
            let filled = pipe.fill(from: source, Int(min(reader.remaining, UInt64(PipePool.capacityWanted))))
            if filled < 0 {
                return filled == -Int(EAGAIN) || filled == -Int(EINTR)
                    ? .sourceEmpty : .sourceEnded(Int32(-filled))
            }
            if filled == 0 { return .sourceEnded(0) }
            reader.took(filled)
        }
    }
}
