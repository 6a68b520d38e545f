// accept: a connection that speaks HTTP begins; behind a load balancer, with whom it is really from.

import WeirProxyProtocol
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    func openClient(_ socket: Socket, peer: IPAddress, port: UInt16, plan: ListenerPlan) {
        guard let (client, handle) = clients.allocate() else {
            plan.metrics.cell(worker: index).rejected()
            turnAway(socket)
            return
        }
        let token = Token(kind: TokenKind.client, handle: handle)
        client.initialize(
            to: ClientConnection(
                transport: Transport(socket), handle: handle, timer: timers.create(token),
                listenerID: plan.id,
                metrics: .passRetained(plan.metrics), peer: peer, peerPort: port,
                state: plan.requiresProxyHeader ? .proxyHeader : .idle))
        plan.metrics.cell(worker: index).connectionBegan()
        // A fresh connection owes us a head: the head deadline runs from here.
        setDeadline(client, .head, afterMs: plan.headTimeoutMs)
        if !plan.requiresProxyHeader && !beginHandshake(client, plan) { return }
        if poller.register(socket.fd, token) != 0 { close(client) }
    }

    // MARK: PROXY protocol

    /// Reads the header that tells whom a connection is really from. True when it is done.
    func readProxyHeader(_ client: ClientPointer) -> Bool {
        guard let input = bufferInput(client, capacity: 4096) else { return false }
        switch ProxyHeader.parse(input.readable, count: input.count) {
        case .needMore:
            return client.pointee.canRead
        case .complete(let header, let consumed):
            if header.family == .ip {
                client.pointee.peer = header.source
                client.pointee.peerPort = header.sourcePort
            }
            consumeInput(client, consumed)
            client.pointee.state = .idle
            guard let plan = listenerPlan(client) else { return true }
            return beginHandshake(client, plan)
        case .malformed(let position):
            rejectConnection(
                client, Failure(.proxyHeaderMalformed, phase: .accept, position: Int32(position)))
            return false
        }
    }

    /// One whose next request is already here is served, and told to close.
    func closeIfIdle(_ client: ClientPointer) {
        if client.pointee.state == .idle, client.pointee.transport.peek() <= 0 { close(client) }
    }
}
