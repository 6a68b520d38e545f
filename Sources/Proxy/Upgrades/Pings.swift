// Pings of our own on WebSockets (RFC 6455 §5.5.2): to learn that a client is gone before hours have passed,
// and to keep what stands between us and it from forgetting the connection.
//
// When is the clock's to say, which answers are ours the sieve's (both in the WebSocket module). A Ping
// goes to the client alone, between two frames of the endpoint; one that finds the endpoint in the middle
// of a frame waits for its end (copyResponse). While the endpoint takes nothing, the client is not read,
// and its silence proves nothing. Off unless the route says otherwise: an exchange without costs nothing.

import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience
import Telemetry
import WeirWebSocket

extension Worker {
    /// "weir": what our Pings begin with; four random bytes follow, the same on one connection.
    private static let payloadWord: UInt64 = 0x7765_6972

    /// A WebSocket is open.
    func beginPings(_ exchange: ExchangePointer) {
        guard let plan = exchange.route?.pings else { return }
        let pings = PingsPointer.allocate(capacity: 1)
        pings.initialize(
            to: Pings(
                clock: PingClock(
                    intervalMs: plan.intervalMs, patienceMs: plan.patienceMs, nowMs: nowMs),
                sieve: PongSieve(payload: Self.payloadWord << 32 | random.next() & 0xffff_ffff)))
        exchange.pointee.requestBody.pings = pings
        armPings(exchange, pings)
    }

    /// The exchange of a WebSocket, or of another tunnel, is over.
    func closeWebSocket(_ exchange: ExchangePointer) {
        if exchange.pointee.responseBody.frames != nil { exchange.pointee.counters.webSocketEnded() }
        if let pings = exchange.pointee.requestBody.pings {
            exchange.pointee.requestBody.pings = nil
            pings.deinitialize(count: 1)
            pings.deallocate()
        }
    }

    private func armPings(_ exchange: ExchangePointer, _ pings: PingsPointer) {
        if case .wait(let untilMs) = pings.pointee.clock.verdict(nowMs: nowMs) {
            setTimer(exchange, afterMs: untilMs &- nowMs)
        }
    }

    // MARK: the client's direction

    /// The client has sent something, which stands in `input` behind room for what was held back: that is
    /// put before it. Returns how many bytes that was.
    func heard(_ exchange: ExchangePointer, _ pings: PingsPointer) -> Int {
        if pings.pointee.clock.heard(nowMs: nowMs) { armPings(exchange, pings) }
        let held = pings.pointee.sieve.heldBytes
        if held > 0 {
            pings.pointee.sieve.putBack(input)
            exchange.pointee.bytesIn &-= UInt64(held)
        }
        return held
    }

    // MARK: the client's silence

    func pingClockRang(_ exchange: ExchangePointer) {
        guard !exchange.pointee.isOver, let pings = exchange.pointee.requestBody.pings,
            let frames = exchange.pointee.responseBody.frames, mayPing(exchange)
        else { return }
        let client = exchange.pointee.client
        if exchange.attempt.pointee.requestIsBlocked { pings.pointee.clock.heard(nowMs: nowMs) }
        switch pings.pointee.clock.verdict(nowMs: nowMs) {
        case .wait:
            armPings(exchange, pings)
        case .ping where frames.isAtBoundary && !client.pointee.transport.isBlocked:
            _ = sendPing(exchange, pings)
        case .ping:
            pings.pointee.clock.becameDue()
            setTimer(exchange, afterMs: pings.pointee.clock.patienceMs)
        case .silent:
            if pings.pointee.clock.isStillTaking(client.pointee.transport.untaken, nowMs: nowMs) {
                armPings(exchange, pings)
            } else {
                exchange.end(Failure(.pongTimeout, phase: .respond))
            }
        }
    }

    /// Whether there is anybody to answer: neither side has said good-bye.
    private func mayPing(_ exchange: ExchangePointer) -> Bool {
        !exchange.pointee.requestBody.isDone && !exchange.pointee.responseDone
            && !exchange.pointee.clientKnowsWeGo && exchange.pointee.responseBody.frames?.isClosing == false
            && exchange.pointee.requestBody.frames?.isClosing == false
    }

    private func sendPing(_ exchange: ExchangePointer, _ pings: PingsPointer) -> Bool {
        let client = exchange.pointee.client
        let count = ControlFrame.writePing(output, payload: pings.pointee.sieve.payload)
        guard sendToClient(client, output, count) else { return false }
        pings.pointee.clock.asked(nowMs: nowMs, untakenBytes: client.pointee.transport.untaken)
        armPings(exchange, pings)
        return true
    }

    /// A Ping is due, and bytes of the endpoint stand in `input`: those that belong before it are passed
    /// on, and it behind them. Returns how many that were, nil when the exchange is over.
    func sendPing(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ pings: PingsPointer, within count: Int
    ) -> Int? {
        guard mayPing(exchange),
            let before = exchange.pointee.responseBody.frames?.bytesBeforeFrame(input, count)
        else { return 0 }
        if before > 0 {
            let relayed = relayResponse(
                exchange, upstream, input, before, behind: ByteWriter(output, capacity: outputBytes))
            guard checkRelayed(exchange, upstream, relayed, extra: 0) else { return nil }
        }
        return sendPing(exchange, pings) ? before : nil
    }
}
