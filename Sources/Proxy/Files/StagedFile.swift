// Files whose bytes go through stages on their way: those that are compressed, having no coded sibling, where the route
// compresses.
//
// The file is read in blocks and takes the road of every body with stages (Bodies/StagedRelay.swift): no length, no
// ranges, a weak tag. Which files, is decided in FileAnswer.swift.

import WeirFiles
import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// Ends the head in `writer` and sends it with the beginning of the file. For HEAD there are no
    /// stages and no body.
    func beginStagedFile(_ exchange: ExchangePointer, _ response: FileResponse, _ writer: inout ByteWriter) {
        guard let stages = exchange.pointee.responseStages else {
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
        guard let source = exchange.pointee.file else { return }
        guard exchange.pointee.client.pointee.transport.isStream else {
            pumpStagedFile(exchange, source, stages, behind: writer)
            return
        }
        guard sendBeginning(exchange, headBytes: writer.count, writer.count, isWhole: false) else { return }
        pumpStagedFile(exchange, source, stages, behind: ByteWriter(output, capacity: outputBytes))
    }

    /// Moves the file on, as far as the client takes it.
    ///
    /// - Parameter front: what stands before its first bytes: its head, or nothing.
    func pumpStagedFile(
        _ exchange: ExchangePointer, _ source: FileSource, _ stages: BodyStages, behind front: ByteWriter
    ) {
        let client = exchange.pointee.client
        var front = front
        var moved = 0
        while !exchange.pointee.responseBody.isDone || stagesAreBusy(exchange) {
            // A head that stands in `front` goes in any case: it is not kept anywhere else.
            if front.count == 0 && client.pointee.transport.isBlocked {
                armDeadlines(exchange)
                return
            }
            if moved >= Self.stagedTurnBytesMax {
                goOnNextTurn(exchange)
                return
            }
            var count = 0
            if !stages.isBusy && !exchange.pointee.responseBody.isDone {
                let rest = exchange.pointee.responseBody.remaining
                count = source.file.read(
                    input, Int(min(rest, UInt64(Self.inputBytes))), at: exchange.pointee.responseBody.count)
                guard count > 0 else {
                    if front.count > 0 {
                        // Not a byte is out yet: this can still be said.
                        exchange.pointee.responseStarted = false
                        exchange.pointee.isLocal = false
                        dropResponseStages(exchange)
                        closeFile(exchange)
                    }
                    readFailed(exchange, errno: Int32(-count))
                    return
                }
            }
            let relayed = relayStaged(exchange, stages, input, count, flush: false, behind: front)
            moved += max(count, relayed.sent)
            front = ByteWriter(output, capacity: outputBytes)
            exchange.pointee.bytesOut += UInt64(relayed.sent)
            if relayed.errno != 0 {
                exchange.clientEnded(errno: relayed.errno)
                return
            }
            if let failure = relayed.failure {
                stageFailed(exchange, failure)
                return
            }
            touch(client, exchange)
        }
        exchange.pointee.responseDone = true
        fileSent(exchange)
    }
}
