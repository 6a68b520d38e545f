// From a route's compression to what the data plane works with.

import Compression
import Configuration

extension CompressionRule {
    convenience init(_ compression: Route.Compression) {
        let codings: [ContentCoding] = compression.encodings.map {
            switch $0 {
            case .zstd: .zstd
            case .br: .br
            case .gzip: .gzip
            }
        }
        self.init(
            order: CodingOrder(codings),
            levels: [
                .gzip: compression.gzipLevel, .br: compression.brLevel, .zstd: compression.zstdLevel,
            ], bytesMin: UInt64(compression.bytesMin), types: compression.types)
    }
}
