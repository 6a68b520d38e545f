// timeout.total: for every route; without it calls have their own deadlines.

import Proxy

extension TotalTimeoutPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        TotalTimeoutPolicy(totalMs: UInt64(input.route.timeout.totalMs ?? 0))
    }
}
