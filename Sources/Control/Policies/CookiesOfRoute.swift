// cookies.

import Proxy

extension CookiesPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        input.compiled.cookies.map { CookiesPolicy($0, text: input.route.cookies.text) }
    }
}
