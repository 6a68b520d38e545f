// Bodies out of their framing, and into the other side's.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirWebSocket

/// What became of one block of raw body bytes.
struct Relayed {
    /// Raw bytes used; fewer than given when the body ended in between.
    var consumed = 0
    /// Bytes handed to the receiving side, framing included.
    var sent = 0
    /// The receiving side's errno.
    var errno: Int32 = 0
    var violation: (Violation, Int)?
    /// All of the body has come out of its stages.
    var isLast = false
    /// Why a stage could not go on.
    var failure: StageFailure?
}

extension Worker {
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

    /// The next run of bytes for the endpoint; nil when the block is used up.
    func nextRun(
        _ reader: inout BodyReader, besidesAnswersTo pings: PingsPointer,
        _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ result: inout Relayed
    ) -> (offset: Int, count: Int)? {
        while result.consumed < count {
            let offset = result.consumed
            let (pass, drop) = pings.pointee.sieve.next(bytes + offset, count - offset)
            result.consumed += pass + drop
            if pass > 0 {
                reader.frames?.passed(bytes + offset, pass)
                reader.count += UInt64(pass)
                return (offset, pass)
            }
        }
        return nil
    }
}
