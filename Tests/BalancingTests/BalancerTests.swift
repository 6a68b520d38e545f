import WeirBalancing
import Testing

/// Endpoints as plain arrays.
struct Endpoints: EndpointView {
    var weights: [UInt32]
    var loads: [Int]
    var names: [UInt64]
    var down: Set<Int> = []
    var ill: Set<Int> = []
    var barring = Standing.byAnyone

    init(_ weights: [UInt32]) {
        self.weights = weights
        loads = [Int](repeating: 0, count: weights.count)
        names = weights.indices.map { StableHash.of("10.0.0.\($0):80".utf8) }
    }

    var count: Int { weights.count }
    func weight(_ index: Int) -> UInt32 { weights[index] }
    func load(_ index: Int) -> Int { loads[index] }
    func identity(_ index: Int) -> UInt64 { names[index] }
    func latencyUs(_ index: Int) -> UInt32 { 0 }
    func standing(_ index: Int) -> Standing {
        var standing: Standing = down.contains(index) ? .down : []
        if ill.contains(index) { standing.insert(.resting) }
        return standing
    }
}

@Suite struct BalancerTests {
    private func shares(
        _ method: BalancingMethodName, _ view: Endpoints, picks: Int, seed: UInt64 = 42
    ) -> [Double] {
        var balancer = Balancer(method)
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: view.count)
        for _ in 0..<picks {
            if let index = balancer.pick(view, excluded: Excluded(), using: &random) { counts[index] += 1 }
        }
        return counts.map { Double($0) / Double(picks) }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func idleServicesAreSharedByWeight(method: BalancingMethodName) {
        for weights in [[1, 1, 1], [5, 1, 1], [1, 2], [7], [100, 0, 1, 50], [1_000_000, 999_983]]
            as [[UInt32]]
        {
            let total = Double(weights.reduce(0, +))
            for (share, weight) in zip(shares(method, Endpoints(weights), picks: 20_000), weights) {
                #expect(abs(share - Double(weight) / total) < 0.015, "\(method) \(weights)")
            }
        }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func theRestKeepsItsProportionsWhenOneIsDown(method: BalancingMethodName) {
        var view = Endpoints([2, 5, 1, 1])
        view.down = [1]
        for (share, expected) in zip(shares(method, view, picks: 20_000), [0.5, 0, 0.25, 0.25]) {
            #expect(abs(share - expected) < 0.015, "\(method)")
        }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func neitherUnavailableNorExcludedNorWeightlessIsPicked(method: BalancingMethodName) {
        var random = SeededRandom(seed: 3)
        for _ in 0..<300 {
            let count = Int(random.next() % 12)
            var view = Endpoints((0..<count).map { _ in UInt32(random.next() % 4) })
            view.down = Set((0..<count).filter { _ in random.next() % 3 == 0 })
            view.loads = (0..<count).map { _ in Int(random.next() % 10) }
            var balancer = Balancer(method)
            var excluded = Excluded()
            var eligible = Set((0..<count).filter { view.weights[$0] > 0 && !view.down.contains($0) })
            // Like a request that fails everywhere: each endpoint once, then none is left.
            while excluded.count < Excluded.capacity {
                guard let index = balancer.pick(view, excluded: excluded, using: &random) else {
                    #expect(eligible.isEmpty)
                    break
                }
                let isEligible = eligible.remove(index) != nil
                #expect(isEligible)
                #expect(excluded.insert(index) == true)
            }
        }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func followsAChangedNumberOfEndpoints(method: BalancingMethodName) {
        var balancer = Balancer(method)
        var random = SeededRandom(seed: 1)
        _ = balancer.pick(Endpoints([1, 1, 1, 1]), excluded: Excluded(), using: &random)
        #expect(balancer.pick(Endpoints([1]), excluded: Excluded(), using: &random) == 0)
        #expect(balancer.pick(Endpoints([]), excluded: Excluded(), using: &random) == nil)
        #expect(balancer.pick(Endpoints([0, 9]), excluded: Excluded(), using: &random) == 1)
    }

    @Test func wordsAreFound() {
        #expect(BalancingMethodName(rawValue: "round-robin") == .roundRobin)
        #expect(BalancingMethodName(rawValue: "maglev") == nil)
        #expect(BalancingMethodName.allCases.first == .leastRequest, "the default is named first")
    }

    @Test func excludedIsBounded() {
        var excluded = Excluded()
        for i in 0..<Excluded.capacity { #expect(excluded.insert(i) == true) }
        #expect(excluded.insert(3) == true)
        #expect(excluded.insert(99) == false)
        #expect(!excluded.contains(99))
        #expect(excluded.contains(0) && excluded.count == Excluded.capacity)
    }
}

@Suite struct RoundRobinTests {
    private func order(_ weights: [UInt32], _ picks: Int) -> [Int] {
        var balancer = RoundRobin()
        var random = SeededRandom(seed: 9)
        return (0..<picks).compactMap { _ in
            balancer.pick(Endpoints(weights), key: nil, excluded: Excluded(), using: &random)
        }
    }

    /// In every stretch of picks each endpoint is within two of its exact share.
    @Test func isSmooth() {
        for weights in [[5, 1, 1], [3, 2, 1], [1, 1, 1, 1], [10, 7, 3]] as [[UInt32]] {
            let picks = order(weights, 300)
            let total = Double(weights.reduce(0, +))
            for length in 1...60 {
                for start in 0..<100 {
                    for (index, weight) in weights.enumerated() {
                        let seen = picks[start..<(start + length)].filter { $0 == index }.count
                        #expect(abs(Double(seen) - Double(weight) * Double(length) / total) < 2)
                    }
                }
            }
        }
    }

    /// However heavy the others are: it has one slot in a schedule that is bounded.
    @Test func theLightestHasItsTurn() {
        #expect(order([1, 10_000_000], RoundRobin.slotsMax + 1).contains(0))
    }

    @Test func oneRoundIsExact() {
        let picks = order([6, 4, 2], 6)
        #expect((0...2).map { index in picks.filter { $0 == index }.count } == [3, 2, 1])
    }

    @Test func workersStartAtDifferentEndpoints() {
        var firsts: Set<Int> = []
        for seed in 0..<32 {
            var random = SeededRandom(seed: UInt64(seed))
            var balancer = RoundRobin()
            if let first = balancer.pick(
                Endpoints([1, 1, 1, 1]), key: nil, excluded: Excluded(), using: &random)
            {
                firsts.insert(first)
            }
        }
        #expect(firsts.count == 4)
    }

    // A publish prepares again what has not changed, or has one more.
    @Test func goesOnWhereItWas() {
        for seed in 1...20 {
            var random = SeededRandom(seed: UInt64(seed))
            var balancer = RoundRobin()
            var picks: [Int?] = []
            for _ in 0..<12 {
                picks.append(
                    balancer.pick(Endpoints([1, 1, 1]), key: nil, excluded: Excluded(), using: &random))
                balancer.prepare(Endpoints([1, 1, 1]), using: &random)
            }
            for (before, after) in zip(picks, picks.dropFirst()) {
                #expect(after == before.map { ($0 + 1) % 3 })
            }
            let next = picks.last.flatMap { $0 }.map { ($0 + 1) % 3 }
            balancer.prepare(Endpoints([1, 1, 1, 1]), using: &random)
            #expect(
                balancer.pick(Endpoints([1, 1, 1, 1]), key: nil, excluded: Excluded(), using: &random) == next
            )
        }
    }
}

@Suite struct LeastRequestTests {
    /// Requests of random length over equal and unequal endpoints: no endpoint gets far above its share.
    @Test(arguments: [[1, 1, 1, 1, 1, 1, 1, 1], [4, 2, 1, 1]] as [[UInt32]])
    func loadStaysNearItsShare(weights: [UInt32]) {
        var view = Endpoints(weights)
        var balancer = LeastRequest()
        var random = SeededRandom(seed: 11)
        var running: [Int] = []
        var worst = 0.0
        let total = Double(weights.reduce(0, +))
        for _ in 0..<20_000 {
            if running.count >= 160 {
                view.loads[running.remove(at: Int(random.next() % UInt64(running.count)))] -= 1
            }
            guard let index = balancer.pick(view, key: nil, excluded: Excluded(), using: &random) else {
                continue
            }
            view.loads[index] += 1
            running.append(index)
            guard running.count >= 160 else { continue }
            for i in weights.indices {
                worst = max(worst, Double(view.loads[i]) - 160 * Double(weights[i]) / total)
            }
        }
        #expect(worst <= 12, "\(worst)")
    }

    @Test func avoidsTheLoadedOne() {
        var view = Endpoints([1, 1])
        view.loads = [5, 4]
        var balancer = LeastRequest()
        var random = SeededRandom(seed: 1)
        for _ in 0..<50 { #expect(balancer.pick(view, key: nil, excluded: Excluded(), using: &random) == 1) }
        view.weights = [2, 1]
        balancer.prepare(view, using: &random)
        for _ in 0..<50 { #expect(balancer.pick(view, key: nil, excluded: Excluded(), using: &random) == 0) }
    }
}
