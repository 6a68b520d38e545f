// From a route's compression and decompression to what the data plane works with.

import WeirCompression
import Configuration
import WeirHTTPModel
import Proxy

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
            ], bytesMin: UInt64(compression.bytesMin), types: compression.types.map(\.value))
    }
}

extension DecoderLimits {
    init(_ decompression: Route.Decompression) {
        self.init(bytesMax: UInt64(decompression.bytesMax))
        ratioMax = UInt64(decompression.ratioMax)
    }
}
