// Sending files: whole, or the parts a request asked for, with back-pressure.
//
// A small body is read behind its head and sent with it in one call. A larger one is moved by sendfile(2)
// where the transport is a plain socket, from its first byte: whole pages that nobody copies. The socket is
// corked meanwhile, the head in it: the same calls without cost a seventh more (1 MiB, cubic). Elsewhere the first block goes with the head, and the rest is read and sent in
// blocks. The Content-Length is promised from the size the file had when it was opened: a file that turns out
// shorter is never padded, its connection is cut.

import WeirFiles
import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience

/// A response with bytes of a file, before it is sent.
struct FileResponse {
    let file: OpenFile
    let type: UnsafeBufferPointer<UInt8>
    let spans: UnsafeMutablePointer<ByteSpan>
    /// 0: no body.
    var spanCount: Int
    /// Of the parts (multipart/byteranges, RFC 9110 §14.6); 0 for a body that is one span.
    var boundary: UInt64
}

/// A file as the source of a body: what is left to send of it.
final class FileSource {
    let file: OpenFile
    let type: UnsafeBufferPointer<UInt8>
    let boundary: UInt64
    let spans: [ByteSpan]
    /// The span under way; as many as there are when all are sent.
    var span = 0
    /// Of a part, the lines before its bytes have been sent.
    var isPartOpen: Bool
    /// Bytes of the span that have been sent.
    var sent: UInt64
    /// The client's socket is corked until the file is given back.
    let isCorked: Bool

    init(_ response: FileResponse, sent: UInt64, isCorked: Bool) {
        file = response.file
        type = response.type
        boundary = response.boundary
        spans = Array(UnsafeBufferPointer(start: response.spans, count: response.spanCount))
        isPartOpen = response.boundary == 0
        self.sent = sent
        self.isCorked = isCorked
    }
}

extension Worker {
    /// Bodies up to this size are read behind their head.
    private static let readBytesMax: UInt64 = 64 << 10
    /// So much of a larger body goes with its head, where it is read.
    private static let firstBytes: UInt64 = 16 << 10

    /// Ends the head in `writer` and sends it with the body, or the beginning of it.
    func beginFileBody(_ exchange: ExchangePointer, _ response: FileResponse, _ writer: inout ByteWriter) {
        writer.append("content-length: ")
        writer.append(decimal: contentLength(response))
        writer.append("\r\n")
        endResponseHead(exchange, .weir, &writer)
        guard !writer.overflowed else {
            response.file.close()
            exchange.end(.limit(.head, phase: exchange.pointee.phase))
            return
        }
        let headBytes = writer.count
        let isHead = exchange.pointee.request.method == .head
        var isComplete = isHead || response.spanCount == 0
        var sent: UInt64 = 0
        let isMoved =
            !isComplete && response.boundary == 0 && response.spans[0].count > Self.readBytesMax
            && exchange.pointee.client.pointee.transport.isPlainSocket
        if !isComplete, !isMoved, response.boundary == 0 {
            let span = response.spans[0]
            let wanted = span.count <= Self.readBytesMax ? span.count : Self.firstBytes
            while sent < wanted {
                let count = response.file.read(
                    output + writer.count, Int(wanted - sent), at: span.first + sent)
                guard count > 0 else {
                    response.file.close()
                    // Not a byte is out yet: this can still be said.
                    exchange.pointee.isLocal = false
                    readFailed(exchange, errno: Int32(-count))
                    return
                }
                writer.skip(count)
                sent += UInt64(count)
            }
            isComplete = sent == span.count
        }
        exchange.pointee.phase = .respond
        exchange.pointee.responseStarted = true
        if isComplete {
            response.file.close()
            exchange.pointee.responseDone = true
        } else {
            keep(exchange, response, sent: sent, isCorked: isMoved)
        }
        guard sendBeginning(exchange, headBytes: headBytes, writer.count, isWhole: isComplete) else { return }
        if isComplete { fileSent(exchange) } else { pumpFile(exchange) }
    }

    func keep(
        _ exchange: ExchangePointer, _ response: FileResponse, sent: UInt64, isCorked: Bool = false
    ) {
        if isCorked { exchange.pointee.client.pointee.transport.socket.cork(true) }
        exchange.pointee.file = FileSource(response, sent: sent, isCorked: isCorked)
    }

