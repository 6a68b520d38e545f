// HTTP: connections of clients and to endpoints, the streams they carry, the exchanges on them.

import WeirProxyProtocol
import Reactor
import WeirResilience
import Telemetry

final class HTTPRoom: Room {
    override var kinds: [UInt8] {
        [
            TokenKind.client, TokenKind.upstream, TokenKind.exchange, TokenKind.exchangeTotal,
            TokenKind.session, TokenKind.stream, TokenKind.attempt,
            TokenKind.call,
        ]
    }

    override func ready(_ worker: Worker, _ token: Token, _ readiness: Readiness) {
        switch token.kind {
        case TokenKind.client:
            if let client = worker.clients.pointer(token.handle) { worker.clientReady(client, readiness) }
        case TokenKind.upstream:
            if let upstream = worker.upstreams.pointer(token.handle) {
                worker.upstreamReady(upstream, readiness)
            }
        case TokenKind.call: worker.beginCalls()
        default:
            if let exchange = worker.exchanges.pointer(token.handle) { worker.goOn(exchange) }
        }
    }

    override func expired(_ worker: Worker, _ token: Token) {
        switch token.kind {
        case TokenKind.client:
            if let client = worker.clients.pointer(token.handle) { worker.clientDeadlinePassed(client) }
        case TokenKind.upstream:
            if let upstream = worker.upstreams.pointer(token.handle) {
                worker.upstreamDeadlinePassed(upstream)
            }
        case TokenKind.exchange:
            if let exchange = worker.exchanges.pointer(token.handle) { worker.exchangeTimerFired(exchange) }
        case TokenKind.exchangeTotal:
            if let exchange = worker.exchanges.pointer(token.handle) { worker.totalDeadlinePassed(exchange) }
        default:
            if let record = worker.sessions.pointer(token.handle) { worker.sessionClockRang(record) }
        }
    }

    override func serves(_ plan: ListenerPlan) -> Bool {
        plan.traffic is HTTPTraffic
    }

    override func accept(
        _ worker: Worker, _ socket: Socket, peer: IPAddress, port: UInt16, _ plan: ListenerPlan
    ) {
        worker.openClient(socket, peer: peer, port: port, plan: plan)
    }

    override var hasTurns: Bool { true }

    override func turnEnds(_ worker: Worker) { worker.flushSessions() }

    override func retire(_ worker: Worker, listeners: Set<Int>) {
        worker.clients.each {
            guard listeners.contains($0.pointee.listenerID) else { return }
            $0.pointee.closeAfterResponse = true
            if let session = $0.pointee.session { worker.shutDown(session) }
        }
    }

    override func closeIdle(_ worker: Worker, listeners: Set<Int>) {
        worker.clients.each { if listeners.contains($0.pointee.listenerID) { worker.closeIfIdle($0) } }
    }

    override func collectListeners(_ worker: Worker, into used: inout Set<Int>) {
        worker.clients.each { if $0.pointee.state != .closed { used.insert($0.pointee.listenerID) } }
    }

    override func beginDrain(_ worker: Worker) {
        worker.sessions.each {
            // One that ended earlier in this turn is still in its slot, and belongs to nobody.
            if let client = $0.pointee.client, client.pointee.session == $0 { worker.shutDown($0) }
        }
    }

    override func continueDrain(_ worker: Worker, elapsedMs: UInt64) {
        worker.exchanges.each {
            worker.sayGoingAway($0)
            worker.conclude($0)
        }
        if elapsedMs >= Worker.drainIdleGraceMs { worker.clients.each { worker.closeIfIdle($0) } }
    }

    override func isEmpty(_ worker: Worker) -> Bool { worker.clients.count == 0 }

    override func closeEverything(_ worker: Worker) {
        worker.clients.each { worker.endClient($0) }
        for i in 0..<worker.pools.count { worker.closeIdle(worker.pools[i]) }
    }

    override func bury(_ worker: Worker, _ token: Token) {
        switch token.kind {
        case TokenKind.client: worker.clients.release(token.handle)
        case TokenKind.exchange:
            if let exchange = worker.exchanges.pointer(token.handle) { exchange.deinitialize(count: 1) }
            worker.exchanges.release(token.handle)
        case TokenKind.upstream: worker.upstreams.release(token.handle)
        case TokenKind.attempt: worker.attempts.release(token.handle)
        case TokenKind.stream:
            if let stream = worker.streams.pointer(token.handle) { worker.freeCall(stream) }
            worker.streams.release(token.handle)
        default: worker.sessions.release(token.handle)
        }
    }
}
