// headers: rules for the fields of requests and responses. They see every field there is, whoever wrote it; what frames
// the message and what ends at this hop is written behind.

import WeirHTTPModel
import WeirRouting

public final class HeadersPolicy: Policy, @unchecked Sendable {
    private let request: FieldRules?
    private let response: FieldRules?

    /// - Parameter text: for `weir explain`.
    public init(request: FieldRules?, response: FieldRules?, text: String) {
        self.request = request
        self.response = response
        var hooks: Hooks = []
        if request != nil { hooks.insert(.requestHead) }
        if response != nil { hooks.insert(.responseHead) }
        super.init("headers", text, hooks)
    }

    override func requestHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: RequestDraft, _ writer: inout ByteWriter
    ) {
        if let request { worker.apply(request, from: draft.start, exchange, draft.view, &writer) }
    }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        guard let response else { return }
        if case .interim = draft.source {
            // It gets nothing of ours, but what is not for the client does not reach it in this way either.
            response.takeOut(from: draft.start, &writer)
        } else if let view = worker.view(exchange) {
            worker.apply(response, from: draft.start, exchange, view, &writer)
        }
    }
}
