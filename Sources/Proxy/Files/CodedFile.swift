// Files that are compressed on their way: those without a coded sibling, where the route compresses.
//
// The file is read in blocks and takes the road of every response that is coded (Bodies/Compress.swift): no
// length, no ranges, a weak tag. Which files, is decided in FileAnswer.swift.

import WeirCompression
import WeirFiles
import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// Ends the head in `writer` and sends it with the beginning of the file. For HEAD there is no encoder
    /// and no body.
    func beginCodedFile(_ exchange: ExchangePointer, _ response: FileResponse, _ writer: inout ByteWriter) {
        guard exchange.pointee.encoder != nil else {
            response.file.close()
            endResponseHead(exchange, .weir, &writer)
            exchange.pointee.responseDone = true
            guard sendWhole(exchange, &writer, body: nil) else { return }
            fileSent(exchange)
            return
        }
        frameResponse(exchange)
        endResponseHead(exchange, .weir, &writer)
        guard !writer.overflowed else {
            response.file.close()
            exchange.end(.limit(.head, phase: exchange.pointee.phase))
            return
        }
        exchange.pointee.phase = .respond
        exchange.pointee.responseStarted = true
        exchange.pointee.responseBody.begin(.length, length: response.file.size)
        keep(exchange, response, sent: 0)
        guard exchange.pointee.client.pointee.transport.isStream else {
            pumpCodedFile(exchange, prefixCount: writer.count)
            return
        }
        guard sendBeginning(exchange, headBytes: writer.count, writer.count, isWhole: false) else { return }
        pumpCodedFile(exchange, prefixCount: 0)
    }

    /// Moves the file on, as far as the client takes it.
    ///
    /// - Parameter prefixCount: bytes of the head that stand in `output` and go first.
    func pumpCodedFile(_ exchange: ExchangePointer, prefixCount: Int) {
        let client = exchange.pointee.client
        var prefix = prefixCount
        var moved = 0
        while !exchange.pointee.responseBody.isDone {
            guard let body = exchange.pointee.fileBody?.body, let encoder = exchange.pointee.encoder else {
                return
            }
            // A head that stands in `output` goes in any case: it is not kept anywhere else.
            if prefix == 0 && client.pointee.transport.isBlocked {
                armDeadlines(exchange)
                return
            }
            if moved >= Self.codedTurnBytesMax {
                goOnNextTurn(exchange)
                return
            }
            let rest = exchange.pointee.responseBody.remaining
            let count = body.pointee.file.read(
                input, Int(min(rest, UInt64(Self.inputBytes))), at: exchange.pointee.responseBody.count)
            guard count > 0 else {
                if prefix > 0 {
                    // Not a byte is out yet: this can still be said.
                    exchange.pointee.responseStarted = false
                    exchange.pointee.isLocal = false
                    dropEncoder(exchange)
                    closeFile(exchange)
                }
                readFailed(exchange, errno: Int32(-count))
                return
            }
            moved += count
            let relayed = relayEncoded(
                exchange, encoder, input, count, prefixCount: prefix, flush: false)
            prefix = 0
            exchange.pointee.bytesOut += UInt64(relayed.sent)
            if relayed.errno != 0 {
                exchange.clientEnded(errno: relayed.errno)
                return
            }
            if relayed.encoderFailed {
                exchange.fail(.limit(.memory, phase: .respond))
                return
            }
            touch(client, exchange)
        }
        exchange.pointee.responseDone = true
        fileSent(exchange)
    }
}
