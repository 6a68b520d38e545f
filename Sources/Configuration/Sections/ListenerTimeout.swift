// The section `timeout` of a listener.

extension Listener {
    public struct Timeout: Sendable, Equatable {
        /// From the first byte of a request (or the end of the handshake) to the end of its head.
        public var headMs: Int64 = 10_000
        /// HTTP: without a request on a kept-alive connection. TCP and UDP: without a byte in either
        /// direction.
        public var idleMs: Int64 = 75_000
        /// Without a byte of a request body that is still to come.
        public var bodyMs: Int64 = 30_000
        /// Without the client taking a byte of a response that is waiting for it.
        public var writeMs: Int64 = 30_000
        /// Without a byte of a ClientHello, on a listener with `sni` that has a place for clients without one.
        public var helloMs: Int64 = 1_000

        public init() {}
    }
}

extension Listener.Timeout {
    static let definition = Definition(
        "timeout", Self(),
        [
            Setting(
                "head", Time(), \.headMs, for: [.http, .awaitedHead],
                "From the first byte of a request to the end of its head; also the deadline of a PROXY header, of a TLS handshake, and of a ClientHello for `sni`.",
                example: "head: 5s"),
            Setting(
                "idle", Time(), \.idleMs,
                "HTTP: a kept-alive connection without a request. TCP and UDP: no byte in either direction; the default is then 1h for TCP and 60s for UDP.",
                example: "idle: 2m"),
            Setting(
                "body", Time(), \.bodyMs, for: .http,
                "Without a byte of a request body that is still to come and that nobody has answered yet. HTTP only.",
                example: "body: 10s"),
            Setting(
                "write", Time(), \.writeMs, for: .http,
                "Without the client taking a byte of a response that waits for it. HTTP only.",
                example: "write: 10s"),
            Setting(
                "hello", Time(), \.helloMs, for: .silentClients,
                "A client that has said nothing for so long waits for the server to speak first: it goes where `*` of `sni` points. TCP only, with `sni` that has `*`.",
                example: "hello: 3s"),
        ])
}
