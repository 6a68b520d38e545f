// How datagrams become sessions.

extension Listener {
    /// How datagrams become sessions.
    public struct UDP: Sendable, Equatable {
        public enum Per: String, Sendable, CaseIterable {
            /// An endpoint is chosen for each session: a client stays with its endpoint.
            case session
            /// An endpoint is chosen for each datagram.
            case packet
        }
        public var per = Per.session
        /// Datagrams an endpoint answers each of the client's with; nil is any number.
        public var responses: Int?

        public init() {}
    }
}

extension Listener.UDP {
    static let section = Section("udp", { _ in Listener.UDP() }) {
        Key(
            "per", Choice(), \.per,
            "What an endpoint is chosen for. `session`: datagrams of one client (address and port) go to one endpoint until the session is idle. `packet`: each datagram goes where the balancer says.",
            example: "per: packet")
        Key(
            "responses", Whole(0...1_000_000).or("any"), \.responses,
            "Datagrams an endpoint answers each of the client's with. When all have come the session ends at once (DNS: 1). 0: no answer is expected (syslog, StatsD).",
            example: "responses: 1")
    }
}
