// OPTIONS and TRACE that are not to be passed on any further (RFC 9110 §7.6.2).
//
// A client that traces its way through a chain of proxies says with Max-Forwards how many of them may
// pass the request on. At 0 it is answered here as its last recipient would: OPTIONS with the methods
// that are routed, TRACE with the request as it arrived, without what identifies its sender (§9.3.8).

import WeirHTTPModel
import Reactor

extension Worker {
    /// Whether a request that counts its hops ends here, and has its answer.
    func answeredAsLastHop(_ exchange: ExchangePointer) -> Bool {
        guard let view = view(exchange), let field = view.field(named: "max-forwards"),
            let forwards = MaxForwards(field), forwards.next == nil
        else { return false }
        var writer = ByteWriter(output, capacity: outputBytes)
        beginAnswer(exchange, 200, &writer)
        if exchange.pointee.request.method == .options {
            writeAllow(exchange, &writer)
            endAnswer(exchange, 200, nil, &writer)
            return true
        }
        writer.append("content-type: message/http\r\n")
        let room = Int(view.head.pointee.byteCount) + 4 * Int(view.head.pointee.fieldCount) + 64
        let body = buffers.take(room)
        var message = ByteWriter(body.base, capacity: room)
        writeTraced(view, &message)
        endAnswer(
            exchange, 200, UnsafeBufferPointer(start: UnsafePointer(body.base), count: message.count), &writer
        )
        buffers.give(body)
        return true
    }

    private func writeTraced(_ view: RequestView, _ writer: inout ByteWriter) {
        let request = view.head.pointee
        writer.append(request.methodName.bytes(in: view.bytes))
        writer.append(0x20)
        writer.append(request.target.bytes(in: view.bytes))
        writer.append(" HTTP/1.1\r\n")
        for i in 0..<Int(request.fieldCount) {
            let field = view.fields[i]
            let name = view.bytes + Int(field.nameOffset)
            if Self.secretFields.contains(where: { equals(name, Int(field.nameCount), lowercase: $0) }) {
                continue
            }
            writer.appendField(field, view.bytes)
        }
        writer.append("\r\n")
    }

    private static let secretFields: [StaticString] = ["authorization", "proxy-authorization", "cookie"]
}
