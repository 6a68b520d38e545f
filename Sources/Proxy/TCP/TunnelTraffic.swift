// What a TCP listener's connections are: tunnels to one service, or to the one their server name chooses.

import Telemetry
import WeirRouting

public final class TunnelTraffic: ListenerTraffic, @unchecked Sendable {
    /// nil: `names` choose.
    let serviceID: Int?
    let names: ServerNamePlan?

    /// Every connection goes to one service.
    public init(serviceID: Int) {
        self.serviceID = serviceID
        names = nil
    }

    /// The server name in its ClientHello says to which a connection goes.
    public init(names: ServerNamePlan) {
        serviceID = nil
        self.names = names
    }
}

extension ListenerPlan {
    var tunnels: TunnelTraffic? { traffic as? TunnelTraffic }
}

/// The services of a TCP listener that passes TLS on by server name.
public struct ServerNamePlan: Sendable {
    public struct Target: Sendable {
        public let serviceID: Int
        /// Where its connections are counted.
        public let counters: RouteMetrics

        public init(serviceID: Int, counters: RouteMetrics) {
            self.serviceID = serviceID
            self.counters = counters
        }
    }
    /// Its choices are places in `targets`.
    public let names: ServerNames
    public let targets: [Target]

    public init(names: ServerNames, targets: [Target]) {
        self.names = names
        self.targets = targets
    }
}
