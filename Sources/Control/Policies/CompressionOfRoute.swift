// compression. Files and fixed responses are coded by the same rule where they are made.

import Proxy
import WeirCompression

extension CompressionPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        guard let rule = input.compressionRule, let compression = input.route.compression else { return nil }
        return CompressionPolicy(rule, text: compression.text)
    }
}

extension PolicyInput {
    /// Where rules say what Content-Encoding is, it is not ours to say.
    var compressionRule: CompressionRule? {
        compiled.responseRules?.governs("content-encoding") ?? false
            ? nil : route.compression.map { CompressionRule($0) }
    }
}
