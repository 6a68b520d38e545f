// What Weir itself says to a gRPC client: a status in its own words, and its deadline kept.
//
// A gRPC client looks at `grpc-status`, not at the HTTP status (gRPC over HTTP/2, "Responses"): a failure
// becomes a response of one head, status 200, with the code that stands for its reason
// (GRPC/Status.swift). Calls pass through Weir as any other request does.

import GRPC
import HTTPModel
import Reactor
import Resilience

extension Worker {
    /// Which kind of gRPC this request is, nil for anything else.
    func grpcKind(_ exchange: ExchangePointer) -> GRPCKind? {
        guard exchange.pointee.request.version >= .http2, let view = view(exchange) else { return nil }
        for i in 0..<Int(view.head.pointee.fieldCount) where view.fields[i].id == .contentType {
            return GRPCContentType(view.fields[i].value.bytes(in: view.bytes))?.kind
        }
        return nil
    }

    /// Ends the exchange when the client has stopped waiting for it.
    func keepDeadline(_ exchange: ExchangePointer) {
        guard exchange.pointee.request.version >= .http2, exchange.pointee.request.acceptsTrailers,
            let text = view(exchange)?.field(named: "grpc-timeout"), let timeout = GRPCTimeout(text)
        else { return }
        let timeoutMs = max(timeout.nanoseconds / 1_000_000, 1)
        let totalMs = exchange.pointee.route?.totalTimeoutMs ?? 0
        if totalMs == 0 || timeoutMs < totalMs { setTotalDeadline(exchange, afterMs: timeoutMs) }
    }

    func answerGRPC(_ exchange: ExchangePointer, _ reason: Reason, _ kind: GRPCKind) {
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, 200, &writer)
        let name = reason.name
        GRPCFields.writeTrailersOnly(
            reason.grpcStatus,
            message: UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount), kind: kind,
            &writer)
        writeFailureFields(exchange, reason, &writer)
        endAnswer(exchange, 200, nil, &writer)
    }
}
