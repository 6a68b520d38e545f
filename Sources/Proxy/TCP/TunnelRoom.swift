// TCP: connections that are tunnelled to an endpoint.

import Reactor
import WeirResilience

extension TokenKind {
    static let tunnelClient: UInt8 = 2
    static let tunnelUpstream: UInt8 = 3
}

final class TunnelRoom: Room {
    override var kinds: [UInt8] { [TokenKind.tunnelClient, TokenKind.tunnelUpstream] }

    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {
        guard let tunnel = worker.tunnels.pointer(token.handle) else { return }
        worker.tunnelReady(
            tunnel, readiness, side: token.kind == TokenKind.tunnelClient ? .client : .upstream)
    }

    override func expired(_ worker: Worker, _ token: Token) {
        if let tunnel = worker.tunnels.pointer(token.handle) { worker.tunnelDeadlinePassed(tunnel) }
    }

    override func serves(_ plan: ListenerPlan) -> Bool { plan.tunnels != nil }

    override func accept(
        _ worker: Worker, _ socket: Socket, peer: IPAddress, port: UInt16, _ plan: ListenerPlan
    ) {
        // Without a service, a server name is going to choose it.
        worker.openTunnel(socket, peer: peer, port: port, plan: plan, serviceID: plan.tunnels?.serviceID)
    }

    override func isEmpty(_ worker: Worker) -> Bool { worker.tunnels.count == 0 }

    override func closeEverything(_ worker: Worker) {
        worker.tunnels.each { worker.close($0, Failure(.drainDeadline, phase: .forward)) }
    }

    override func bury(_ worker: Worker, _ token: Token) { worker.tunnels.release(token.handle) }
}
