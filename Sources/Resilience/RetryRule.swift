// Whether a failed attempt is followed by another one.
//
// Law 7: only what is safe (idempotent, or nothing sent, or the race of a reused connection), never
// beyond the budget, with back-off. The caller asks only while no byte of a response has reached the
// client, and chooses the endpoint itself, excluding those already tried.
// RFC 9110 §9.2.2 (idempotent methods), RFC 9112 §9.3.1 (retrying after a connection closes).

/// How much of a request reached the connection of the failed attempt.
public enum Sent: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// No byte was handed to the kernel.
    case none
    case partial
    /// The whole message.
    case all
}

/// The conditions a policy retries on.
public struct RetryConditions: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The connection could not be made: refused, unreachable, not in time.
    @inlinable public static var connect: RetryConditions { RetryConditions(rawValue: 1) }
    /// The endpoint closed or reset the connection before a response.
    @inlinable public static var reset: RetryConditions { RetryConditions(rawValue: 2) }
    /// The endpoint did not take the request or answer in time. It may still be working on it, so no policy has this
    /// unless it is named; it allows it for idempotent requests.
    @inlinable public static var timeout: RetryConditions { RetryConditions(rawValue: 4) }
}

/// A set of statuses 500…599.
public struct StatusSet: Sendable, Equatable, BitwiseCopyable {
    private var low: UInt64 = 0
    private var high: UInt64 = 0

    public init() {}
    public init(_ statuses: [UInt16]) {
        for status in statuses { insert(status) }
    }

    /// - Returns: false (and no change) when the status is not 500…599.
    @discardableResult
    public mutating func insert(_ status: UInt16) -> Bool {
        guard status >= 500, status <= 599 else { return false }
        if status < 564 { low |= 1 << UInt64(status - 500) } else { high |= 1 << UInt64(status - 564) }
        return true
    }

    public func contains(_ status: UInt16) -> Bool {
        guard status >= 500, status <= 599 else { return false }
        return status < 564 ? low >> UInt64(status - 500) & 1 == 1 : high >> UInt64(status - 564) & 1 == 1
    }
}

/// Why no other attempt is made.
public enum RetryRefusal: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// The failure is of a kind that another attempt cannot help or must not repeat.
    case notRetryable
    /// The policy does not name this condition.
    case notConfigured
    case attemptsSpent
    /// Something was sent and the method is not idempotent.
    case notIdempotent
    /// Something was sent and the body is no longer held.
    case notReplayable
    case budgetSpent

    public var name: StaticString {
        switch self {
        case .notRetryable: "not-retryable"
        case .notConfigured: "not-configured"
        case .attemptsSpent: "attempts-spent"
        case .notIdempotent: "not-idempotent"
        case .notReplayable: "not-replayable"
        case .budgetSpent: "budget-spent"
        }
    }
}

public enum RetryDecision: Sendable, Equatable, BitwiseCopyable {
    case no(RetryRefusal)
    /// Repeat at once on a **fresh** connection: the reused one had been closed by the endpoint while
    /// idle. Not charged and not counted as an attempt; a fresh connection cannot lead here again.
    case free
    /// Repeat after the back-off; one retry was taken from the budget.
    case charged(backoffMs: UInt32)
}

/// What is known about an attempt that failed.
public struct AttemptFacts: Sendable, BitwiseCopyable {
    /// RFC 9110 §9.2.2, `Method.isIdempotent`.
    public var isIdempotent: Bool
    public var sent: Sent
    /// Everything sent is still held and can be sent again.
    public var isReplayable: Bool
    /// The attempt ran on a connection that had served a request before.
    public var isReusedConnection: Bool
    /// Attempts made so far, the failed one included, those followed by a free retry not: 1, 2, …
    public var attempt: Int

    @inlinable
    public init(
        isIdempotent: Bool, sent: Sent, isReplayable: Bool, isReusedConnection: Bool, attempt: Int
    ) {
        self.isIdempotent = isIdempotent
        self.sent = sent
        self.isReplayable = isReplayable
        self.isReusedConnection = isReusedConnection
        self.attempt = attempt
    }
}

/// When and how often a request is attempted again. Plain data.
public struct RetryPolicy: Sendable, BitwiseCopyable {
    /// Attempts in total, the first included: 1 means no retry. The free retry of a reused connection
    /// is not counted.
    public var attemptsMax: Int
    public var on: RetryConditions
    /// Statuses of an endpoint that are retried (idempotent, replayable requests only).
    public var statuses: StatusSet
    public var backoff: Backoff

    public init(
        attemptsMax: Int = 2, on: RetryConditions = [.connect, .reset], statuses: StatusSet = StatusSet(),
        backoff: Backoff = Backoff()
    ) {
        self.attemptsMax = attemptsMax
        self.on = on
        self.statuses = statuses
        self.backoff = backoff
    }

    /// What follows a failed attempt. `budget` is charged only when the answer is `.charged`.
    @inlinable
    public func decide<R: RandomNumberGenerator>(
        failure: Failure, _ facts: AttemptFacts, at nowMs: UInt64, budget: inout RetryBudget,
        using random: inout R
    ) -> RetryDecision {
        let isUnsent = facts.sent == .none
        let retry = failure.reason.retry
        switch retry {
        case .never: return .no(.notRetryable)
        case .unreached where !isUnsent: return .no(.notRetryable)
        case .lost where facts.isReusedConnection && (isUnsent || (facts.isIdempotent && facts.isReplayable)):
            // The race of keep-alive comes before every other rule: it says nothing about the endpoint,
            // so neither `on`, `attemptsMax` nor the budget speaks about it.
            return .free
        case .unreached, .lost, .broken, .late: break
        }
        guard on.contains(retry.condition) else { return .no(.notConfigured) }
        return charge(facts, at: nowMs, budget: &budget, using: &random)
    }

    /// What follows a response head with this status, before any of it was passed to the client.
    /// The endpoint has handled the request, so only idempotent ones are repeated.
    @inlinable
    public func decide<R: RandomNumberGenerator>(
        status: UInt16, _ facts: AttemptFacts, at nowMs: UInt64, budget: inout RetryBudget,
        using random: inout R
    ) -> RetryDecision {
        guard statuses.contains(status) else { return .no(.notConfigured) }
        var facts = facts
        // A response proves that the request arrived, whatever the caller counted.
        if facts.sent == .none { facts.sent = .partial }
        return charge(facts, at: nowMs, budget: &budget, using: &random)
    }

    @inlinable
    func charge<R: RandomNumberGenerator>(
        _ facts: AttemptFacts, at nowMs: UInt64, budget: inout RetryBudget, using random: inout R
    ) -> RetryDecision {
        if facts.sent != .none {
            guard facts.isIdempotent else { return .no(.notIdempotent) }
            guard facts.isReplayable else { return .no(.notReplayable) }
        }
        guard facts.attempt < attemptsMax else { return .no(.attemptsSpent) }
        guard budget.tryCharge(at: nowMs) else { return .no(.budgetSpent) }
        return .charged(backoffMs: backoff.delayMs(retry: facts.attempt, using: &random))
    }
}
