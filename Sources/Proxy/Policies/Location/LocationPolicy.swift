// location: what an endpoint says about where it is, turned back to where the client sees it. Only of endpoints: what
// Weir writes itself is the client's view already.

import WeirHTTPModel
import WeirRouting

public final class LocationPolicy: Policy, @unchecked Sendable {
    private let rule: LocationRule

    public init(_ rule: LocationRule) {
        self.rule = rule
        super.init("location", "rewrite", .responseHead)
    }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        guard case .endpoint = draft.source, let route = exchange.route, let view = worker.view(exchange)
        else { return }
        worker.turnBack(rule, exchange, route, view, from: draft.start, &writer)
    }
}
