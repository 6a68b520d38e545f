// WeirResilience: what its page shows.

import WeirResilience

enum ResilienceExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        struct Dice: RandomNumberGenerator {
            mutating func next() -> UInt64 { .max }
        }
        var dice = Dice()
        // A fifth of the requests that complete may be tried again, and three a second besides.
        var budget = RetryBudget()
        let policy = RetryPolicy(attemptsMax: 2, on: [.connect, .reset])
        let failure = Failure(.connectRefused, phase: .forward)
        let facts = AttemptFacts(
            isIdempotent: true, sent: .none, isReplayable: true, isReusedConnection: false, attempt: 1)
        switch policy.decide(failure: failure, facts, at: 1_000, budget: &budget, using: &dice) {
        case .charged(let backoffMs): print("again, in \(backoffMs) ms")
        case .free: print("again, at once")
        case .no(let refusal): print("no: \(refusal.name)")
        }
        print("\(failure.reason.name) is a \(failure.reason.status)")
        // …to here.
    }
}
