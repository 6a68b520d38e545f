// When the responder of a certificate is asked again.
//
// At half of an answer's life, so that the other half is left for a responder that is down; after a
// failure soon, then ever less often. Plain data, time and randomness are parameters. Tries are timed by
// the monotonic clock: a wall clock that is set back must not stop them.

import TLS

struct StapleSchedule: Sendable, Equatable {
    /// Shortest time between two answers, milliseconds: a responder may hand out one that is about to end.
    static let refreshMinMs: UInt64 = 10_000
    /// Longest wait after the first failure, milliseconds; doubled after each further one.
    static let retryFirstMs: UInt64 = 4_000
    static let retryMaxMs: UInt64 = 3_600_000

    /// Monotonic milliseconds; 0 at first: at once.
    private(set) var nextMs: UInt64 = 0
    /// Failures since the last answer.
    private(set) var failures = 0

    func isDue(nowMs: UInt64) -> Bool { nowMs >= nextMs }

    /// An answer was taken.
    /// - Parameters:
    ///   - nowSeconds: wall clock, in which the answer speaks.
    ///   - nowMs: monotonic.
    mutating func taken(_ answer: OCSPAnswer, nowSeconds: Int64, nowMs: UInt64) {
        failures = 0
        let left = answer.expiresSeconds - nowSeconds
        let untilHalf = answer.thisUpdate + (answer.expiresSeconds - answer.thisUpdate) / 2 - nowSeconds
        // One that is past its half already: half of what is left.
        let waitSeconds = untilHalf > 0 ? untilHalf : left / 2
        nextMs = nowMs + max(Self.refreshMinMs, UInt64(max(0, waitSeconds)) * 1_000)
    }

    /// No answer, or none that can be used.
    /// - Parameter jitter: 0…1; spreads the tries of many processes over half of the wait.
    mutating func failed(nowMs: UInt64, jitter: Double) {
        failures += 1
        let ceiling = min(Self.retryMaxMs, Self.retryFirstMs << UInt64(min(failures - 1, 16)))
        nextMs = nowMs + ceiling / 2 + UInt64(Double(ceiling / 2) * min(max(jitter, 0), 1))
    }
}
