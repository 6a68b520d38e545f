// Moving bodies: from one transport to another, whatever their framing, with back-pressure.
//
// One block of raw bytes at a time is decoded, framed for the other side, and sent in one call.
// Whoever calls stops while the receiving side's outbox holds anything. Bodies of known length with
// much left to go are spliced through a pipe and never enter our memory.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// From this much left on, a body of known length is spliced.
    static let spliceBytesMin: UInt64 = 64 << 10
    /// Bodies up to this size are copied behind their head and sent as one run.
    private static let copyBytesMax = 4 << 10

    /// One block of the request body towards the endpoint, in the form its exchange has it sent.
    func relayRequest(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) -> Relayed {
        let exchange = attempt.exchange
        if exchange.pointee.isStaged { return relayStaged(attempt, upstream, bytes, count) }
        return relay(
            &exchange.pointee.requestBody, bytes, count, chunked: attempt.pointee.upstreamChunked,
            behind: ByteWriter(output, capacity: outputBytes), to: &upstream.pointee.transport)
    }

    /// One block of the response body towards the client, in the form its exchange has it sent.
    func relayResponse(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int, behind front: ByteWriter
    ) -> Relayed {
        if let stages = exchange.pointee.responseStages {
            return relayStaged(
                exchange, stages, bytes, count, flush: !upstream.pointee.canRead, behind: front)
        }
        return relay(
            &exchange.pointee.responseBody, bytes, count, chunked: exchange.pointee.clientChunked,
            behind: front, to: &exchange.pointee.client.pointee.transport)
    }

    /// Decodes `count` raw bytes with `reader` and sends the payload, behind what stands in `front`, in whose room
    /// framing is written. chunked: frame it in chunks, and end them when it ends.
    func relay(
        _ reader: inout BodyReader, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, chunked: Bool,
        behind front: ByteWriter, to transport: inout Transport
    ) -> Relayed {
        var result = Relayed()
        let output = front.base
        var prefix = front.count
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

            var writer = ByteWriter(output, capacity: front.capacity)
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

    /// Sends a head that stands in `writer` with the first bytes of its body. False: stop.
    func sendResponse(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ writer: inout ByteWriter,
        _ body: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Bool {
        var front = writer
        if let stream = exchange.pointee.client.pointee.transport.stream {
            front = ByteWriter(writer.base, capacity: writer.capacity)
            let ends = exchange.pointee.responseBody.isDone
            guard
                stream.sendHead(
                    status: exchange.pointee.status == 101 ? 200 : exchange.pointee.status,
                    lines: writer.base,
                    writer.count, ends: ends)
            else {
                exchange.clientEnded(errno: ECONNRESET)
                return false
            }
            exchange.pointee.bytesOut += UInt64(writer.count)
        }
        let relayed = relayResponse(exchange, upstream, body, count, behind: front)
        if let buffer = upstream.pointee.input {
            buffers.give(buffer)
            upstream.pointee.input = nil
        }
        // Wrong from the first bytes of the body: the head is not out yet, so this can still be a 502.
        // A stream has one head, and has it by now.
        if relayed.violation != nil && relayed.sent == 0 && front.count > 0 {
            exchange.pointee.responseStarted = false
            // What they have been given is none of what is said in its place.
            dropResponseStages(exchange)
        }
        return checkRelayed(exchange, upstream, relayed, extra: count - relayed.consumed)
    }

    /// Accounts a block of the response body. False: stop.
    func checkRelayed(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ relayed: Relayed, extra: Int
    ) -> Bool {
        exchange.pointee.bytesOut += UInt64(relayed.sent)
        if relayed.errno != 0 {
            exchange.clientEnded(errno: relayed.errno)
            return false
        }
        if let (violation, at) = relayed.violation {
            exchange.fail(
                Failure(
                    .upstreamMalformedBody, phase: .respond, position: Int32(truncatingIfNeeded: at),
                    detail: Detail(violation)))
            return false
        }
        if let failure = relayed.failure {
            exchange.fail(Failure(failure.reason, phase: .respond, detail: failure.detail))
            return false
        }
        // Bytes behind the response belong to nobody: the connection is not used again.
        if extra > 0 { upstream.pointee.peerEnded = true }
        return true
    }

    /// More is sent than is held: from here on the request cannot be repeated.
    func giveUpReplay(_ exchange: ExchangePointer) {
        exchange.pointee.isReplayable = false
        if let held = exchange.pointee.held {
            buffers.give(held)
            exchange.pointee.held = nil
        }
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
            exchange.attempt.pointee.upstream?.pointee.transport.isPlainSocket ?? false,
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
