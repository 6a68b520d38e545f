// admit: who asks, and is all of a small body here.
//
// The client's address is computed once (law 9) and used by everything after. Then the body is held:
// up to `hold` bytes arrive before an endpoint is chosen, so that a slow client does not occupy an
// endpoint and a small request can be sent again (law 11). A body known to be larger streams at once.
// One of unknown length may be one half of a talk (gRPC, a watch, chunks both ways): held is what has come
// with the head. Only where holding it whole buys another attempt is it waited for, and briefly.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting

extension Worker {
    /// How long a body of unknown length may keep a request that can be tried again from being forwarded.
    private static let holdPatienceMs: UInt64 = 100

    func admit(_ exchange: ExchangePointer) -> PhaseResult {
        identifyClient(exchange)
        if let totalMs = exchange.pointee.lentRoute?({ $0.totalTimeoutMs }), totalMs > 0 {
            setTotalDeadline(exchange, afterMs: totalMs)
        }
        if exchange.pointee.bridgesWeb { beginBridge(exchange) }
        keepDeadline(exchange)
        if exchange.pointee.requestBody.isDone { return .next }
        // Whoever gets no answer is not waited for, nor told why.
        if case .close? = exchange.route?.action { return .next }
        if !admitsBody(exchange) { return .finish }
        if exchange.pointee.decompresses && !prepareDecoding(exchange) { return .finish }
        return beginHold(exchange)
    }

    private func identifyClient(_ exchange: ExchangePointer) {
        let peer = exchange.pointee.client.pointee.peer
        exchange.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef { snapshot in
            guard !snapshot.trusted.isEmpty, let view = view(exchange) else { return }
            let found = ClientAddress(peer: peer, request: view, trusted: snapshot.trusted)
            exchange.pointee.clientAddress = found.address
            exchange.pointee.peerIsTrusted = found.end != .peerNotTrusted
            exchange.pointee.origin = found.origin(of: view, isSecure: exchange.pointee.origin.isSecure)
        }
    }

    // MARK: the body

    /// Sets the bound of the body. False: its length is beyond, and it is refused unread.
    private func admitsBody(_ exchange: ExchangePointer) -> Bool {
        let countMax = exchange.route?.bodyBytesMax ?? exchange.pointee.listener.bodyBytesMax
        exchange.pointee.requestBody.countMax = countMax
        if exchange.pointee.requestBody.framing != .length
            || exchange.pointee.requestBody.remaining <= countMax
        {
            return true
        }
        exchange.fail(Failure(.requestBodyTooLarge, phase: .admit))
        return false
    }

    /// Whether a body without a length has passed its bound; it is refused then.
    func refuseTooLong(_ exchange: ExchangePointer) -> Bool {
        guard exchange.pointee.requestBody.isTooLong else { return false }
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.pointee.client.pointee.mustLinger = true
        exchange.fail(Failure(.requestBodyTooLarge, phase: exchange.pointee.phase))
        return true
    }

