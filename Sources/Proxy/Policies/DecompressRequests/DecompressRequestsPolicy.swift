// decompress-requests: request bodies leave their coding before they go to an endpoint (Bodies/Decompress.swift). What
// cannot be decoded is refused before its body is read.

import WeirCompression
import WeirHTTPModel
import WeirResilience

public final class DecompressRequestsPolicy: Policy, @unchecked Sendable {
    /// - Parameter text: for `weir explain`.
    public init(text: String) {
        super.init("decompress-requests", text, [.admit, .requestHead], for: .body)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        worker.prepareDecoding(exchange)
    }

    override func requestHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: RequestDraft, _ writer: inout ByteWriter
    ) {
        guard exchange.pointee.isDecoded else { return }
        FieldLines.takeOut(from: draft.start, &writer) { name, count in
            equals(name, count, lowercase: "content-encoding")
                || RequestCoding.describesCodedBytes(name, count)
        }
    }
}

/// Its second step, when the body is held: what is small when decoded is decoded before an endpoint is chosen.
public final class DecodeHeldPolicy: Policy, @unchecked Sendable {
    private let bytesMax: Int

    /// - Parameter bytesMax: most decoded bytes that are held.
    public init(bytesMax: Int) {
        self.bytesMax = bytesMax
        super.init("decompress-requests", "what is held, up to \(bytesMax) bytes", .admit, for: .body)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        exchange.sendsStaged ? worker.stageHeld(exchange, bytesMax: bytesMax) : .pass
    }
}
