// decompress-requests: where requests may go to an endpoint.

import Configuration
import Proxy

extension DecompressRequestsPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        guard input.mayForward, let decompression = input.route.decompression else { return nil }
        return DecompressRequestsPolicy(text: decompression.text)
    }
}

extension DecodeHeldPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        guard input.mayForward, input.route.decompression != nil else { return nil }
        return DecodeHeldPolicy(bytesMax: input.route.holdBytes)
    }
}
