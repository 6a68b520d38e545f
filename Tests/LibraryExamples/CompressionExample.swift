// WeirCompression: what its page shows.

import WeirCompression
import WeirHTTPModel

enum CompressionExample {
    static func run(_ print: (String) -> Void) throws {
        // The page quotes from here…
        let body = Array(String(repeating: "the same again ", count: 1_000).utf8)
        guard let coded = EncoderPool().encode(body, .gzip, level: 6) else { return }
        print("smaller: \(coded.count < body.count / 10)")
        let plain = try Decoder.decode(coded, .gzip, limits: DecoderLimits(bytesMax: 1 << 20))
        print("the same: \(plain == body)")
        // What would become larger than it may is refused before it is.
        do {
            _ = try Decoder.decode(coded, .gzip, limits: DecoderLimits(bytesMax: 100))
        } catch {
            print("\(error)")
        }
        // …to here.
    }
}
