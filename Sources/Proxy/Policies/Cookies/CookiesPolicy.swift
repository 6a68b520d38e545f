// cookies: changes of the cookies that endpoints set, line by line.

import WeirHTTPModel
import WeirRouting

public final class CookiesPolicy: Policy, @unchecked Sendable {
    private let rule: CookieRule

    /// - Parameter text: for `weir explain`.
    public init(_ rule: CookieRule, text: String) {
        self.rule = rule
        super.init("cookies", text, .responseHead)
    }

    override func responseHead(
        _ worker: Worker, _ exchange: ExchangePointer, _ draft: ResponseDraft, _ writer: inout ByteWriter
    ) {
        guard case .endpoint = draft.source else { return }
        FieldLines.rewrite(from: draft.start, &writer) {
            CookieRule.governs($0, $1)
        } write: { line, writer in
            writer.append(line.name(in: writer))
            writer.append(": ")
            rule.write(line.value(in: writer), into: &writer)
            writer.append("\r\n")
        }
    }
}
