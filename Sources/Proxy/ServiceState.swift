// What a worker remembers about a service between requests: the balancer's position, the retry budget.

import Balancing
import Resilience

typealias WorkerRandom = SeededRandom

struct ServiceState {
    var balancer = Balancer.random(WeightedRandom())
    var budget = RetryBudget()
    private var algorithm: BalancingAlgorithm?
    private unowned(unsafe) var plan: ServicePlan?

    /// Follows a new plan; what the balancer and the budget have learnt stays when the algorithm does.
    mutating func update(_ new: ServicePlan, random: inout WorkerRandom) {
        if algorithm == nil { budget = new.retryBudget }
        if algorithm != new.algorithm {
            algorithm = new.algorithm
        }
        plan = new
    }
}

/// The balancers' view of a service: weights from the plan, loads from the endpoints.
struct ServiceEndpoints: EndpointView {
    unowned(unsafe) let plan: ServicePlan

    var count: Int { plan.endpoints.count }
    func weight(_ i: Int) -> UInt32 { plan.endpoints[i].weight }
    func load(_ i: Int) -> Int { plan.endpoints[i].load.load(ordering: .relaxed) }
    func isAvailable(_ i: Int) -> Bool { true }
}