    private func beginHold(_ exchange: ExchangePointer) -> PhaseResult {
        guard let route = exchange.route else { return .finish }
        exchange.pointee.streams = streams(exchange, route)
        let isLong =
            exchange.pointee.requestBody.framing == .length
            && exchange.pointee.requestBody.remaining > UInt64(route.holdBytes)
        // No content at all holds nobody up, and may still turn out to be some (a stream that is not ended).
        let isNone =
            exchange.pointee.requestBody.framing == .length && exchange.pointee.requestBody.remaining == 0
        if isLong || (route.holdBytes == 0 && !isNone) {
            exchange.pointee.isReplayable = false
            exchange.pointee.holdIsOver = true
            return .next
        }
        let client = exchange.pointee.client
        if exchange.pointee.request.expectsContinue && client.pointee.input == nil {
            if exchange.pointee.requestBody.framing != .length {
                // Of unknown length and asking first: the endpoint answers that.
                exchange.pointee.isReplayable = false
                exchange.pointee.holdIsOver = true
                return .next
            }
            guard sendContinue(exchange) else { return .finish }
        }
        exchange.pointee.held = buffers.take(
            exchange.pointee.requestBody.framing == .length
                ? Int(exchange.pointee.requestBody.remaining) : min(route.holdBytes, 16_000))
        exchange.pointee.waitsFor = .body
        switch hold(exchange) {
        case .next:
            exchange.pointee.waitsFor = .nothing
            return .next
        case .finish: return .finish
        case .wait:
            if exchange.pointee.requestBody.framing != .length {
                if mayBeRepeated(exchange, route) {
                    setTimer(exchange, afterMs: Self.holdPatienceMs)
                } else {
                    // What came with the head may be on its way here from a session.
                    goOnNextTurn(Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
                }
            }
            return .wait
        }
    }

    /// Whether the body is one the client adds to when it has something to say: a gRPC call, or a body
    /// without a length where the route holds nothing. Its silence is nothing to judge.
    private func streams(_ exchange: ExchangePointer, _ route: RoutePlan) -> Bool {
        if exchange.pointee.requestBody.framing == .length { return false }
        if route.holdBytes == 0 { return true }
        return isCall(exchange)
    }

    /// Whether a body of unknown length buys the request another attempt when all of it is held. One that
    /// shares its connection ends with what came with its head, or goes on while it is answered. Browsers
    /// send gRPC-Web requests whole, so those that are bridged are worth the wait: broken ones reach nobody.
    private func mayBeRepeated(_ exchange: ExchangePointer, _ route: RoutePlan) -> Bool {
        if exchange.pointee.web != nil { return true }
        return !sharesConnection(exchange.pointee.client) && exchange.pointee.request.method.isIdempotent
            && exchange.service != nil && route.retry.attemptsMax > 1
    }

    /// Body bytes have come while the exchange was waiting for them, before or after an endpoint was chosen.
    func clientBodyReady(_ exchange: ExchangePointer) {
        switch exchange.pointee.waitsFor {
        case .body: if hold(exchange) == .next { endHold(exchange) }
        case .nothing: pumpRequestBody(exchange.attempt)
        case .backoff: break
        }
    }

    /// No more of the body is waited for: on to the next phase.
    func endHold(_ exchange: ExchangePointer) {
        clearTimer(exchange)
        exchange.pointee.waitsFor = .nothing
        exchange.pointee.holdIsOver = true
        askNothing(of: exchange.pointee.client, exchange)
        run(exchange, from: .lookup)
    }

    /// Fills the held buffer. next: body complete, or as much as is held; wait: for the client.
    private func hold(_ exchange: ExchangePointer) -> PhaseResult {
        guard let route = exchange.route else { return .finish }
        let client = exchange.pointee.client
        while !exchange.pointee.requestBody.isDone {
            if exchange.pointee.web != nil && refuseBridged(exchange) { return .finish }
            guard var held = exchange.pointee.held else { return .next }
            if let waiting = client.pointee.input {
                let (consumed, error) = holdBytes(exchange, waiting.readable, waiting.count, route.holdBytes)
                consumeInput(client, consumed)
                exchange.pointee.bytesIn += UInt64(consumed)
                if let error { return refuseBody(exchange, error) }
                if refuseTooLong(exchange) { return .finish }
                if exchange.pointee.holdIsOver { return .next }
                continue
            }
            guard client.pointee.canRead else {
                armDeadlines(exchange)
                return .wait
            }
            let received: Int
            if exchange.pointee.requestBody.framing == .length && exchange.pointee.web == nil {
                // Straight to where it stays.
                received = receive(
                    client, into: held.writable, min(held.room, Int(exchange.pointee.requestBody.remaining)))
                if received > 0 {
                    held.pointee.end += UInt32(received)
                    exchange.pointee.requestBody.took(received)
                    exchange.pointee.bytesIn += UInt64(received)
                }
            } else {
                received = receive(client, into: input, Self.inputBytes)
                if received > 0 {
                    let (consumed, error) = holdBytes(exchange, input, received, route.holdBytes)
                    exchange.pointee.bytesIn += UInt64(consumed)
                    if let error { return refuseBody(exchange, error) }
                    if refuseTooLong(exchange) { return .finish }
                    if consumed < received { keepInput(client, input + consumed, received - consumed) }
                    if exchange.pointee.holdIsOver { return .next }
                }
            }
            if exchange.isDecided { return .finish }
            if received > 0 {
                if !exchange.pointee.requestBody.isDone && !clientProgressed(exchange, received) {
                    return .finish
                }
            }
            held = exchange.pointee.held ?? held
        }
        if exchange.pointee.web != nil && refuseBridged(exchange) { return .finish }
        return exchange.pointee.isDecoding ? decodeHeld(exchange) : .next
    }

    /// Takes payload out of raw body bytes into the held buffer, as far as it has room.
    private func holdBytes(
        _ exchange: ExchangePointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int, _ holdMax: Int
    ) -> (consumed: Int, error: (Violation, Int)?) {
        guard var held = exchange.pointee.held else { return (0, nil) }
        if exchange.pointee.web != nil { return holdBridged(exchange, held, bytes, count, holdMax) }
        if exchange.pointee.requestBody.framing == .length {
            let fits = min(count, held.room, Int(exchange.pointee.requestBody.remaining))
            held.append(bytes, fits)
            exchange.pointee.requestBody.took(fits)
            return (fits, nil)
        }
        let isRaw = exchange.pointee.requestBody.framing == .untilClose
        var cursor = 0
        while true {
            // Payload is never longer than its raw form: room for all that is left means room for the step.
            if held.room < count - cursor {
                if held.count + (count - cursor) > holdMax {
                    exchange.pointee.holdIsOver = true
                    exchange.pointee.isReplayable = false
                    return (cursor, nil)
                }
                let grown = buffers.take(holdMax)
                grown.append(held.readable, held.count)
                buffers.give(held)
                exchange.pointee.held = grown
                held = grown
            }
            if isRaw {
                held.append(bytes + cursor, count - cursor)
                exchange.pointee.requestBody.count += UInt64(count - cursor)
                return (count, nil)
            }
            switch exchange.pointee.requestBody.chunked.next(bytes, count: count, at: &cursor) {
            case .data(let offset, let length):
                held.append(bytes + offset, length)
                exchange.pointee.requestBody.count += UInt64(length)
            case .needMore:
                return (cursor, nil)
            case .end:
                exchange.pointee.requestBody.isDone = true
                return (cursor, nil)
            case .malformed(let violation, let at):
                return (cursor, (violation, at))
            }
        }
    }

    /// A body that breaks its framing: nothing behind it can be trusted.
    func refuseBody(_ exchange: ExchangePointer, _ error: (violation: Violation, at: Int)) -> PhaseResult {
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.fail(
            Failure(
                .requestBodyMalformed, phase: exchange.pointee.phase,
                position: Int32(truncatingIfNeeded: error.at),
                detail: Detail(error.violation)))
        return .finish
    }

    // MARK: a client that owes us a body

    private func sendContinue(_ exchange: ExchangePointer) -> Bool {
        var writer = ByteWriter(output, capacity: outputBytes)
        beginResponseHead(exchange, 100, reason: reasonPhrase(100), &writer)
        return sendInterim(exchange, 100, &writer)
    }

    /// Counts bytes a client sent; false (and the exchange ended) when it owes a body and is slower with it
    /// than allowed.
    func clientProgressed(_ exchange: ExchangePointer, _ count: Int) -> Bool {
        let client = exchange.pointee.client
        touch(client, exchange)
        guard client.pointee.deadline == .body, exchange.pointee.listener.bytesPerSecondMin > 0 else {
            return true
        }
        exchange.pointee.meter.progressed(bytes: count)
        if exchange.pointee.meter.verdict(at: nowMs) != .tooSlow { return true }
        bodyDeadlinePassed(exchange)
        return false
    }

    func bodyDeadlinePassed(_ exchange: ExchangePointer) {
        exchange.pointee.client.pointee.closeAfterResponse = true
        exchange.fail(Failure(.requestBodyTimeout, phase: exchange.pointee.phase))
    }
}
