// The addresses of a service.

/// One address traffic can be sent to.
public struct Endpoint: Sendable, Hashable {
    public var address: Address
    /// 1…1000, relative to the other endpoints of the service.
    public var weight = 1

    public init(address: Address, weight: Int = 1) {
        self.address = address
        self.weight = weight
    }
}

extension Endpoint {
    /// An address alone, or a map.
    static let form = Short(AddressForm(.endpoint), { Endpoint(address: $0) }, in: section)

    private static let section = Section(
        "endpoint", { _ in Endpoint(address: Address(kind: .any(port: 0), text: Text(""))) },
        later: ["zone", "tags", "state", "backup"]
    ) {
        Key(
            "address", AddressForm(.endpoint), \.address, required: true,
            "An IP address or name with a port, or a Unix socket.",
            example: "address: 10.0.0.11:8080")
        Key(
            "weight", Whole(1...1000), \.weight,
            "Share of the traffic relative to the other endpoints.",
            example: "weight: 3")
    }
}
