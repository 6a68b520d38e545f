// Steps of policies that answer nothing: at heads, and for the record.

extension Worker {
    /// Calls those that have a step at a hook and concern this request, in order.
    func eachStep(_ exchange: ExchangePointer, at hook: Hooks, _ body: (Policy) -> Void) {
        exchange.pointee.lentRoute? { route in
            let chain = route.policies
            var i = 0
            while i < chain.count {
                let step = chain.steps[i]
                if step.hooks.contains(hook), step.traits.isSubset(of: exchange.pointee.traits) {
                    step.policy._withUnsafeGuaranteedRef(body)
                }
                i &+= 1
            }
        }
    }
}
