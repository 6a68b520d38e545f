// Who is picked when something speaks against endpoints: weights and states that change between two picks, panic,
// and a method that needs a key. Virtual, from seeds.

import WeirBalancing
import Testing

@Suite struct ChoiceTests {
    private func shares(
        _ balancer: inout Balancer, _ view: Endpoints, picks: Int = 20_000, seed: UInt64 = 7
    ) -> [Double] {
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: view.count)
        for _ in 0..<picks {
            var excluded = Excluded()
            if let i = balancer.choose(view, excluded: &excluded, using: &random) { counts[i] += 1 }
        }
        return counts.map { Double($0) / Double(picks) }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func sharesFollowAWeightThatChanges(method: BalancingMethodName) {
        var balancer = Balancer(method)
        var random = SeededRandom(seed: 5)
        var view = Endpoints([1, 1, 2])
        balancer.prepare(view, using: &random)
        for (weights, expected) in [
            ([1, 1, 2], [0.25, 0.25, 0.5]), ([6, 1, 1], [0.75, 0.125, 0.125]), ([0, 3, 1], [0, 0.75, 0.25]),
        ] as [([UInt32], [Double])] {
            view.weights = weights
            balancer.prepare(view, using: &random)
            for (share, wanted) in zip(shares(&balancer, view), expected) {
                #expect(abs(share - wanted) < 0.015, "\(method) \(weights)")
            }
        }
    }

    @Test(arguments: BalancingMethodName.allCases)
    func aStateThatChangesCountsWithTheNextPick(method: BalancingMethodName) {
        var balancer = Balancer(method)
        var view = Endpoints([1, 1, 1])
        #expect(shares(&balancer, view).allSatisfy { abs($0 - 1 / 3) < 0.015 })
        view.ill = [0]
        #expect(shares(&balancer, view)[0] == 0)
        view.ill = []
        #expect(shares(&balancer, view).allSatisfy { abs($0 - 1 / 3) < 0.015 })
    }

    @Test(arguments: BalancingMethodName.allCases)
    func inPanicTheIllAreAskedAndTheDownAreNot(method: BalancingMethodName) {
        var balancer = Balancer(method)
        var view = Endpoints([1, 1, 1, 0])
        view.ill = [0, 1]
        view.down = [2]
        let parts = shares(&balancer, view)
        #expect(abs(parts[0] - 0.5) < 0.015 && abs(parts[1] - 0.5) < 0.015)
        #expect(parts[2] == 0 && parts[3] == 0)
        view.down = [0, 1, 2]
        #expect(shares(&balancer, view) == [0, 0, 0, 0])
    }

    /// The healthy first, then the ill, each once; then all over again.
    @Test(arguments: BalancingMethodName.allCases)
    func attemptsGoToTheHealthyThenToTheIll(method: BalancingMethodName) {
        for seed in 0..<50 {
            var balancer = Balancer(method)
            var random = SeededRandom(seed: UInt64(seed))
            var view = Endpoints([1, 1, 1, 1])
            view.ill = [1, 3]
            view.down = [2]
            var excluded = Excluded()
            var tried: [Int] = []
            for _ in 0..<4 {
                guard let i = balancer.choose(view, excluded: &excluded, using: &random) else { break }
                excluded.insert(i)
                tried.append(i)
            }
            #expect(tried.count == 4)
            #expect(tried.first == 0 && Set(tried[1...2]) == [1, 3])
            #expect(tried.last == 0, "all have been tried: the healthy one again")
        }
    }

    @Test func oneAloneIsAskedWhateverItDidUnlessItIsTakenOut() {
        var balancer = Balancer(.leastRequest)
        var random = SeededRandom(seed: 1)
        var excluded = Excluded()
        excluded.insert(0)
        var view = Endpoints([1])
        view.ill = [0]
        #expect(balancer.choose(view, excluded: &excluded, using: &random) == 0)
        view.down = [0]
        #expect(balancer.choose(view, excluded: &excluded, using: &random) == nil)
        view.down = []
        view.weights = [0]
        #expect(balancer.choose(view, excluded: &excluded, using: &random) == nil)
    }
}

/// Highest random weight: what a method that goes by keys needs of the view, and no more.
private struct Rendezvous: BalancingMethod {
    mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(_: V, using _: inout R) {}

    mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: Excluded, using random: inout R
    ) -> Int? {
        let key = key ?? random.next()
        var best: (index: Int, score: UInt64)?
        for i in 0..<view.count
        where view.standing(i).isDisjoint(with: view.barring) && view.weight(i) > 0 && !excluded.contains(i) {
            let score = StableHash.mixed(key ^ view.identity(i))
            if best.map({ score > $0.score }) ?? true { best = (i, score) }
        }
        return best?.index
    }
}

@Suite struct KeyedMethodTests {
    private static let keys = (0..<20_000).map { StableHash.of("client \($0)".utf8) }

    private func names(_ view: Endpoints) -> [UInt64?] {
        var method = Rendezvous()
        var random = SeededRandom(seed: 1)
        return Self.keys.map { key in
            method.pick(view, key: key, excluded: Excluded(), using: &random).map { view.names[$0] }
        }
    }

    /// Keys belong to endpoints by who they are, not by their place: only those of the one that goes move.
    @Test func onlyTheKeysOfTheOneThatGoesMove() {
        let all = Endpoints([1, 1, 1, 1, 1])
        let before = names(all)
        for name in all.names {
            let share = Double(before.filter { $0 == name }.count) / Double(before.count)
            #expect(abs(share - 0.2) < 0.015)
        }
        var fewer = Endpoints([1, 1, 1, 1])
        let gone = all.names[2]
        fewer.names = all.names.filter { $0 != gone }.reversed()
        var drained = all
        drained.down = [2]
        for view in [fewer, drained] {
            for (old, new) in zip(before, names(view)) {
                #expect(old == gone ? new != gone && new != nil : new == old)
            }
        }
    }

    @Test func hashesAreTheSameInEveryProcess() {
        #expect(StableHash.of("10.0.0.1:80".utf8) == StableHash.of(Array("10.0.0.1:80".utf8)))
        #expect(StableHash.of("".utf8) == 0xf52a_15e9_a9b5_e89b)
    }
}
