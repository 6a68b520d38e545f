// Precompressed siblings of a file: app.js.br beside app.js.

import WeirHTTPModel

extension ContentCoding {
    /// What is added to the name of a file to name its sibling in this coding.
    public var suffix: StaticString {
        switch self {
        case .zstd: ".zst"
        case .br: ".br"
        case .gzip: ".gz"
        }
    }
}
