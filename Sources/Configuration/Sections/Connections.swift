// The pool of connections to endpoints.

extension Service {
    public struct Connections: Sendable, Equatable {
        /// Idle connections kept per endpoint and worker; 0 keeps none.
        public var idle = 512
        /// How long an idle connection is kept.
        public var idleTimeoutMs: Int64 = 4_000
        /// Connections per endpoint and worker, busy ones included; 0 is no limit.
        public var max = 0

        public init() {}
    }
}

extension Service.Connections {
    static let section = Section("connections", { _ in Service.Connections() }) {
        Key(
            "idle", Whole(0...100_000), \.idle,
            "Idle connections kept per endpoint and worker; 0 keeps none.",
            example: "idle: 16")
        Key(
            "idle-timeout", Duration(1...86_400_000), \.idleTimeoutMs,
            "How long an idle connection is kept. Keep it below the idle timeout of the endpoint (5 s in many servers).",
            example: "idle-timeout: 30s")
        Key(
            "max", Whole(0...1_000_000), \.max,
            "Connections per endpoint and worker, busy ones included; 0 is no limit.",
            example: "max: 200")
    }
}
