// What an endpoint says about where it is, turned back to where the client sees it (Policies/Location).

import WeirHTTPModel
import Reactor
import WeirRouting

extension Worker {
    /// Longest Host sent to an endpoint that references are compared with.
    private static let hostBytesMax = 512

    /// Turns the fields back that stand in `writer` from `start` on.
    func turnBack(
        _ rule: LocationRule, _ exchange: ExchangePointer, _ route: RoutePlan, _ view: RequestView,
        from start: Int, _ writer: inout ByteWriter
    ) {
        FieldLines.rewrite(from: start, &writer) {
            LocationRule.field($0, $1) != nil
        } write: { line, writer in
            let name = line.name(in: writer)
            guard let base = name.baseAddress, let field = LocationRule.field(base, name.count) else {
                return
            }
            writer.append(name)
            writer.append(": ")
            withPassage(exchange, route, view) {
                rule.write(field, line.value(in: writer), $0, into: &writer)
            }
            writer.append("\r\n")
        }
    }

    /// Where the request came from and went to.
    private func withPassage(
        _ exchange: ExchangePointer, _ route: RoutePlan, _ view: RequestView, _ body: (Passage) -> Void
    ) {
        let endpoint = exchange.endpoint
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.hostBytesMax + IPAddress.textBytesMax) {
            room in
            guard let base = room.baseAddress else { return }
            var host = ByteWriter(base, capacity: Self.hostBytesMax)
            writeHost(exchange, route, view, &host)
            var addressCount = 0
            if case .ip(let address, _)? = endpoint?.address {
                addressCount = address.write(to: base + Self.hostBytesMax)
            }
            var name = endpoint?.host ?? ""
            name.withUTF8 { name in
                body(
                    Passage(
                        isSecure: exchange.pointee.origin.isSecure,
                        authority: exchange.pointee.origin.authority.bytes(in: view.bytes),
                        path: view.head.pointee.path.bytes(in: view.bytes),
                        endpointIsSecure: exchange.service?.tls != nil,
                        sentHost: UnsafeBufferPointer(
                            start: base, count: host.overflowed ? 0 : host.count),
                        endpointName: name,
                        endpointAddress: UnsafeBufferPointer(
                            start: base + Self.hostBytesMax, count: addressCount),
                        endpointPort: endpoint?.address.port ?? 0))
            }
        }
    }
}
