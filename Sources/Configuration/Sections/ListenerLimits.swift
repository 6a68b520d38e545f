// Bounds on what clients can ask for.

extension Listener {
    public struct Limits: Sendable, Equatable {
        /// Bytes of a request head, and of a trailer section.
        public var headBytes = 65_536
        /// Field lines in a head or trailer section.
        public var fields = 200
        /// Bytes of a request target.
        public var targetBytes = 32_768
        /// Connections open at once on this listener, over all workers.
        public var connections = 100_000
        /// Requests on one connection before it is closed in an orderly way.
        public var requestsPerConnection = 10_000
        /// Streams open at once on one HTTP/2 connection.
        public var streams = 128
        /// UDP sessions open at once on this listener, over all workers.
        public var sessions = 10_000
        /// Bytes of a UDP datagram, in either direction.
        public var datagramBytes = 65_535
        /// Bytes of a request body; nil is no limit.
        public var bodyBytes: Int64?

        public init() {}
    }
}

extension Listener.Limits {
    static let section = Section("limits", { _ in Listener.Limits() }) {
        Key(
            "head", Size(1_024...1_048_576), \.headBytes, for: .http,
            "Bytes of a request head, and of a trailer section; more is a 431. HTTP only.",
            example: "head: 16KiB")
        Key(
            "fields", Whole(1...10_000), \.fields, for: .http,
            "Field lines of a head or trailer section; more is a 431. HTTP only.",
            example: "fields: 100")
        Key(
            "target", Size(64...1_048_576), \.targetBytes, for: .http,
            "Bytes of a request target; more is a 414. HTTP only.",
            example: "target: 8KiB")
        Key(
            "connections", Whole(1...10_000_000), \.connections, for: [.http, .tcp],
            "Connections open at once, over all workers. HTTP and TCP.",
            example: "connections: 20000")
        Key(
            "requests-per-connection", Whole(1...1_000_000_000), \.requestsPerConnection, for: .http,
            "Requests on one connection before it is closed in an orderly way. HTTP only.",
            example: "requests-per-connection: 1000")
        Key(
            "streams", Whole(1...10_000), \.streams, for: .http,
            "Streams a client may have open at once on an HTTP/2 connection. HTTP only.",
            example: "streams: 256")
        Key(
            "sessions", Whole(1...1_000_000), \.sessions, for: .udp,
            "UDP sessions open at once, over all workers; each has a socket. Datagrams of further sources are dropped and counted. UDP only.",
            example: "sessions: 20000")
        Key(
            "body", Size(0...1_125_899_906_842_624).or("none"), \.bodyBytes, for: .http,
            "Bytes of a request body, as they come on the wire without their framing; more is a 413. A route's `limits` may say otherwise. HTTP only.",
            example: "body: 10MiB")
        Key(
            "datagram", Size(1...65_535), \.datagramBytes, for: .udp,
            "Bytes of a datagram, in either direction; longer ones are dropped and counted. UDP only.",
            example: "datagram: 4KiB")
    }
}
