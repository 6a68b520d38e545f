// Requests of the client by purpose and outcome, and the time they took.

import Reactor

/// Counters of one client. They outlive it.
public final class HTTPClientMetrics: Sendable {
    private let rows = Locked<[HTTPClientValues]>([])

    public init() {}

    func ended(_ purpose: HTTPClient.Purpose, _ outcome: HTTPClient.Outcome, ns: UInt64) {
        rows.withLock { rows in
            if !rows.contains(where: { $0.purpose == purpose }) {
                rows.append(HTTPClientValues(purpose: purpose))
                rows.sort { $0.purpose.rawValue < $1.purpose.rawValue }
            }
            for i in rows.indices where rows[i].purpose == purpose {
                rows[i].ended[outcome.rawValue] += 1
                rows[i].ns += ns
            }
        }
    }

    /// Those purposes that something was asked for.
    public func values() -> [HTTPClientValues] { rows.withLock { $0 } }
}

/// What was asked for one purpose.
public struct HTTPClientValues: Sendable, Equatable {
    public var purpose: HTTPClient.Purpose
    /// By the outcome's raw value.
    public var ended = [UInt64](repeating: 0, count: HTTPClient.Outcome.allCases.count)
    /// From being asked to the end, summed up.
    public var ns: UInt64 = 0

    public init(purpose: HTTPClient.Purpose) { self.purpose = purpose }
}
