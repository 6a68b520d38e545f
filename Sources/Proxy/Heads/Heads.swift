// Writing heads: what goes to the endpoint and what goes to the client.
//
// Both are written field by field from the parsed form. Fields that end at this hop never pass
// (RFC 9110 §7.6.1); framing is ours (RFC 9112 §6); who the client is, is told afresh.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import WeirProxyProtocol
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    // MARK: to the endpoint

    /// Writes request line, host and fields; what belongs to the body's framing and to the connection
    /// follows in `endRequestHead`. Nil: there is none to be written.
    func writeRequestHead(
        _ exchange: ExchangePointer, _ view: RequestView, _ writer: inout ByteWriter
    ) -> WrittenRequest? {
        guard let route = exchange.pointee.lentRoute else {
            return exchange.pointee.pageFetch.map { writeRequestHead(exchange, for: $0, view, &writer) }
                ?? writeCall(view, &writer)
        }
        return route { writeRequestHead(exchange, $0, view, &writer) }
    }

    private func writeRequestHead(
        _ exchange: ExchangePointer, _ route: RoutePlan, _ view: RequestView, _ writer: inout ByteWriter
    ) -> WrittenRequest {
        let request = view.head.pointee
        var written = WrittenRequest(method: request.methodName.bytes(in: view.bytes), &writer)
        written.target = UpstreamTarget.write(
            request, view.bytes, route.rewrite, scratch: routeScratch, into: &writer
        ) { template, groups, writer in
            render(template, exchange, view, &writer, groups: groups)
        }
        written.endTarget(&writer)
        writeHost(exchange, route, view, &writer)
        written.endHost(&writer)

        let forwarding = exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef { $0.forwarding }
        // What somebody says about the client who is not trusted to.
        let distrusts = !exchange.pointee.peerIsTrusted
        let countsHops = request.method.countsHops
        for i in 0..<Int(request.fieldCount) {
            let field = view.fields[i]
            if field.isHopByHop { continue }
            switch field.id {
            case .host, .contentLength, .expect: continue
            case .xForwardedFor, .xForwardedProto, .xForwardedHost:
                if forwarding.xForwarded || distrusts { continue }
            case .forwarded: if forwarding.forwarded || distrusts { continue }
            case .xForwardedPort, .xRealIP: if distrusts { continue }
            case .other:
                if distrusts,
                    FieldNames.isForwarded(view.bytes + Int(field.nameOffset), Int(field.nameCount))
                {
                    continue
                }
            case .via: if forwarding.via { continue }
            default: break
            }
            if countsHops && writeHops(field, view.bytes, &writer) { continue }
            writer.appendField(field, view.bytes)
        }
        writeForwarding(exchange, view, forwarding, &writer)
        if exchange.pointee.callDeadlineNs != 0 {
            writeCallDeadline(exchange, from: written.fieldsStart, &writer)
        }
        if exchange.pointee.hooks.contains(.requestHead) {
            let draft = RequestDraft(view: view, start: written.fieldsStart)
            eachStep(exchange, at: .requestHead) { $0.requestHead(self, exchange, draft, &writer) }
        }
        return written
    }

    /// A call's head goes as it was given. Framing, and the body's, is ours.
    @inline(never)
    private func writeCall(_ view: RequestView, _ writer: inout ByteWriter) -> WrittenRequest {
        let request = view.head.pointee
        var written = WrittenRequest(method: request.methodName.bytes(in: view.bytes), &writer)
        writer.append(request.target.bytes(in: view.bytes))
        written.endTarget(&writer)
        writer.append(request.authority.bytes(in: view.bytes))
        written.endHost(&writer)
        for i in 0..<Int(request.fieldCount) {
            let field = view.fields[i]
            switch field.id {
            case .host, .contentLength, .expect: continue
            default: if !field.isHopByHop { writer.appendField(field, view.bytes) }
            }
        }
        return written
    }

    /// Writes a field that counts hops, for the next of them. False: it is another field.
    func writeHops(_ field: Field, _ bytes: UnsafePointer<UInt8>, _ writer: inout ByteWriter) -> Bool {
        guard equals(bytes + Int(field.nameOffset), Int(field.nameCount), lowercase: "max-forwards"),
            let next = MaxForwards(field.value.bytes(in: bytes))?.next
        else { return false }
        writer.append("max-forwards: ")
        writer.append(decimal: UInt64(next))
        writer.append("\r\n")
        return true
    }

    /// The same for the page of an error. No rule of the route runs: what it adds is for the application.
    @inline(never)
    private func writeRequestHead(
        _ exchange: ExchangePointer, for fetch: BufferPointer, _ view: RequestView,
        _ writer: inout ByteWriter
    ) -> WrittenRequest {
        let request = view.head.pointee
        let method = request.method.name
        var written = WrittenRequest(
            method: UnsafeBufferPointer(start: method.utf8Start, count: method.utf8CodeUnitCount), &writer)
        writer.append(fetch.target)
        written.endTarget(&writer)
        writer.append(request.authority.bytes(in: view.bytes))
        written.endHost(&writer)
        for i in 0..<Int(request.fieldCount)
        where !view.fields[i].isHopByHop && PageFields.isAskedWith(view.fields[i], view.bytes) {
            writer.appendField(view.fields[i], view.bytes)
        }
        let forwarding = exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef { $0.forwarding }
        writeForwarding(exchange, view, forwarding, &writer)
        return written
    }

    /// Writes the Host an endpoint gets.
    func writeHost(
        _ exchange: ExchangePointer, _ route: RoutePlan, _ view: RequestView, _ writer: inout ByteWriter
    ) {
        let start = writer.count
        if let host = route.host { render(host, exchange, view, &writer) }
        // A template of nothing but what the request does not have is not what was meant.
        if writer.count == start { writer.append(view.head.pointee.authority.bytes(in: view.bytes)) }
    }

    private func writeForwarding(
        _ exchange: ExchangePointer, _ view: RequestView, _ forwarding: ForwardingPlan,
        _ writer: inout ByteWriter
    ) {
        let peer = exchange.pointee.client.pointee.peer
        let isTrusted = exchange.pointee.peerIsTrusted
        let origin = exchange.pointee.origin
        // What a trusted proxy told in the other field is carried on in this one too.
        let client = exchange.pointee.clientAddress
        let isTold = isTrusted && client != peer
        if forwarding.xForwarded {
            // What a trusted proxy wrote is carried on; anybody else's word is replaced.
            writer.append("x-forwarded-for: ")
            if isTrusted, copyValues(.xForwardedFor, view, &writer) {
                writer.append(", ")
            } else if isTold {
                writer.append(client)
                writer.append(", ")
            }
            writer.append(peer)
            writer.append("\r\nx-forwarded-proto: ")
            writer.append(origin.scheme)
            writer.append("\r\nx-forwarded-host: ")
            writer.append(origin.authority.bytes(in: view.bytes))
            writer.append("\r\n")
        }
        if forwarding.forwarded {
            writer.append("forwarded: ")
            if isTrusted, copyValues(.forwarded, view, &writer) {
                writer.append(", ")
            } else if isTold {
                writeElement(client, origin, view, &writer)
                writer.append(", ")
            }
            let isSecure = exchange.pointee.client.pointee.transport.isEncrypted
            writeElement(peer, RequestOrigin(view.head.pointee, isSecure: isSecure), view, &writer)
            writer.append("\r\n")
        }
        if forwarding.via {
            writer.append("via: ")
            if copyValues(.via, view, &writer) { writer.append(", ") }
            writer.append(view.head.pointee.version.viaText)
            writer.append(" weir\r\n")
        }
    }

    /// One hop as Forwarded has it (RFC 7239 §4): who asked, and how.
    private func writeElement(
        _ address: IPAddress, _ origin: RequestOrigin, _ view: RequestView, _ writer: inout ByteWriter
    ) {
        if address == .unix {
            // No address of RFC 7239 §6, so an identifier of our own (§6.3).
            writer.append("for=_unix")
        } else {
            writer.append(address.isV4 ? "for=" : "for=\"[")
            writer.append(address)
            if !address.isV4 { writer.append("]\"") }
        }
        writer.append(";proto=")
        writer.append(origin.scheme)
        if origin.authority.isEmpty { return }
        writer.append(";host=\"")
        writer.append(origin.authority.bytes(in: view.bytes))
        writer.append("\"")
    }

    /// Copies all values of a field, joined by commas; false when there is none.
    private func copyValues(_ id: FieldID, _ view: RequestView, _ writer: inout ByteWriter) -> Bool {
        var found = false
        for i in 0..<Int(view.head.pointee.fieldCount)
        where view.fields[i].id == id && !view.fields[i].isHopByHop {
            if found { writer.append(", ") }
            writer.append(view.fields[i].value.bytes(in: view.bytes))
            found = true
        }
        return found
    }

    // MARK: to the client

    /// The fields of an endpoint's head that pass, as they are.
    func writeFields(of response: ResponseView, _ writer: inout ByteWriter) {
        for i in 0..<Int(response.head.fieldCount) where !response.fields[i].isHopByHop {
            writer.appendField(response.fields[i], response.bytes)
        }
    }

    @inline(__always)
    func writeResponseHead(
        _ exchange: ExchangePointer, _ response: ResponseView, _ writer: inout ByteWriter
    ) {
        beginResponseHead(
            exchange, response.head.status, reason: response.head.reason.bytes(in: response.bytes), &writer)
        writeFields(of: response, &writer)
        if !response.head.hasDate { writeDate(&writer) }
    }

    func writeDate(_ writer: inout ByteWriter) {
        writer.append("date: ")
        writer.append(date.dateText(nowMs: nowMs), HTTPDate.byteCount)
        writer.append("\r\n")
    }

    // MARK: both

    /// Runs header rules over the fields that stand in `writer` from `start` on, whoever wrote them. What
    /// frames the message and what ends at this hop is written behind: no rule names it.
    func apply(
        _ rules: FieldRules, from start: Int, _ exchange: ExchangePointer, _ view: RequestView,
        _ writer: inout ByteWriter
    ) {
        rules.takeOut(from: start, &writer)
        rules.replaceParts(from: start, &writer, scratch: routeScratch) { template, groups, writer in
            render(template, exchange, view, &writer, groups: groups)
        }
        // Host stands at its own place in a request, and nowhere in a response.
        for rule in rules.set where !equals(rule.name.base, rule.name.count, lowercase: "host") {
            writeRule(rule, exchange, view, &writer)
        }
        for rule in rules.add { writeRule(rule, exchange, view, &writer) }
    }

    /// Ends a response head: the steps of the route's policies, which see every field there is, then the framing.
    @inline(__always)
    func endResponseHead(
        _ exchange: ExchangePointer, _ source: @autoclosure () -> ResponseDraft.Source,
        _ writer: inout ByteWriter
    ) {
        if exchange.pointee.hooks.contains(.responseHead) { draftResponse(exchange, source(), &writer) }
        writeFraming(exchange, &writer)
    }

    /// The steps of policies for the head of a response, which stands in `writer`.
    func draftResponse(
        _ exchange: ExchangePointer, _ source: ResponseDraft.Source, _ writer: inout ByteWriter
    ) {
        let draft = ResponseDraft(source: source, start: firstField(exchange, writer))
        eachStep(exchange, at: .responseHead) { $0.responseHead(self, exchange, draft, &writer) }
    }

    /// Where the fields of a response begin: behind its status line, where it has one.
    private func firstField(_ exchange: ExchangePointer, _ writer: ByteWriter) -> Int {
        if exchange.pointee.client.pointee.transport.isStream { return 0 }
        guard let end = memchr(writer.base, 0x0a, writer.count) else { return writer.count }
        return end - UnsafeMutableRawPointer(writer.base) + 1
    }

    private func writeRule(
        _ rule: FieldRules.Rule, _ exchange: ExchangePointer, _ view: RequestView, _ writer: inout ByteWriter
    ) {
        writer.append(rule.name.bytes)
        writer.append(": ")
        render(rule.value, exchange, view, &writer)
        writer.append("\r\n")
    }
}

/// The Date field's text, made at most once a second.
final class DateCache {
    private let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 32)
    private let time: TimeSource
    private var madeAtMs: UInt64 = 0

    init(_ time: TimeSource) { self.time = time }

    deinit { bytes.deallocate() }

    /// `HTTPDate.byteCount` bytes, valid until the next call.
    func dateText(nowMs: UInt64) -> UnsafePointer<UInt8> {
        if madeAtMs == 0 || nowMs &- madeAtMs >= 500 {
            madeAtMs = nowMs
            HTTPDate.write(secondsSinceEpoch: Int64(time.wallUs() / 1_000_000), to: bytes)
        }
        return UnsafePointer(bytes)
    }
}

extension ByteWriter {
    mutating func append(_ address: IPAddress) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: IPAddress.textBytesMax) { room in
            guard let start = room.baseAddress else { return }
            append(start, address.write(to: start))
        }
    }

    mutating func append(_ header: ProxyHeader) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ProxyHeader.writtenBytesMax) { room in
            guard let start = room.baseAddress, let count = header.write(to: start, capacity: room.count)
            else { return }
            append(start, count)
        }
    }
}
