// Deadlines towards clients.

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
    private static let anyTime: ClosedRange<Int64> = 1...86_400_000

    /// What is idle depends on what goes through.
    static func idleMs(_ protocol: Listener.`Protocol`) -> Int64 {
        switch `protocol` {
        case .http: Self().idleMs
        case .tcp: 3_600_000
        case .udp: 60_000
        }
    }

    static let section = Section("timeout", { _ in Listener.Timeout() }) {
        Key(
            "head", Duration(anyTime), \.headMs, for: [.http, .awaitedHead],
            "From the first byte of a request to the end of its head; also the deadline of a PROXY header, of a TLS handshake, and of a ClientHello for `sni`.",
            example: "head: 5s")
        Key(
            "idle", Duration(anyTime), \.idleMs,
            "HTTP: a kept-alive connection without a request. TCP and UDP: no byte in either direction; the default is then 1h for TCP and 60s for UDP.",
            example: "idle: 2m")
        Key(
            "body", Duration(anyTime), \.bodyMs, for: .http,
            "Without a byte of a request body that is still to come and that nobody has answered yet. HTTP only.",
            example: "body: 10s")
        Key(
            "write", Duration(anyTime), \.writeMs, for: .http,
            "Without the client taking a byte of a response that waits for it. HTTP only.",
            example: "write: 10s")
        Key(
            "hello", Duration(anyTime), \.helloMs, for: .silentClients,
            "A client that has said nothing for so long waits for the server to speak first: it goes where `*` of `sni` points. TCP only, with `sni` that has `*`.",
            example: "hello: 3s")
    }
}
