// Answers in place of errors (`errors`): in the form the client takes, with what the text wants to know.
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
    /// What stands for a status here; nil: nothing does.
    func page(_ exchange: ExchangePointer, _ status: UInt16) -> PagePlan? {
        exchange.route?.errors?[status] ?? exchange.pointee.listener.errors?[status]
    }

    /// Ends an answer, whose fields stand in `writer` up to the type of its body, with a page that is known.
    /// False: the text does not fit where a body may stand, and nothing was written.
    func endAnswer(
        _ exchange: ExchangePointer, _ status: UInt16, _ bodies: PageBodies, _ reason: Reason,
        _ writer: inout ByteWriter
    ) -> Bool {
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
}
