// headers.

import Configuration
import Proxy

extension HeadersPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        let (request, response) = (input.compiled.requestRules, input.compiled.responseRules)
        if request == nil && response == nil { return nil }
        let texts = [
            Self.text("request", input.route.headers.request),
            Self.text("response", input.route.headers.response),
        ]
        return HeadersPolicy(
            request: request, response: response, text: texts.compactMap { $0 }.joined(separator: ", "))
    }

    private static func text(_ direction: String, _ changes: Route.Changes) -> String? {
        let count = changes.set.count + changes.add.count + changes.remove.count + changes.replace.count
        return count == 0 ? nil : "\(count) for \(direction)s"
    }
}
