// The section `timeout` of a route.

extension Route {
    public struct Timeout: Sendable, Equatable {
        /// From the whole request sent to the head of the response received.
        public var headMs: Int64 = 60_000
        /// Without a byte from or to the endpoint after that.
        public var idleMs: Int64 = 60_000
        /// From the request's head to the last byte of the response; nil is no limit.
        public var totalMs: Int64?
        /// Silence in both directions after an upgrade.
        public var upgradedMs: Int64 = 3_600_000

        public init() {}
    }
}

extension Route.Timeout {
    static let definition = Definition(
        "timeout", Self(),
        [
            Setting(
                "head", Time(), \.headMs,
                "From the request sent to the head of the response.",
                example: "head: 10s"),
            Setting(
                "idle", Time(), \.idleMs,
                "Without a byte from or to the endpoint once it answers; for gRPC calls from their beginning.",
                example: "idle: 5m"),
            Setting(
                "total", OrNil("none", Time()), \.totalMs,
                "From the head of the request to the last byte of the response, retries included.",
                example: "total: 30s"),
            Setting(
                "upgraded", Time(), \.upgradedMs,
                "Without a byte in either direction after an upgrade (WebSocket, CONNECT). No other deadline runs then.",
                example: "upgraded: 10m"),
        ])
}
