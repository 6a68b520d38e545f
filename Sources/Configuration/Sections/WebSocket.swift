// What Weir does on WebSockets of its own accord.

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
    static let section = Section("websocket", { _ in Route.WebSocket() }) {
        Key(
            "ping", Duration(100...86_400_000).or("off"), \.pingMs,
            "A client that has been silent for so long is sent a Ping; its Pong does not reach the endpoint. Shorter than `timeout.upgraded`.",
            example: "ping: 30s")
        Key(
            "pong-timeout", Duration(100...86_400_000), \.pongTimeoutMs,
            "How long the client then has to send its Pong, or anything else, before the connection is closed.",
            example: "pong-timeout: 5s")
    }
}
