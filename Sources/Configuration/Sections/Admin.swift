// The admin listener.

public struct Admin: Sendable, Equatable {
    public var addresses = [
        Address(kind: .ip(host: "127.0.0.1", port: 9900), text: Text("127.0.0.1:9900"))
    ]
    /// Names besides those without a dot that may stand in Host, in lower case.
    public var hosts: [String] = []
    public var socketAccess = SocketAccess()

    public init() {}
}

extension Admin {
    static let section = Section("admin", { _ in Admin() }, later: ["auth", "tls"]) {
        Key(
            "address", OneOrMany(AddressForm(.listen)), \.addresses,
            "Where the admin listener listens.",
            example: "address: \"unix:/run/weir-admin.sock\"")
        Key(
            "hosts", OneOrMany(TextRule.hostName.mapped(to: name, from: { Text($0) })), \.hosts,
            "Names the admin listener may be asked by (the Host field) besides IP addresses, `localhost` and names without a dot.",
            example: "hosts: weir.monitoring.svc.cluster.local")
        SocketAccess.keys.map { $0.of(\Admin.socketAccess) }
    }

    /// "example.com." is the same name.
    @Sendable private static func name(_ text: Text) -> String? {
        let name = text.value.lowercased()
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }
}
