// What is spoken on a listener, for the room of the data plane that speaks it.

import Configuration
import Proxy
import WeirRouting

extension SnapshotBuilder {
    func traffic(_ listener: Listener, _ objects: inout LongLivedObjects) -> ListenerTraffic {
        switch (listener.protocol, listener.service) {
        case (.tcp, _) where !listener.serverNames.isEmpty:
            return TunnelTraffic(names: plan(listener.serverNames, &objects))
        case (.tcp, let service?):
            return TunnelTraffic(serviceID: objects.serviceID(service.value))
        case (.udp, let service?):
            return DatagramTraffic(
                serviceID: objects.serviceID(service.value),
                DatagramPlan(
                    isPerPacket: listener.udp.per == .packet, responses: listener.udp.responses,
                    sessionsMax: (listener.limits.sessions + workerCount - 1) / workerCount,
                    bytesMax: listener.limits.datagramBytes))
        default:
            return HTTPTraffic()
        }
    }

    private func plan(_ names: [Listener.ServerName], _ objects: inout LongLivedObjects) -> ServerNamePlan {
        var table = ServerNames()
        var targets: [ServerNamePlan.Target] = []
        for name in names {
            // Checked when the file was read: a name that is one is one here too.
            guard let pattern = try? HostPattern.parse(name.pattern.value) else { continue }
            table.add(pattern, choice: targets.count)
            targets.append(
                ServerNamePlan.Target(
                    serviceID: objects.serviceID(name.service.value),
                    counters: metrics.route("-", service: name.service.value)))
        }
        return ServerNamePlan(names: table, targets: targets)
    }
}
