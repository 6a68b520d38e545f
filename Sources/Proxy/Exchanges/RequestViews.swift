// The request of an exchange, as rules and logs look at it.

import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirExpressions
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    /// What header rules, redirects and logs may ask about a request.
    func view(_ exchange: ExchangePointer) -> RequestView? {
        guard let head = exchange.pointee.head, let fields = exchange.pointee.fields else { return nil }
        let request = UnsafeRawPointer(exchange).advanced(by: requestOffset).assumingMemoryBound(
            to: RequestHead.self)
        return RequestView(bytes: UnsafePointer(head.base), head: request, fields: UnsafePointer(fields))
    }

    /// Fills a template in for this exchange.
    func render(
        _ template: Template, _ exchange: ExchangePointer, _ view: RequestView, _ writer: inout ByteWriter,
        groups: UnsafePointer<MatchedGroups>? = nil, error: UnsafePointer<ErrorView>? = nil
    ) {
        withContext(
            exchange, view, time: template.usesTime, certificate: template.usesCertificate
        ) { context in
            context.groups = groups
            context.error = error
            _ = template.render(into: &writer, context: context)
        }
    }

    /// Hands over what can be asked about an exchange, as far as it is known by now.
    func withContext<Result>(
        _ exchange: ExchangePointer, _ view: RequestView, time usesTime: Bool = false,
        certificate: Bool = false,
        _ body: (inout RequestContext) -> Result
    ) -> Result {
        withContextTexts(
            of: view, client: exchange.pointee.clientAddress,
            id: RequestID(high: identity, low: exchange.pointee.sequence), time: usesTime
        ) { context in
            context.match = UnsafeRawPointer(exchange).advanced(by: matchOffset).assumingMemoryBound(
                to: RouteMatch.self)
            context.captureNames = exchange.pointee.listener.router.captureNames
            context.origin = exchange.pointee.origin
            context.clientPort = exchange.pointee.client.pointee.peerPort
            context.listener = exchange.pointee.listener.name.bytes
            if let route = exchange.route { context.route = route.name.bytes }
            if let service = exchange.service { context.service = service.name.bytes }
            if let endpoint = exchange.endpoint { context.endpoint = endpoint.name.bytes }
            if certificate {
                return withClientCertificate(exchange) {
                    context.certificate = $0
                    return body(&context)
                }
            }
            return body(&context)
        }
    }

    /// A context with what has to be written down first.
    private func withContextTexts<Result>(
        of view: RequestView, client: IPAddress, id: RequestID, time usesTime: Bool,
        _ body: (inout RequestContext) -> Result
    ) -> Result {
        var result: Result?
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { room in
            guard let start = room.baseAddress else { return }
            let ipCount = client.write(to: start)
            let idCount = id.write(to: start + 48)
            var context = RequestContext(request: view)
            context.clientIP = UnsafeBufferPointer(start: start, count: ipCount)
            if client != .unix, client != .unspecified {
                context.clientAddress = ClientBits(high: client.high, low: client.low)
            }
            context.requestID = UnsafeBufferPointer(start: start + 48, count: idCount)
            if usesTime {
                var text = ByteWriter(start + 88, capacity: 40)
                wallText.write(us: time.wallUs(), to: &text)
                context.timeISO = UnsafeBufferPointer(start: start + 88, count: text.count)
            }
            result = body(&context)
        }
        return result.unsafelyUnwrapped
    }

    // MARK: records

    /// Hands a record to the log, where its condition holds.
    func appendRecord(_ record: borrowing RequestRecord, _ exchange: ExchangePointer? = nil) {
        guard let log else { return }
        if let condition = log.condition, !isWanted(copy record, condition, exchange) { return }
        log.append(record)
        wantTick()
    }

    /// Whether a condition on records holds. Rather a record too many than one too few: one that cannot be judged
    /// is written.
    private func isWanted(
        _ record: RequestRecord, _ condition: RequestCondition, _ exchange: ExchangePointer?
    ) -> Bool {
        if let exchange, let view = view(exchange) {
            return withContext(
                exchange, view, time: condition.usesTime, certificate: condition.usesCertificate
            ) { isWanted(record, condition, &$0) }
        }
        // No request: a TCP connection, a UDP session, a head that could not be read.
        return withUnsafeTemporaryAllocation(of: Field.self, capacity: 1) { fields in
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 1) { bytes in
                guard let table = fields.baseAddress, let base = bytes.baseAddress else { return true }
                var head = RequestHead()
                return withUnsafePointer(to: &head) { head in
                    let view = RequestView(
                        bytes: UnsafePointer(base), head: head, fields: UnsafePointer(table))
                    return withContextTexts(
                        of: view, client: record.clientIP, id: record.id, time: condition.usesTime
                    ) { context in
                        context.clientPort = record.clientPort
                        context.listener = record.listener
                        context.service = record.service
                        context.endpoint = record.endpoint
                        guard !record.certificateFingerprint.isEmpty else {
                            return isWanted(record, condition, &context)
                        }
                        var certificate = CertificateView()
                        certificate.subject = record.certificateSubject
                        certificate.san = record.certificateSAN
                        certificate.fingerprint = record.certificateFingerprint
                        certificate.serial = record.certificateSerial
                        return withUnsafePointer(to: certificate) {
                            context.certificate = $0
                            return isWanted(record, condition, &context)
                        }
                    }
                }
            }
        }
    }

    private func isWanted(
        _ record: RequestRecord, _ condition: RequestCondition, _ context: inout RequestContext
    ) -> Bool {
        var outcome = OutcomeView()
        outcome.status = record.status
        outcome.attempts = record.attempts
        outcome.proto = record.proto
        outcome.durationUs = record.totalUs
        outcome.bytesIn = record.bytesIn
        outcome.bytesOut = record.bytesOut
        let failure = record.failure
        let error = ErrorView(
            status: failure.status, phrase: failure.status == 0 ? "" : reasonPhrase(failure.status),
            reason: failure.reason.name)
        return withUnsafePointer(to: outcome) { outcome in
            withUnsafePointer(to: error) { error in
                context.outcome = outcome
                if failure.reason != .none { context.error = error }
                return withUnsafePointer(to: context) {
                    condition.evaluate($0, scratch: routeScratch) != .fails
                }
            }
        }
    }
}