    /// Moves the body on, as far as the client takes it.
    func pumpFile(_ exchange: ExchangePointer) {
        guard let source = exchange.pointee.file, !exchange.pointee.isOver,
            !exchange.pointee.responseDone, !exchange.pointee.awaitsTurn
        else { return }
        if let stages = exchange.pointee.responseStages {
            pumpStagedFile(exchange, source, stages, behind: ByteWriter(output, capacity: outputBytes))
            return
        }
        let client = exchange.pointee.client
        exchange.pointee.fileIsBlocked = false
        var moved = 0
        while source.span < source.spans.count {
            if client.pointee.transport.isBlocked {
                armDeadlines(exchange)
                return
            }
            if moved >= Self.turnBytesMax {
                goOnNextTurn(exchange)
                return
            }
            let span = source.spans[source.span]
            if !source.isPartOpen {
                source.isPartOpen = true
                var writer = ByteWriter(output, capacity: outputBytes)
                writePartHead(span, source.file.size, source.type, source.boundary, &writer)
                guard send(exchange, writer.count) else { return }
                continue
            }
            let rest = span.count - source.sent
            let count = sendBlock(exchange, source.file, at: span.first + source.sent, rest)
            guard count > 0 else { return }
            moved += count
            source.sent += UInt64(count)
            if source.sent == span.count {
                source.span += 1
                source.sent = 0
                source.isPartOpen = source.boundary == 0
            }
        }
        if source.boundary != 0 {
            var writer = ByteWriter(output, capacity: outputBytes)
            writeLastBoundary(source.boundary, &writer)
            exchange.pointee.responseDone = true
            guard send(exchange, writer.count) else { return }
        }
        exchange.pointee.responseDone = true
        endBody(exchange)
        fileSent(exchange)
    }

    /// Everything is with the kernel or waits for the client.
    func fileSent(_ exchange: ExchangePointer) {
        closeFile(exchange)
        if exchange.pointee.client.pointee.transport.isBlocked {
            armDeadlines(exchange)
        } else {
            exchange.finish()
        }
    }

    /// Sends the next bytes of a file; 0: the client takes none now, or the exchange is over.
    private func sendBlock(
        _ exchange: ExchangePointer, _ file: OpenFile, at offset: UInt64, _ rest: UInt64
    ) -> Int {
        let client = exchange.pointee.client
        let count: Int
        if client.pointee.transport.isPlainSocket {
            let wanted = Int(min(rest, UInt64(Self.turnBytesMax)))
            count = client.pointee.transport.socket.sendFile(file, at: offset, wanted)
            if count < 0 {
                switch Int32(-count) {
                case EAGAIN:
                    // The socket tells when it takes more.
                    exchange.pointee.fileIsBlocked = true
                    armDeadlines(exchange)
                case EIO, EINVAL, ENOMEM, EOVERFLOW, ESTALE, EBADF:
                    readFailed(exchange, errno: Int32(-count))
                default:
                    exchange.clientEnded(errno: Int32(-count))
                }
                return 0
            }
            exchange.pointee.bytesOut += UInt64(count)
        } else {
            count = file.read(input, Int(min(rest, UInt64(Self.inputBytes))), at: offset)
            if count > 0 {
                exchange.pointee.bytesOut += UInt64(count)
                guard sendToClient(client, input, count) else { return 0 }
            }
        }
        if count <= 0 {
            readFailed(exchange, errno: Int32(-count))
            return 0
        }
        touch(client, exchange)
        return count
    }

    /// The file could not be read (errno), or ended before the size it had (0).
    func readFailed(_ exchange: ExchangePointer, errno error: Int32) {
        let reason: Reason = error == 0 ? .fileTruncated : .fileReadFailed
        exchange.fail(Failure(reason, phase: exchange.pointee.phase, errno: error))
    }

    /// Sends what stands in `output`. False: the exchange is over.
    private func send(_ exchange: ExchangePointer, _ count: Int) -> Bool {
        exchange.pointee.bytesOut += UInt64(count)
        return sendToClient(exchange.pointee.client, output, count)
    }

    /// Gives the file back. For whoever ends the exchange.
    func closeFile(_ exchange: ExchangePointer) {
        guard let source = exchange.pointee.file else { return }
        if source.isCorked { exchange.pointee.client.pointee.transport.socket.cork(false) }
        source.file.close()
        exchange.pointee.file = nil
        exchange.pointee.fileIsBlocked = false
    }

    // MARK: parts

    /// Bytes of the body, boundaries included.
    private func contentLength(_ response: FileResponse) -> UInt64 {
        var total: UInt64 = 0
        for i in 0..<response.spanCount { total += response.spans[i].count }
        guard response.boundary != 0 else { return total }
        for i in 0..<response.spanCount {
            var writer = ByteWriter(input, capacity: Self.inputBytes)
            writePartHead(
                response.spans[i], response.file.size, response.type, response.boundary, &writer)
            total += UInt64(writer.count)
        }
        var writer = ByteWriter(input, capacity: Self.inputBytes)
        writeLastBoundary(response.boundary, &writer)
        return total + UInt64(writer.count)
    }

    private func writePartHead(
        _ span: ByteSpan, _ size: UInt64, _ type: UnsafeBufferPointer<UInt8>, _ boundary: UInt64,
        _ writer: inout ByteWriter
    ) {
        writer.append("\r\n--")
        writer.append(boundary: boundary)
        writer.append("\r\ncontent-type: ")
        writer.append(type)
        writer.append("\r\ncontent-range: ")
        writer.append(span, of: size)
        writer.append("\r\n\r\n")
    }

    private func writeLastBoundary(_ boundary: UInt64, _ writer: inout ByteWriter) {
        writer.append("\r\n--")
        writer.append(boundary: boundary)
        writer.append("--\r\n")
    }
}
