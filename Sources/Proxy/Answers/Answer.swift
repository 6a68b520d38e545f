// Responses Weir makes itself: redirects, fixed responses, and failures, which always say who they
// are from, why, and which request they answer.

import WeirCompression
import WeirGRPC
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    /// A response from the configuration.
    func answer(
        _ exchange: ExchangePointer, status: UInt16, location: Template?, contentType: StaticBytes?,
        body: StaticBytes?, coded: CodedBodies?
    ) {
        var body = body
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, status, &writer)
        if let location, let view = view(exchange) {
            writer.append("location: ")
            render(location, exchange, view, &writer)
            writer.append("\r\n")
        }
        if let contentType, let plain = body, plain.count > 0 {
            writer.append("content-type: ")
            writer.append(contentType.bytes)
            writer.append("\r\n")
            if let coded {
                body = chosenBody(exchange, coded, status: status, type: contentType, plain, &writer)
            }
        }
        endAnswer(exchange, status, body?.bytes, &writer)
    }

    /// The body in the coding the client wants most, with the fields that say so.
    func chosenBody(
        _ exchange: ExchangePointer, _ coded: CodedBodies, status: UInt16, type: StaticBytes,
        _ body: StaticBytes, _ writer: inout ByteWriter
    ) -> StaticBytes {
        guard let view = view(exchange) else { return body }
        let decision = coded.rule.decide(
            request: view, status: status, type: type.bytes, byteCount: UInt64(body.count))
        guard let coding = decision.coding, let bytes = coded.body(in: coding) else {
            decision.asItIs.writeAdded(&writer)
            return body
        }
        decision.writeAdded(&writer)
        return bytes
    }

    /// Ends the answer to an error with what there is to say about it; nothing where an endpoint's own answer is
    /// replaced, and it failed in nothing.
    func endAnswer(
        _ exchange: ExchangePointer, _ status: UInt16, inWordsOf failure: Failure, _ writer: inout ByteWriter
    ) {
        let reason = failure.reason
        if reason == .none {
            endAnswer(exchange, status, nil, &writer)
            return
        }
        writer.append("content-type: text/plain; charset=utf-8\r\n")
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 512) { room in
            guard let start = room.baseAddress else { return }
            var body = ByteWriter(start, capacity: room.count)
            body.append(decimal: UInt64(status))
            body.append(" ")
            body.append(reasonPhrase(status))
            body.append("\n")
            body.append(reason.name)
            if reason == .requestCodingMalformed || reason == .requestDecodedTooLarge {
                if let error = failure.detail.own(.contentCoding).flatMap(DecodeError.init(rawValue:)) {
                    body.append(": ")
                    body.append(error.text)
                }
            } else if reason == .requestBodyTooLarge {
                body.append(": limits.body is ")
                body.append(decimal: exchange.pointee.requestBody.countMax)
                body.append(" bytes")
            } else if let violation = failure.detail.own(.http1).flatMap(Violation.init(rawValue:)) {
                body.append(": ")
                body.append(violation.text)
                body.append(" (")
                body.append(violation.section)
                if failure.position >= 0 {
                    body.append(", byte ")
                    body.append(decimal: UInt64(failure.position))
                }
                body.append(")")
            }
            body.append("\nThis response was made by Weir. Request ")
            appendID(exchange, &body)
            body.append("\n")
            endAnswer(exchange, status, UnsafeBufferPointer(start: start, count: body.count), &writer)
        }
    }

    /// The fields that say who answered, why, and which request.
    func writeFailureFields(_ exchange: ExchangePointer, _ reason: Reason, _ writer: inout ByteWriter) {
        writer.append("proxy-status: weir; error=")
        writer.append(reason.proxyStatus)
        writer.append("; details=\"")
        writer.append(reason.name)
        writer.append("\"\r\n")
        writeRequestID(exchange, &writer)
    }

    func writeRequestID(_ exchange: ExchangePointer, _ writer: inout ByteWriter) {
        writer.append("x-request-id: ")
        appendID(exchange, &writer)
        writer.append("\r\n")
    }

    private func appendID(_ exchange: ExchangePointer, _ writer: inout ByteWriter) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { room in
            guard let start = room.baseAddress else { return }
            writer.append(start, RequestID(high: identity, low: exchange.pointee.sequence).write(to: start))
        }
    }

    /// The methods that are routed for this target, where only some are.
    func writeAllow(_ exchange: ExchangePointer, _ writer: inout ByteWriter) {
        guard let view = view(exchange) else { return }
        let methods = withContext(exchange, view, time: true, certificate: true) { context in
            withUnsafePointer(to: context) {
                exchange.pointee.listener.router.allowedMethods(view, context: $0)
            }
        }
        guard !methods.isEmpty else { return }
        writer.append("allow: ")
        for (i, method) in methods.enumerated() {
            if i > 0 { writer.append(", ") }
            writer.append(method)
        }
        writer.append("\r\n")
    }

    func beginAnswer(_ exchange: ExchangePointer, _ status: UInt16, _ writer: inout ByteWriter) {
        exchange.pointee.isLocal = true
        // An answer in place of an endpoint's, whose head was ready, is not framed as that one was.
        exchange.pointee.clientChunked = false
        exchange.pointee.status = status
        exchange.pointee.headUs = UInt32(truncatingIfNeeded: (nowNs &- exchange.pointee.startNs) / 1000)
        if !exchange.pointee.requestBody.isDone || isDraining {
            exchange.pointee.client.pointee.closeAfterResponse = true
        }
        beginResponseHead(exchange, status, reason: reasonPhrase(status), &writer)
        writer.append("server: weir\r\n")
        writeDate(&writer)
    }

    func endAnswer(
        _ exchange: ExchangePointer, _ status: UInt16, _ body: UnsafeBufferPointer<UInt8>?,
        _ writer: inout ByteWriter
    ) {
        let hasBody = status != 204 && status != 304
        if hasBody {
            writer.append("content-length: ")
            writer.append(decimal: UInt64(body?.count ?? 0))
            writer.append("\r\n")
        }
        endResponseHead(exchange, .weir, &writer)
        let sent = hasBody && exchange.pointee.request.method != .head ? body : nil
        exchange.pointee.responseDone = true
        let client = exchange.pointee.client
        guard sendWhole(exchange, &writer, body: sent) else { return }
        if !client.pointee.transport.isBlocked {
            exchange.finish()
        } else {
            armDeadlines(exchange)
        }
    }

    /// A failure in gRPC's own words: one head, with the code that stands for its reason.
    func answerGRPC(_ exchange: ExchangePointer, _ failure: Failure, _ kind: GRPCKind) {
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, 200, &writer)
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { room in
            guard let start = room.baseAddress else { return }
            var message = ByteWriter(start, capacity: room.count)
            message.append(failure.reason.name)
            if let error = failure.detail.own(.grpcWeb).flatMap(GRPCWebError.init(rawValue:)) {
                message.append(": ")
                message.append(error.text)
            }
            GRPCFields.writeTrailersOnly(
                failure.reason.grpcStatus,
                message: UnsafeBufferPointer(start: start, count: message.count), kind: kind, &writer)
        }
        writeFailureFields(exchange, failure.reason, &writer)
        endAnswer(exchange, 200, nil, &writer)
    }
}
