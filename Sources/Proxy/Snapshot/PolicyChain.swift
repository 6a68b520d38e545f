// The policies of a route in the order in which their steps run.

/// The policies of a route, compiled.
public final class PolicyChain: @unchecked Sendable {
    struct Step: BitwiseCopyable {
        let policy: Unmanaged<Policy>
        let hooks: Hooks
        let traits: Traits
    }

    /// In order.
    public let policies: [Policy]
    let steps: UnsafeMutablePointer<Step>
    let count: Int
    /// Hooks with a step for a request without any trait: what most requests look at.
    let plainHooks: Hooks
    /// All hooks with a step.
    let hooks: Hooks
    /// Bytes the policies keep of one exchange, all together; 0: none keeps any.
    let stateBytes: Int

    /// - Parameter policies: in the order of their steps, each of this chain alone.
    public init(_ policies: [Policy]) {
        self.policies = policies
        count = policies.count
        steps = .allocate(capacity: max(1, policies.count))
        var plain: Hooks = []
        var all: Hooks = []
        var bytes = PolicyStates.headerBytes
        var withState = 0
        for (i, policy) in policies.enumerated() {
            (steps + i).initialize(
                to: Step(
                    policy: .passUnretained(policy), hooks: policy.hooks, traits: policy.traits))
            all.formUnion(policy.hooks)
            if policy.traits.isEmpty { plain.formUnion(policy.hooks) }
            guard policy.stateBytes > 0 else { continue }
            precondition(policy.stateOffset < 0, "a policy stands in one chain")
            policy.stateOffset = bytes
            policy.stateIndex = withState
            withState += 1
            bytes += (policy.stateBytes + 15) & ~15
        }
        precondition(withState <= PolicyStates.countMax, "more policies with state than have a bit")
        plainHooks = plain
        hooks = all
        stateBytes = withState == 0 ? 0 : bytes
    }

    deinit { steps.deallocate() }

    /// The policy of a kind, where the route has one.
    func first<Kind: Policy>(_ kind: Kind.Type) -> Kind? { policies.lazy.compactMap { $0 as? Kind }.first }
}
