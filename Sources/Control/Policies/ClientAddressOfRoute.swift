// client-address: for every route, where somebody is trusted.

import Proxy

extension ClientAddressPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        input.trusted.isEmpty ? nil : ClientAddressPolicy(trusted: input.trusted)
    }
}
