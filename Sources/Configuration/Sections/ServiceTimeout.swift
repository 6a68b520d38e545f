// The section `timeout` of a service.

extension Service {
    public struct Timeout: Sendable, Equatable {
        public var connectMs: Int64 = 2_000

        public init() {}
    }
}

extension Service.Timeout {
    static let definition = Definition(
        "timeout", Self(), later: ["handshake"],
        [
            Setting(
                "connect", Time(1...600_000), \.connectMs,
                "Deadline for a connection to an endpoint.",
                example: "connect: 500ms")
        ])
}
