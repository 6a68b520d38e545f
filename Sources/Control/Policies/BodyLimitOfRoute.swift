// limits.body: for every route; without it the listener says.

import Configuration
import Proxy

extension BodyLimitPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        switch input.route.bodyLimit {
        case .ofListener: BodyLimitPolicy(bytesMax: nil)
        case .none: BodyLimitPolicy(bytesMax: .max)
        case .bytes(let bytes): BodyLimitPolicy(bytesMax: UInt64(bytes))
        }
    }
}
