// upgrades, and other-upgrades: for every route; what asks for nothing but a change is refused everywhere.

import Proxy

extension UpgradesPolicy {
    static func make(_ input: PolicyInput) -> Policy? {
        UpgradesPolicy(input.route.upgrades, refusesOthers: input.route.refusesOtherUpgrades)
    }
}
