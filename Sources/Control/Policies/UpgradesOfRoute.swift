// upgrades, and other-upgrades: where requests may go to an endpoint.

import Proxy

extension UpgradesPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        UpgradesPolicy(input.route.upgrades, refusesOthers: input.route.refusesOtherUpgrades)
    }
}
