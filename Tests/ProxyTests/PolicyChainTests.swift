// Chains of policies: which hooks they have for whom.

import Testing

@testable import Proxy

@Suite struct PolicyChainTests {
    @Test func plainRequestsLookAtHooksOfPoliciesForAll() {
        let chain = PolicyChain([
            Policy("a", "", [.admit, .responseHead], for: .body), Policy("b", "", .responseHead),
            Policy("c", "", .select, for: .upgrade),
        ])
        #expect(chain.plainHooks == .responseHead)
        #expect(chain.hooks == [.admit, .responseHead, .select])
        #expect((0..<chain.count).map { chain.steps[$0].traits } == [.body, [], .upgrade])
    }

    @Test func statesStandSideBySide() {
        let policies = [
            StatefulPolicy<UInt8>("a", "", .admit), Policy("b", "", .admit),
            StatefulPolicy<(UInt64, UInt64, UInt64)>("c", "", .admit),
            StatefulPolicy<UInt32>("d", "", .admit),
        ]
        let chain = PolicyChain(policies)
        #expect(policies.map(\.stateOffset) == [16, -1, 32, 64])
        #expect(policies.map(\.stateIndex) == [0, -1, 1, 2])
        #expect(chain.stateBytes == 80)
        #expect(PolicyChain([Policy("a", "", .admit)]).stateBytes == 0)
    }
}
