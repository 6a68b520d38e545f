// What a worker remembers about a service between requests: the balancer's position, the retry budget.

import WeirBalancing
import WeirResilience

typealias WorkerRandom = SeededRandom

struct ServiceState {
    var balancer = Balancer(.random)
    var budget = RetryBudget()
    /// Idle connections kept per endpoint; 0 also for a service that is gone.
    private(set) var idleConnectionsMax = 0
    private(set) var idleTimeoutMs: UInt64 = 0
    private var plan: ServicePlan?

    /// Follows a new plan. The budget goes on with what it has counted; the balancer goes on
    /// where it was unless the method is another.
    mutating func follow(_ new: ServicePlan, random: inout WorkerRandom) {
        if plan === new { return }
        budget.follow(new.retryBudget)
        if balancer.method != new.balance { balancer = Balancer(new.balance) }
        plan = new
        // A PROXY header speaks for one client only: such connections are not kept.
        idleConnectionsMax = new.proxyProtocol == nil ? new.idleConnectionsMax : 0
        idleTimeoutMs = new.idleTimeoutMs
        reweigh(random: &random)
    }

    /// Follows weights that have changed.
    mutating func reweigh(random: inout WorkerRandom) {
        guard let plan else { return }
        balancer.prepare(ServiceEndpoints(plan: plan, nowMs: 0), using: &random)
    }
}
