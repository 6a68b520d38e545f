// location.

import Proxy

extension LocationPolicy {
    static func make(_ input: PolicyInput) -> Policy? { input.compiled.location.map { LocationPolicy($0) } }
}
