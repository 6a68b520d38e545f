// What the data plane runs on: an immutable picture of the configuration, compiled.
//
// The control plane builds a Snapshot and sends it to every worker; a worker swaps it in at a loop
// turn. Exchanges under way keep the snapshot they started with (SnapshotLease) until they end.
// Objects that live longer than a snapshot (endpoints, metrics) are shared between snapshots, so a
// reload touches only what changed.

import Reactor

/// Everything a worker needs to serve requests. Immutable.
public final class Snapshot: Sendable {
    /// Counts up from 1 with every change published.
    public let generation: UInt64
    /// By listener id; nil where a listener was removed.
    public let listeners: [ListenerPlan?]
    public let routes: [RoutePlan]
    /// By service id; nil where a service was removed.
    public let services: [ServicePlan?]
    public let forwarding: ForwardingPlan
    /// The same, to be read without counting references.
    let lentListeners: LentTable<ListenerPlan>
    let lentRoutes: LentTable<RoutePlan>
    let lentServices: LentTable<ServicePlan>

    public init(
        generation: UInt64, listeners: [ListenerPlan?], routes: [RoutePlan], services: [ServicePlan?],
        forwarding: ForwardingPlan
    ) {
        self.generation = generation
        self.listeners = listeners
        self.routes = routes
        self.services = services
        self.forwarding = forwarding
        lentListeners = LentTable(listeners)
        lentRoutes = LentTable(routes)
        lentServices = LentTable(services)
    }

    deinit {
        lentListeners.deallocate()
        lentRoutes.deallocate()
        lentServices.deallocate()
    }
}

/// Which fields tell the endpoint about the client and the way here.
public struct ForwardingPlan: Sendable, BitwiseCopyable {
    public var xForwarded: Bool
    public var forwarded: Bool
    public var via: Bool

    public init(xForwarded: Bool, forwarded: Bool, via: Bool) {
        self.xForwarded = xForwarded
        self.forwarded = forwarded
        self.via = via
    }
}
