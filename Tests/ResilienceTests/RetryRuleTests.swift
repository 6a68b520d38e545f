import WeirResilience
import WeirBalancing
import Testing

@Suite struct RetryRuleTests {
    private func decide(
        _ reason: Reason, _ policy: RetryPolicy = RetryPolicy(), idempotent: Bool = true, sent: Sent = .all,
        replayable: Bool = true, reused: Bool = false, attempt: Int = 1,
        budget: RetryBudget = RetryBudget()
    ) -> RetryDecision {
        var budget = budget
        var random = SeededRandom(seed: 1)
        let facts = AttemptFacts(
            isIdempotent: idempotent, sent: sent, isReplayable: replayable, isReusedConnection: reused,
            attempt: attempt)
        return policy.decide(
            failure: Failure(reason, phase: .forward), facts, at: 0, budget: &budget, using: &random)
    }

    private func isCharged(_ decision: RetryDecision) -> Bool {
        if case .charged(let ms) = decision { return ms <= 25 }
        return false
    }

    @Test func connectFailuresAreRetriedForAnyMethod() {
        for reason in [Reason.connectRefused, .connectTimeout, .connectFailed] {
            #expect(isCharged(decide(reason, idempotent: false, sent: .none)))
            #expect(decide(reason, RetryPolicy(on: .reset), sent: .none) == .no(.notConfigured))
        }
    }

    @Test func resetsOnlyWhenSafe() {
        #expect(isCharged(decide(.upstreamReset)))
        #expect(decide(.upstreamReset, idempotent: false) == .no(.notIdempotent))
        #expect(decide(.upstreamReset, idempotent: false, sent: .partial) == .no(.notIdempotent))
        #expect(decide(.upstreamClosed, replayable: false) == .no(.notReplayable))
        #expect(isCharged(decide(.upstreamClosed, idempotent: false, sent: .none, replayable: false)))
    }

    @Test func theKeepAliveRaceIsFree() {
        var spent = RetryBudget(perMille: 0, floorPerSecond: 0)
        #expect(spent.tryCharge(at: 0) == false)
        let never = RetryPolicy(attemptsMax: 1, on: [])
        #expect(decide(.upstreamClosed, never, reused: true, attempt: 9, budget: spent) == .free)
        #expect(decide(.upstreamReset, never, idempotent: false, sent: .none, reused: true) == .free)
        #expect(decide(.upstreamReset, idempotent: false, reused: true) == .no(.notIdempotent))
        #expect(decide(.upstreamReset, replayable: false, reused: true) == .no(.notReplayable))
        // Not a race: the endpoint answered, badly.
        #expect(decide(.upstreamMalformedHead, reused: true) == .no(.notRetryable))
    }

    @Test func onlyWhatIsAskedFor() {
        #expect(decide(.upstreamReset, RetryPolicy(on: .connect)) == .no(.notConfigured))
        #expect(decide(.upstreamClosed, RetryPolicy(on: [.connect, .timeout])) == .no(.notConfigured))
        // Of what fails before anything is sent, none is repeated once something was.
        #expect(decide(.connectRefused, sent: .partial) == .no(.notRetryable))
        #expect(decide(.upstreamStreamRefused, sent: .all) == .no(.notRetryable))
    }

