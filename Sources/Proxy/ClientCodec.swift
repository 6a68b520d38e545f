// How a response is put for the client's version of HTTP.
//
// The phases write a head's fields as lines; where it begins, how it ends, how the body is framed and
// what is said about the connection depends on the version, and is decided here.

import HTTP1
import HTTPModel
import Reactor
import Resilience
import Telemetry

extension Worker {
    /// Begins a response head.
    func beginResponseHead(
        _ exchange: ExchangePointer, _ status: UInt16, reason: StaticString, _ writer: inout ByteWriter
    ) {
        beginResponseHead(
            exchange, status,
            reason: UnsafeBufferPointer(start: reason.utf8Start, count: reason.utf8CodeUnitCount), &writer)
    }

    func beginResponseHead(
        _ exchange: ExchangePointer, _ status: UInt16, reason: UnsafeBufferPointer<UInt8>,
        _ writer: inout ByteWriter
    ) {
        writer.append("HTTP/1.1 ")
        writer.append(decimal: UInt64(status))
        writer.append(0x20)
        writer.append(reason)
        writer.append("\r\n")
    }

    /// Ends a response head: the body's framing, and what happens to the connection where the version's
    /// default is the other thing.
    func endResponseHead(_ exchange: ExchangePointer, _ writer: inout ByteWriter) {
        if exchange.pointee.clientChunked { writer.append("transfer-encoding: chunked\r\n") }
        if exchange.pointee.upgrade == .open {
            if exchange.pointee.status == 101, let token = view(exchange)?.field(named: "upgrade") {
                writer.append("connection: upgrade\r\nupgrade: ")
                writer.append(token)
                writer.append("\r\n")
            }
        } else if exchange.pointee.client.pointee.closeAfterResponse {
            writer.append("connection: close\r\n")
        } else if exchange.pointee.request.version == .http10 {
            writer.append("connection: keep-alive\r\n")
        }
        writer.append("\r\n")
    }

    /// Sends a head that stands in `output` with the first bytes of its body. False: stop.
    func sendResponse(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ writer: inout ByteWriter,
        _ body: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> Bool {
        let relayed = relay(
            &exchange.pointee.responseBody, body, count, chunked: exchange.pointee.clientChunked,
            prefixCount: writer.count, to: &exchange.pointee.client.pointee.transport)
        if let buffer = upstream.pointee.input {
            buffers.give(buffer)
            upstream.pointee.input = nil
        }
        // Wrong from the first bytes of the body: the head is not out yet, so this can still be a 502.
        if relayed.violation != nil && relayed.sent == 0 { exchange.pointee.responseStarted = false }
        return checkRelayed(exchange, upstream, relayed, extra: count - relayed.consumed)
    }
}
