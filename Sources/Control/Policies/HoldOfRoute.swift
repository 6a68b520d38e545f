// hold: for every route.

import Proxy

extension HoldPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        HoldPolicy(bytesMax: input.route.holdBytes, mayRetry: input.route.retry.attempts > 1)
    }
}
