// The section `websocket` of a route.

extension Route {
    /// What Weir does on WebSockets of its own accord.
    public struct WebSocket: Sendable, Equatable {
        /// A client silent for so long is sent a Ping; nil is never.
        public var pingMs: Int64?
        /// It has this long to answer, or to send anything else.
        public var pongTimeoutMs: Int64 = 10_000

        public init() {}
    }
}

extension Route.WebSocket {
    static let definition = Definition(
        "websocket", Self(),
        [
            Setting(
                "ping", OrNil("off", Time(100...86_400_000)), \.pingMs,
                "A client that has been silent for so long is sent a Ping; its Pong does not reach the endpoint. Shorter than `timeout.upgraded`.",
                example: "ping: 30s"),
            Setting(
                "pong-timeout", Time(100...86_400_000), \.pongTimeoutMs,
                "How long the client then has to send its Pong, or anything else, before the connection is closed.",
                example: "pong-timeout: 5s"),
        ])
}
