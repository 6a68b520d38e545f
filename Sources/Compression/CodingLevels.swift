// How much work a coding does, in the libraries' own numbers.

import WeirHTTPModel

extension ContentCoding {
    /// The levels a route may ask for. Those above take tens of MiB of memory and many times the CPU time
    /// for a few percent: they are for files compressed once, not per request.
    public var levels: ClosedRange<Int> {
        switch self {
        case .gzip: 1...9
        case .br: 0...6
        case .zstd: 1...9
        }
    }

    /// Where more CPU time stops buying much size (docs/compression.md has the figures).
    public var defaultLevel: Int {
        switch self {
        case .gzip: 5
        case .br: 4
        case .zstd: 3
        }
    }
}
