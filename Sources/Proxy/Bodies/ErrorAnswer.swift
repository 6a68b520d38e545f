// Answers in place of errors (`errors`): in the form the client takes, with what the text wants to know.
//
// The status and the fields stay those of the error; only the body and its type are the configuration's. An
// endpoint's own answer is replaced where the entry says so, before a byte of it has gone to the client.

import Compression
import HTTP1
import HTTPModel
import Reactor
import Resilience
import Routing

extension Worker {
    /// What stands for a status here; nil: nothing does.
    func page(_ exchange: ExchangePointer, _ status: UInt16) -> PagePlan? {
        exchange.route?.errors?[status] ?? exchange.pointee.listener.errors?[status]
    }

    /// Ends an answer, whose fields stand in `writer` up to the type of its body, with a page, or has a service
    /// do it. False: the text does not fit where a body may stand, or the service cannot be asked, and nothing
    /// was written.
    ///
    /// - Parameter start: where the fields of the error begin.
    func endAnswer(
        _ exchange: ExchangePointer, _ status: UInt16, _ page: PagePlan, _ reason: Reason, from start: Int,
        _ writer: inout ByteWriter
    ) -> Bool {
        let bodies: PageBodies
        switch page.source {
        case .service(let page): return fetchPage(exchange, page, status, reason, from: start, &writer)
        case .bodies(let own): bodies = own
        }
        let body = bodies.body(for: view(exchange))
        switch body.content {
        case .fixed(let bytes, let coded):
            writeType(body, of: bodies, &writer)
            let sent =
                coded.map { chosenBody(exchange, $0, status: status, type: body.type, bytes, &writer) }
                ?? bytes
            endAnswer(exchange, status, sent.bytes, &writer)
        case .template(let template):
            guard let rendered = rendered(template, exchange, status, reason) else { return false }
            writeType(body, of: bodies, &writer)
            endAnswer(
                exchange, status, UnsafeBufferPointer(start: rendered.readable, count: rendered.count),
                &writer)
            buffers.give(rendered)
        }
        return true
    }

    private func writeType(_ body: PageBodies.Body, of bodies: PageBodies, _ writer: inout ByteWriter) {
        writer.append("content-type: ")
        writer.append(body.type.bytes)
        writer.append("\r\n")
        if bodies.isChosen { writer.append("vary: accept\r\n") }
    }

    /// The text with its variables filled in; the caller gives the buffer back. Nil: it is too long.
    private func rendered(
        _ template: Template, _ exchange: ExchangePointer, _ status: UInt16, _ reason: Reason
    ) -> BufferPointer? {
        let error = ErrorView(status: status, phrase: reasonPhrase(status), reason: reason.name)
        return withUnsafePointer(to: error) { error in
            // Few texts are longer than what the pool keeps.
            for capacity in [64 << 10, PageBodies.bytesMax] {
                let buffer = buffers.take(capacity)
                var writer = ByteWriter(buffer.base, capacity: capacity)
                if let view = view(exchange) {
                    render(template, exchange, view, &writer, error: error)
                } else {
                    // Nothing is known of a head that could not be read, but on what connection it came.
                    exchange.pointee.origin.isSecure = exchange.pointee.client.pointee.transport.isEncrypted
                    withUnsafePointer(to: RequestHead()) { head in
                        let nothing = RequestView(
                            bytes: UnsafePointer(output), head: head, fields: UnsafePointer(fieldScratch))
                        render(template, exchange, nothing, &writer, error: error)
                    }
                }
                buffer.pointee.end = UInt32(writer.count)
                if !writer.overflowed { return buffer }
                buffers.give(buffer)
            }
            return nil
        }
    }

    /// Puts a page in the place of an endpoint's answer, where the configuration wants that for its status.
    ///
    /// - Parameter behind: bytes that have come behind the head.
    /// - Returns: false: the answer goes to the client as it is.
    func replaceAnswer(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ head: ResponseHead,
        _ base: UnsafeMutablePointer<UInt8>, _ behind: Int
    ) -> Bool {
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
        for i in 0..<Int(head.fieldCount) where Self.belongs(fieldScratch[i], to: head.status, base) {
            writer.appendField(fieldScratch[i], base)
        }
        if head.status == 426 { writeUpgradeOffer(exchange, head, base, &writer) }
        discardAnswer(exchange, upstream, head, base, behind)
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
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ head: ResponseHead,
        _ base: UnsafeMutablePointer<UInt8>, _ behind: Int
    ) {
        let isWhole = Self.isWhole(head, base + Int(head.byteCount), behind)
        endAttempt(exchange, .none)
        if let buffer = upstream.pointee.input {
            buffers.give(buffer)
            upstream.pointee.input = nil
        }
        letGo(exchange, upstream, reusable: isWhole && head.allowsKeepAlive)
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
