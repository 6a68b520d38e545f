// What outlives a configuration: ids, endpoints, metrics and listening sockets, found again by name.
//
// A reload builds a new snapshot but finds the objects it shares with the old one here, so that
// pools, counters, balancer positions and listening sockets of what did not change live on.

import WeirCompression
import Configuration
import WeirHTTPModel
import Proxy
import Reactor
import Telemetry

/// The registry of long-lived objects. Belongs to the control plane; guarded by its lock.
struct LongLivedObjects {
    private var listenerIDs: [String: Int] = [:]
    private var serviceIDs: [String: Int] = [:]
    private var endpoints: [EndpointKey: Proxy.Endpoint] = [:]
    private var sockets: [String: ListeningSockets] = [:]
    /// Those no configuration names any more, while workers still accept what had come to them.
    private var endingSockets: [EndingSockets] = []
    /// Fixed bodies in every coding: made once, however often a snapshot is, as long as a plan has them.
    private var codedBodies: [CodedKey: HeldBodies] = [:]
    private let endpointIDs = EndpointIDs()
    private var nextSocketsID = 0

    private struct CodedKey: Hashable {
        var body: [UInt8]
        var compression: Route.Compression
    }

    private struct HeldBodies {
        weak var bodies: CodedBodies?
    }

    private struct EndingSockets {
        weak var sockets: ListeningSockets?
    }

    struct EndpointKey: Hashable {
        var service: String
        var name: String
        var address: SocketAddress
    }

    /// Dense ids; a name keeps its id for the life of the process.
    mutating func listenerID(_ name: String) -> Int { Self.id(name, in: &listenerIDs) }
    mutating func serviceID(_ name: String) -> Int { Self.id(name, in: &serviceIDs) }
    var listenerCount: Int { listenerIDs.count }
    var serviceCount: Int { serviceIDs.count }

    private static func id(_ name: String, in table: inout [String: Int]) -> Int {
        if let id = table[name] { return id }
        let id = table.count
        table[name] = id
        return id
    }

    /// - Parameter weight: what the configuration says.
    mutating func endpoint(_ key: EndpointKey, weight: UInt32, metrics: MetricsRegistry) -> Proxy.Endpoint {
        if let endpoint = endpoints[key] {
            endpoint.configure(weight: weight)
            return endpoint
        }
        let endpoint = Proxy.Endpoint(
            ids: endpointIDs, address: key.address, weight: weight, name: key.name, host: Self.host(key),
            metrics: metrics.endpoint(key.name, service: key.service))
        endpoints[key] = endpoint
        return endpoint
    }

    /// A fixed body in the codings of a route's compression.
    mutating func codedBodies(of body: StaticBytes, _ compression: Route.Compression) -> CodedBodies {
        let key = CodedKey(body: Array(body.bytes), compression: compression)
        if let known = codedBodies[key]?.bodies { return known }
        let coded = CodedBodies(body, rule: CompressionRule(compression), pool: EncoderPool())
        codedBodies[key] = HeldBodies(bodies: coded)
        return coded
    }

    /// The name an endpoint is known by to itself: as configured, or its address.
    private static func host(_ key: EndpointKey) -> String {
        switch key.address {
        case .unix, .zoned: return "localhost"
        case .ip(let address, _):
            let name = key.name.prefix { $0 != "/" }
            return name.count < key.name.count ? String(name) : "\(address)"
        }
    }

    /// The sockets listening on an address, if there are any.
    func sockets(at address: String) -> ListeningSockets? { sockets[address] }

    mutating func add(_ new: ListeningSockets, at address: String) { sockets[address] = new }

    mutating func socketsID() -> Int {
        nextSocketsID += 1
        return nextSocketsID
    }

    /// The sockets of all addresses.
    var allSockets: [ListeningSockets] { Array(sockets.values) }

    /// Whether an address is taken by sockets of ours, for itself or as part of a wider one.
    func overlaps(_ address: SocketAddress, isDatagram: Bool) -> Bool {
        let open = allSockets + endingSockets.compactMap(\.sockets)
        return open.contains { $0.isDatagram == isDatagram && $0.address.overlaps(address) }
    }

    /// Forgets what no configuration names any more. Sockets begin to end, before the workers hear of it.
    mutating func keepOnly(endpoints kept: Set<EndpointKey>, sockets addresses: Set<String>) {
        for (key, gone) in endpoints where !kept.contains(key) {
            // What began under an older snapshot prefers those that are left.
            gone.discovered(false)
            endpoints[key] = nil
        }
        codedBodies = codedBodies.filter { $0.value.bodies != nil }
        endingSockets.removeAll { $0.sockets == nil }
        for (address, gone) in sockets where !addresses.contains(address) {
            gone.beginEnd()
            endingSockets.append(EndingSockets(sockets: gone))
            sockets[address] = nil
        }
    }
}
