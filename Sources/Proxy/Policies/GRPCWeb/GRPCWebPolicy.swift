// grpc-web: browsers' calls go to gRPC endpoints and back. The heads are seen to here, the bodies in
// Bodies/WebBridge.swift, and what the forms look like is said in the GRPC module.

import WeirHTTPModel
import WeirResilience

public final class GRPCWebPolicy: Policy, @unchecked Sendable {
    public init() { super.init("grpc-web", "on", [.admit, .requestHead, .responseHead]) }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        worker.beginBridge(exchange)
        // Browsers cannot say that they take trailers.
        if exchange.pointee.web != nil, !exchange.pointee.traits.contains(.call) {
            worker.keepCallDeadline(exchange)
        }
        return .pass
    }

    override func requestHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: RequestDraft, _ writer: inout ByteWriter
    ) {
        if exchange.pointee.web != nil { worker.writeBridgedRequest(from: draft.start, &writer) }
    }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        guard exchange.pointee.web != nil, case .endpoint(let response) = draft.source else { return }
        worker.bridgeResponse(exchange, response, from: draft.start, &writer)
    }
}
