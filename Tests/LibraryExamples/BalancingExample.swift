// WeirBalancing: what its page shows.

import WeirBalancing

enum BalancingExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        var random = SeededRandom(seed: 1)
        var view = Candidates([
            Candidate("a", load: 9), Candidate("b", load: 0), Candidate("c", load: 5, standing: .draining),
        ])
        var balancer = Balancer(.leastRequest)
        balancer.prepare(view, using: &random)
        var tried = Excluded()
        let first = balancer.choose(view, excluded: &tried, using: &random)
        print(first.map { view.all[$0].name } ?? "nobody")
        // That one failed: whoever has been tried comes last.
        if let first { tried.insert(first) }
        let second = balancer.choose(view, excluded: &tried, using: &random)
        print(second.map { view.all[$0].name } ?? "nobody")
        // An operator took everybody out.
        view.all = view.all.map { Candidate($0.name, standing: .down) }
        print(balancer.choose(view, excluded: &tried, using: &random).map { view.all[$0].name } ?? "nobody")
        // …to here.
    }
}
