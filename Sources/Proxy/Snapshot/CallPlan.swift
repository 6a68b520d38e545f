// What stands for a listener to calls (State/CallRequest.swift), which come by none.

import Telemetry
import WeirHTTP1
import WeirRouting

extension ListenerPlan {
    /// What stands for a listener to calls. Nobody listens; its figures are nobody's.
    static func ofCalls(worker index: Int) -> ListenerPlan {
        ListenerPlan(
            id: .max, name: "-", traffic: CallTraffic(), sockets: [], router: Router([]), routeIndexes: [],
            requiresProxyHeader: false, streams: StreamProtocol(), headLimits: HeadLimits(),
            headTimeoutMs: .max, idleTimeoutMs: .max, bodyTimeoutMs: .max, writeTimeoutMs: .max,
            bytesPerSecondMin: 0, connectionsMax: 0, requestsPerConnectionMax: .max,
            metrics: ListenerMetrics(listener: "-", workers: index + 1),
            unrouted: RouteMetrics(route: "-", service: "-", workers: index + 1))
    }
}

final class CallTraffic: ListenerTraffic, @unchecked Sendable {
    override init() {}
}
