// Decompression on the way to the endpoint: the stage that takes request bodies out of their coding where a route asks
// for it.
//
// A body that was held whole and is small when decoded is decoded before an endpoint is chosen (`stageHeld`): it goes out
// with its length, a bad one never reaches an endpoint, and another attempt sends the same bytes. Every
// other body is decoded as it is sent, in blocks: a few bytes can be GiB, so no more is produced than the
// endpoint takes, than one turn of the loop may cost, and than the route's bounds allow. An attempt that is repeated
// decodes afresh what is held. Which bodies, and the bounds themselves, are in the Compression module.

import WeirCompression
import WeirHTTPModel
import WeirResilience

final class DecodeStage: BodyStage {
    private let coding: DecodedCoding
    private let limits: DecoderLimits
    /// Made with an attempt: memory for the others is short.
    private var decoder: Decoder?

    init(_ coding: DecodedCoding, _ limits: DecoderLimits) {
        self.coding = coding
        self.limits = limits
    }

    override func write(
        _ input: StageInput, into room: UnsafeMutablePointer<UInt8>, _ capacity: Int
    ) -> StageStep {
        guard let decoder else { return StageStep(failure: Self.stageFailure(.noMemory)) }
        let read = decoder.read(input.bytes, input.count, into: room, capacity: capacity)
        var error = read.error
        if error == nil, !read.hasMore {
            if read.consumed < input.count {
                error = .malformed
            } else if input.mode == .finish {
                error = decoder.finish()
            }
        }
        return StageStep(
            consumed: read.consumed, produced: read.produced, hasMore: read.hasMore,
            failure: error.map(Self.stageFailure))
    }

    override func forget() {
        decoder?.destroy()
        decoder = nil
    }

    override func restart(_ worker: Worker) -> Bool {
        forget()
        decoder = Decoder.make(coding, limits: limits, memory: worker.decoderMemory)
        return decoder != nil
    }

    override func end(_ worker: Worker) {
        guard let decoder else { return }
        self.decoder = nil
        worker.metrics.cell(worker: worker.index).decoded(
            decoder.coding, bytesIn: decoder.bytesIn, bytesOut: decoder.bytesOut)
        decoder.destroy()
    }

    /// A body that cannot be decoded, or not within the route's bounds.
    private static func stageFailure(_ error: DecodeError) -> StageFailure {
        switch error {
        case .tooLarge, .ratioExceeded: StageFailure(reason: .requestDecodedTooLarge, detail: Detail(error))
        case .noMemory: .limit(.memory)
        case .malformed, .truncated, .trailingBytes, .windowTooLarge:
            StageFailure(reason: .requestCodingMalformed, detail: Detail(error))
        }
    }
}

extension Worker {
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
            guard let limits = exchange.route?.decompression else { return .pass }
            add(DecodeStage(coding, limits), toRequestOf: exchange)
            exchange.pointee.isDecoded = true
            exchange.pointee.requestBody.dropsDigests = true
            return .pass
        }
    }
}