    @Test func attemptsAndBudgetEnd() {
        #expect(decide(.upstreamReset, attempt: 2) == .no(.attemptsSpent))
        #expect(
            isCharged(
                decide(.upstreamReset, RetryPolicy(attemptsMax: 3, backoff: Backoff(capMs: 25)), attempt: 2)))
        #expect(decide(.upstreamReset, RetryPolicy(attemptsMax: 1)) == .no(.attemptsSpent))
        let empty = RetryBudget(perMille: 0, floorPerSecond: 0)
        #expect(decide(.upstreamReset, budget: empty) == .no(.budgetSpent))
    }

    @Test func aRefusalIsNotCharged() {
        var budget = RetryBudget()
        var random = SeededRandom(seed: 1)
        let facts = AttemptFacts(
            isIdempotent: false, sent: .all, isReplayable: true, isReusedConnection: false, attempt: 1)
        let before = budget.remaining(at: 0)
        _ = RetryPolicy().decide(
            failure: Failure(.upstreamReset, phase: .forward), facts, at: 0, budget: &budget, using: &random)
        #expect(budget.remaining(at: 0) == before)
    }

    /// What ended a whole session says something about the endpoint: it is never the race of a kept connection.
    @Test func aBrokenSessionIsRepeatedLikeAResetButNotForNothing() {
        #expect(isCharged(decide(.upstreamSessionViolation)))
        #expect(isCharged(decide(.upstreamSessionViolation, reused: true)))
        #expect(decide(.upstreamSessionViolation, idempotent: false) == .no(.notIdempotent))
        #expect(decide(.upstreamSessionViolation, RetryPolicy(on: .connect)) == .no(.notConfigured))
    }

    /// Every reason that allows another attempt is allowed by exactly one word of a policy.
    @Test func eachReasonHasOneCondition() {
        for reason in Reason.allCases where reason.retry != .never {
            let allowing = [RetryConditions.connect, .reset, .timeout].filter {
                isCharged(decide(reason, RetryPolicy(on: $0), sent: .none))
            }
            #expect(allowing == [reason.retry.condition], "\(reason)")
        }
    }

    @Test func timeoutsOnlyWhenNamed() {
        #expect(decide(.upstreamHeadTimeout) == .no(.notConfigured))
        #expect(isCharged(decide(.upstreamHeadTimeout, RetryPolicy(on: .timeout))))
        #expect(
            decide(.upstreamHeadTimeout, RetryPolicy(on: .timeout), idempotent: false) == .no(.notIdempotent))
    }

    @Test func whatIsNotTheEndpointsDoingIsNeverRetried() {
        let all = RetryPolicy(attemptsMax: 9, on: [.connect, .reset, .timeout])
        for reason in Reason.allCases where reason.side != .upstream {
            for sent in Sent.allCases {
                #expect(decide(reason, all, sent: sent, reused: true) == .no(.notRetryable), "\(reason)")
            }
        }
    }

    @Test func statuses() {
        var budget = RetryBudget()
        var random = SeededRandom(seed: 1)
        let policy = RetryPolicy(statuses: StatusSet([503, 599, 404]))
        var facts = AttemptFacts(
            isIdempotent: true, sent: .all, isReplayable: true, isReusedConnection: true, attempt: 1)
        for (status, expected) in [(503, true), (599, true), (502, false), (404, false), (563, false)] {
            let decision = policy.decide(
                status: UInt16(status), facts, at: 0, budget: &budget, using: &random)
            #expect(isCharged(decision) == expected, "\(status)")
        }
        facts.isIdempotent = false
        facts.sent = .none
        #expect(
            policy.decide(status: 503, facts, at: 0, budget: &budget, using: &random) == .no(.notIdempotent))
    }

    @Test func backoffIsJitteredAndCapped() {
        let backoff = Backoff()
        #expect((1...6).map { backoff.ceilingMs(retry: $0) } == [25, 50, 100, 200, 250, 250])
        #expect(backoff.ceilingMs(retry: 1_000) == 250)
        #expect(Backoff(baseMs: .max, capMs: .max).ceilingMs(retry: 40) == .max)
        var random = SeededRandom(seed: 7)
        let delays = (0..<2_000).map { _ in backoff.delayMs(retry: 3, using: &random) }
        #expect(delays.max() == 100)
        #expect(delays.min() == 0)
        let mean = Double(delays.reduce(0, +)) / 2_000
        #expect(abs(mean - 50) < 3)
        #expect(Backoff(baseMs: 0).delayMs(retry: 1, using: &random) == 0)
    }
}
