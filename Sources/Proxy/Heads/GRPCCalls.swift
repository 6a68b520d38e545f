// What Weir knows of a gRPC call: its deadline, and how to say a failure in gRPC's own words.
//
// A gRPC client looks at `grpc-status`, not at the HTTP status (gRPC over HTTP/2, "Responses"): a failure
// becomes a response of one head, status 200, with the code that stands for its reason
// (GRPC/Status.swift). A deadline (`grpc-timeout`) is a duration, so each attempt is told what is left of it.
// Apart from that calls pass through Weir as any other request does.

import WeirGRPC
import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// The form a gRPC client wants its answer in; nil for a request that is no gRPC.
    func grpcKind(_ exchange: ExchangePointer) -> GRPCKind? {
        guard let kinds = view(exchange)?.grpcKinds else { return nil }
        // Without trailers there is no gRPC; gRPC-Web is made for any version.
        return kinds.request == .grpc && !exchange.pointee.request.version.hasStreams ? nil : kinds.response
    }

    /// Whether the request is a gRPC call to somebody who can answer one.
    func isCall(_ exchange: ExchangePointer) -> Bool {
        exchange.service?.streams != nil && grpcKind(exchange) == .grpc
    }

    /// Ends the exchange when the client of a call has stopped waiting for it, as far as it says when.
    func keepCallDeadline(_ exchange: ExchangePointer) {
        guard let text = view(exchange)?.field(named: "grpc-timeout"), let timeout = GRPCTimeout(text)
        else { return }
        let timeoutMs = max(timeout.nanoseconds / 1_000_000, 1)
        let totalMs = exchange.route?.totalTimeoutMs ?? 0
        if totalMs == 0 || timeoutMs < totalMs { setTotalDeadline(exchange, afterMs: timeoutMs) }
        let leftNs = totalMs == 0 ? timeout.nanoseconds : min(timeout.nanoseconds, totalMs * 1_000_000)
        let (deadlineNs, isEndless) = nowNs.addingReportingOverflow(leftNs)
        exchange.pointee.callDeadlineNs = isEndless ? .max : deadlineNs
    }

    /// Tells an attempt what is left of a call's deadline: in the lines that stand in `writer` from `start` on.
    func writeCallDeadline(_ exchange: ExchangePointer, from start: Int, _ writer: inout ByteWriter) {
        FieldLines.rewrite(from: start, &writer) {
            equals($0, $1, lowercase: "grpc-timeout")
        } write: { _, writer in
            // A deadline that passes in this moment is a short one, not none.
            let deadlineNs = exchange.pointee.callDeadlineNs
            writer.append("grpc-timeout: ")
            GRPCTimeout(nanoseconds: deadlineNs > nowNs ? deadlineNs - nowNs : 1).write(&writer)
            writer.append("\r\n")
        }
    }
}

extension RequestView {
    /// Which form of gRPC a request is in, and in which its answer has to be; nil for any other request.
    var grpcKinds: (request: GRPCKind, response: GRPCKind)? {
        var request: GRPCKind?
        var accept = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        for i in 0..<Int(head.pointee.fieldCount) {
            switch fields[i].id {
            case .contentType where request == nil:
                guard let type = GRPCContentType(fields[i].value.bytes(in: bytes)) else { return nil }
                request = type.kind
            case .accept where accept.isEmpty: accept = fields[i].value.bytes(in: bytes)
            default: break
            }
        }
        guard let request else { return nil }
        return (request, GRPCContentType.responseKind(request: request, accept: accept))
    }
}
