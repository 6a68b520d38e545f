// Compression on the way to the client: the stage that encodes a response's body. Fixed responses are coded when they are
// configured (CodedBodies.swift).
//
// Which response, and what its fields become, is judged in the Compression module. A body that is coded
// keeps its reader and its trailers and gets another length: chunks, the end of a stream, or the
// connection's end for clients of HTTP/1.0. What the encoder holds back goes out when the endpoint has
// nothing more to say at the moment and the body is of unknown length: it may be a live stream.

import WeirCompression
import WeirHTTPModel
import WeirResilience

final class EncodeStage: BodyStage {
    private var encoder: Encoder?
    private let isLive: Bool

    init(_ encoder: Encoder, flushesWhenIdle: Bool) {
        self.encoder = encoder
        isLive = flushesWhenIdle
    }

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        guard let encoder else { return StageStep(failure: .limit(.memory)) }
        let mode: FlushMode =
            switch input.mode {
            case .finish: .finish
            case .flush where encoder.hasUnflushed: .flush
            case .flush, .more: .none
            }
        if input.count == 0 && mode == .none { return StageStep() }
        let step = encoder.write(input.bytes, input.count, into: room, capacity: capacity, mode: mode)
        return StageStep(
            consumed: step.consumed, produced: step.produced, hasMore: step.hasMore,
            failure: step.hasFailed ? .limit(.memory) : nil)
    }

    override var flushesWhenIdle: Bool { isLive }

    override func end(_ worker: Worker) {
        guard let encoder else { return }
        self.encoder = nil
        worker.metrics.cell(worker: worker.index).encoded(
            encoder.coding, bytesIn: encoder.bytesIn, bytesOut: encoder.bytesOut)
        worker.encoders.give(encoder)
    }
}

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
        add(EncodeStage(encoder, flushesWhenIdle: decision.flushesWhenIdle), toResponseOf: exchange)
        exchange.pointee.responseBody.dropsDigests = true
        frameResponse(exchange)
        return true
    }
}
