// compression: responses of endpoints leave coded where the client takes it. Which ones, and what their fields become,
// is judged in the Compression module; the body is coded in Bodies/Compress.swift. Files and fixed responses are coded
// where they are made.

import WeirCompression
import WeirHTTPModel

public final class CompressionPolicy: Policy, @unchecked Sendable {
    private let rule: CompressionRule

    /// - Parameter text: for `weir explain`.
    public init(_ rule: CompressionRule, text: String) {
        self.rule = rule
        super.init("compression", text, .responseHead)
    }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        guard case .endpoint(let response) = draft.source, exchange.pointee.mayTransform,
            exchange.pointee.upgrade != .open, let view = worker.view(exchange)
        else { return }
        var decision = rule.decide(
            request: view, head: response.head, fields: response.fields, base: response.bytes)
        if decision.coding != nil, !worker.beginCoding(exchange, decision, rule, response.head) {
            // A loaded worker stops compressing before it stops answering.
            decision = decision.asItIs
        }
        decision.apply(from: draft.start, &writer)
    }
}
