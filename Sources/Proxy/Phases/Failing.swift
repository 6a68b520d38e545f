// What a client gets in place of a response: for a failure, or for an endpoint's answer that is not wanted.
//
// The status and the fields stay those of the error; only the body and its type are the configuration's. An
// endpoint's own answer is replaced where the entry says so, before a byte of it has gone to the client.

import WeirCompression
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting

extension Worker {
    /// The response to a failure: its status, `Proxy-Status` (RFC 9209), the request id, and a body in
    /// plain words.
    func answer(_ exchange: ExchangePointer, failure: Failure) {
        let reason = failure.reason
        if let kind = grpcKind(exchange) {
            answerGRPC(exchange, failure, kind)
            return
        }
        let status = failure.status
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, status, &writer)
        let fields = writer.count
        writeFailureFields(exchange, reason, &writer)
        if reason == .methodNotAllowed { writeAllow(exchange, &writer) }
        if reason == .fileMethodNotAllowed { writer.append("allow: GET, HEAD, OPTIONS\r\n") }
        if reason == .requestCodingUnsupported {
            writer.append("accept-encoding: ")
            writer.append(RequestCoding.accepted)
            writer.append("\r\n")
        }
        if status == 503 { writer.append("retry-after: 1\r\n") }
        if let page = page(exchange, status),
            endAnswer(exchange, status, page, reason, from: fields, &writer)
        {
            return
        }
        endAnswer(exchange, status, inWordsOf: failure, &writer)
    }

    /// Ends an answer, whose fields stand in `writer` up to the type of its body, with a page, or has a service
    /// do it. False: neither can be, and nothing was written.
    ///
    /// - Parameter start: where the fields of the error begin.
    private func endAnswer(
        _ exchange: ExchangePointer, _ status: UInt16, _ page: PagePlan, _ reason: Reason, from start: Int,
        _ writer: inout ByteWriter
    ) -> Bool {
        switch page.source {
        case .service(let page): fetchPage(exchange, page, status, reason, from: start, &writer)
        case .bodies(let bodies): endAnswer(exchange, status, bodies, reason, &writer)
        }
    }

    /// Puts a page in the place of an endpoint's answer, where the configuration wants that for its status.
    ///
    /// - Parameter count: bytes that have come, from the head's first on.
    /// - Returns: false: the answer goes to the client as it is.
    func replaceAnswer(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int
    ) -> Bool {
        let head = response.head
        guard exchange.pointee.lentRoute?({ $0.mayReplaceAnswers }) ?? false,
            let page = page(exchange, head.status), page.replacesAnswers, grpcKind(exchange) == nil
        else { return false }
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, head.status, &writer)
        let fields = writer.count
        // Whose status it is (RFC 9209 §2.1.4).
        writer.append("proxy-status: weir; received-status=")
        writer.append(decimal: UInt64(head.status))
        writer.append("\r\n")
        writeRequestID(exchange, &writer)
        for i in 0..<Int(head.fieldCount)
        where Self.belongs(response.fields[i], to: head.status, response.bytes) {
            writer.appendField(response.fields[i], response.bytes)
        }
        if head.status == 426 { writeUpgradeOffer(exchange, response, &writer) }
        discardAnswer(exchange, upstream, response, count)
        if !endAnswer(exchange, head.status, page, .none, from: fields, &writer) {
            endAnswer(exchange, head.status, inWordsOf: .none, &writer)
        }
        return true
    }

    /// Fields without which the status does not say what the client has to do next.
    private static func belongs(
        _ field: Field, to status: UInt16, _ base: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        switch status {
        case 401: field.id == .wwwAuthenticate
        case 405: equals(base + Int(field.nameOffset), Int(field.nameCount), lowercase: "allow")
        case 413, 429, 503: field.id == .retryAfter
        default: false
        }
    }

    /// The attempt is over, and what is left of its answer is not read: a connection that has more to say ends.
    func discardAnswer(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int
    ) {
        let body = response.body(of: count)
        let isWhole = Self.isWhole(response.head, body.bytes, body.count)
        endAttempt(exchange.attempt, .none)
        if let buffer = upstream.pointee.input {
            buffers.give(buffer)
            upstream.pointee.input = nil
        }
        letGo(exchange.attempt, upstream, reusable: isWhole && response.head.allowsKeepAlive)
    }

    /// Whether the body of a response is what came with its head, all of it and nothing else.
    private static func isWhole(_ head: ResponseHead, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        switch head.framing {
        case .none: return count == 0
        case .length: return head.contentLength == UInt64(count)
        case .chunked:
            var decoder = ChunkedDecoder()
            var at = 0
            while true {
                switch decoder.next(bytes, count: count, at: &at) {
                case .data: continue
                case .end: return at == count
                default: return false
                }
            }
        default: return false
        }
    }
}
