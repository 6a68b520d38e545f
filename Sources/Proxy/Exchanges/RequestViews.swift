// The request of an exchange, as rules and logs look at it.

import WeirHTTPModel
import Reactor
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
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 128) { room in
            guard let start = room.baseAddress else { return }
            let ipCount = exchange.pointee.clientAddress.write(to: start)
            RequestID(high: identity, low: exchange.pointee.sequence).write(to: start + 48)
            var context = TemplateContext(request: view)
            context.match = UnsafeRawPointer(exchange).advanced(by: matchOffset).assumingMemoryBound(
                to: RouteMatch.self)
            context.captureNames = exchange.pointee.listener.router.captureNames
            context.clientIP = UnsafeBufferPointer(start: start, count: ipCount)
            context.requestID = UnsafeBufferPointer(start: start + 48, count: 32)
            if template.usesTime {
                var text = ByteWriter(start + 88, capacity: 40)
                wallText.write(us: time.wallUs(), to: &text)
                context.timeISO = UnsafeBufferPointer(start: start + 88, count: text.count)
            }
            context.origin = exchange.pointee.origin
            context.groups = groups
            context.error = error
            context.clientPort = exchange.pointee.client.pointee.peerPort
            if let route = exchange.route { context.route = route.name.bytes }
            if let service = exchange.service { context.service = service.name.bytes }
            if let endpoint = exchange.endpoint { context.endpoint = endpoint.name.bytes }
            if template.usesCertificate {
                withClientCertificate(exchange) {
                    context.certificate = $0
                    _ = template.render(into: &writer, context: context)
                }
                return
            }
            _ = template.render(into: &writer, context: context)
        }
    }
}
