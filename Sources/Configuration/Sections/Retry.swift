// The section `retry` of a route.

extension Route {
    public struct Retry: Sendable, Equatable {
        public enum Condition: Hashable, Sendable {
            /// No connection could be made.
            case connect
            /// The connection was closed or reset before a response head.
            case reset
            /// No response head within `timeout.head`.
            case timeout
            /// The endpoint answered with this status, 500…599.
            case status(Int)
        }
        /// Tries in total, the first included, 1…10; 1 is no retry.
        public var attempts = 2
        /// In file order, without duplicates.
        public var on: [Condition] = [.connect, .reset]

        public init() {}
    }
}

extension Route.Retry {
    static let definition = Definition(
        "retry", Self(), later: ["backoff", "hedge"],
        [
            Setting(
                "attempts", Count(1...10), \.attempts,
                "Tries in total; 1 is no retry.",
                example: "attempts: 3"),
            Setting(
                "on", Distinct(RetryCondition()), \.on,
                "What is tried again: `connect` (no connection), `reset` (connection closed before a response), `timeout` (no response head in time), or a status.",
                example: "on: [connect, reset, 502, 503]"),
        ])
}
