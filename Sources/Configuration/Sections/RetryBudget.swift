// What bounds the retries of a service.

extension Service {
    /// Tokens for retries: `ratio` of the requests completed in the last 10 s, plus `floor`.
    public struct RetryBudget: Sendable, Equatable {
        /// Parts per thousand: 200 is 20 %.
        public var ratioPerMille = 200
        /// Retries per second that are always allowed.
        public var floorPerSecond = 3

        public init() {}
    }
}

extension Service.RetryBudget {
    static let section = Section("retry-budget", { _ in Service.RetryBudget() }) {
        Key(
            "ratio", Percent(0...1000), \.ratioPerMille,
            "Retries as a share of completed requests.",
            example: "ratio: 10%")
        Key(
            "floor", Rate(0...1_000_000), \.floorPerSecond,
            "Retries that are always allowed.",
            example: "floor: 1/s")
    }
}
