// hold: up to so many bytes of a body arrive before an endpoint is chosen, so that a slow client does not occupy an
// endpoint and a small request can be sent again (law 11). A body known to be larger streams at once.
//
// One of unknown length may be one half of a talk (gRPC, a watch, chunks both ways): held is what has come with the
// head. Only where holding it whole buys another attempt is it waited for, and briefly.

import Reactor
import WeirHTTP1
import WeirHTTPModel
import WeirResilience

public final class HoldPolicy: Policy, @unchecked Sendable {
    /// How long a body of unknown length may keep a request that can be tried again from being forwarded.
    private static let patienceMs: UInt64 = 100

    private let bytesMax: Int
    /// Requests of the route may be tried again.
    private let mayRetry: Bool

    /// - Parameters:
    ///   - bytesMax: most bytes of a body that are held; 0: bodies stream.
    ///   - mayRetry: the route allows more than one attempt.
    public init(bytesMax: Int, mayRetry: Bool) {
        self.bytesMax = bytesMax
        self.mayRetry = mayRetry
        super.init("hold", "\(bytesMax) bytes", .admit, for: .body)
    }

    override func admit(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        exchange.pointee.streams = streams(worker, exchange)
        let isLong =
            exchange.pointee.requestBody.framing == .length
            && exchange.pointee.requestBody.remaining > UInt64(bytesMax)
        // No content at all holds nobody up, and may still turn out to be some (a stream that is not ended).
        let isNone =
            exchange.pointee.requestBody.framing == .length && exchange.pointee.requestBody.remaining == 0
        if isLong || (bytesMax == 0 && !isNone) {
            exchange.pointee.isReplayable = false
            exchange.pointee.holdIsOver = true
            return .pass
        }
        let client = exchange.pointee.client
        if exchange.pointee.request.expectsContinue && client.pointee.input == nil {
            if exchange.pointee.requestBody.framing != .length {
                // Of unknown length and asking first: the endpoint answers that.
                exchange.pointee.isReplayable = false
                exchange.pointee.holdIsOver = true
                return .pass
            }
            guard sendContinue(worker, exchange) else { return .answered }
        }
        exchange.pointee.held = worker.buffers.take(
            exchange.pointee.requestBody.framing == .length
                ? Int(exchange.pointee.requestBody.remaining) : min(bytesMax, 16_000))
        exchange.pointee.waitsFor = .body
        let result = hold(worker, exchange)
        guard case .wait = result else {
            exchange.pointee.waitsFor = .nothing
            return result
        }
        if exchange.pointee.requestBody.framing != .length {
            if mayBeRepeated(worker, exchange) {
                worker.setTimer(exchange, afterMs: Self.patienceMs)
            } else {
                // What came with the head may be on its way here from a session.
                worker.goOnNextTurn(Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
            }
        }
        return .wait
    }

    /// More of the body has come, or no more of it is waited for.
    override func resume(_ worker: Worker, _ exchange: ExchangePointer, _ brought: Brought) -> StepResult {
        if case .body = brought {
            let result = hold(worker, exchange)
            guard case .pass = result else { return result }
        }
        exchange.pointee.holdIsOver = true
        worker.askNothing(of: exchange.pointee.client, exchange)
        return .pass
    }

    /// Whether the body is one the client adds to when it has something to say: a gRPC call, or a body
    /// without a length where the route holds nothing. Its silence is nothing to judge.
    private func streams(_ worker: Worker, _ exchange: ExchangePointer) -> Bool {
        if exchange.pointee.requestBody.framing == .length { return false }
        return bytesMax == 0 || worker.isCall(exchange)
    }

    /// Whether a body of unknown length buys the request another attempt when all of it is held. One that
    /// shares its connection ends with what came with its head, or goes on while it is answered. Browsers
    /// send gRPC-Web requests whole, so those that are bridged are worth the wait: broken ones reach nobody.
    private func mayBeRepeated(_ worker: Worker, _ exchange: ExchangePointer) -> Bool {
        if exchange.pointee.web != nil { return true }
        return !worker.sharesConnection(exchange.pointee.client)
            && exchange.pointee.request.method.isIdempotent
            && exchange.service != nil && mayRetry
    }

    /// Fills the held buffer. pass: body complete, or as much as is held; wait: for the client.
    private func hold(_ worker: Worker, _ exchange: ExchangePointer) -> StepResult {
        let client = exchange.pointee.client
        while !exchange.pointee.requestBody.isDone {
            if exchange.isDecided { return .answered }
            guard var held = exchange.pointee.held else { return .pass }
            if let waiting = client.pointee.input {
                let (consumed, error) = holdBytes(worker, exchange, waiting.readable, waiting.count)
                worker.consumeInput(client, consumed)
                exchange.pointee.bytesIn += UInt64(consumed)
                if let error {
                    worker.refuseBody(exchange, error)
                    return .answered
                }
                if worker.refuseTooLong(exchange) { return .answered }
                if exchange.pointee.holdIsOver { return .pass }
                continue
            }
            guard client.pointee.canRead else {
                worker.armDeadlines(exchange)
                return .wait
            }
            let received: Int
            if exchange.pointee.requestBody.framing == .length && !exchange.holdsStaged {
                // Straight to where it stays.
                received = worker.receive(
                    client, into: held.writable, min(held.room, Int(exchange.pointee.requestBody.remaining)))
                if received > 0 {
                    held.pointee.end += UInt32(received)
                    exchange.pointee.requestBody.took(received)
                    exchange.pointee.bytesIn += UInt64(received)
                }
            } else {
                received = worker.receive(client, into: worker.input, Worker.inputBytes)
                if received > 0 {
                    let (consumed, error) = holdBytes(worker, exchange, worker.input, received)
                    exchange.pointee.bytesIn += UInt64(consumed)
                    if let error {
                        worker.refuseBody(exchange, error)
                        return .answered
                    }
                    if worker.refuseTooLong(exchange) { return .answered }
                    if consumed < received {
                        worker.keepInput(client, worker.input + consumed, received - consumed)
                    }
                    if exchange.pointee.holdIsOver { return .pass }
                }
            }
            if exchange.isDecided { return .answered }
            if received > 0 {
                if !exchange.pointee.requestBody.isDone && !worker.clientProgressed(exchange, received) {
                    return .answered
                }
            }
            held = exchange.pointee.held ?? held
        }
        if exchange.isDecided { return .answered }
        return worker.finishHeld(exchange) ? .pass : .answered
    }

    /// Takes payload out of raw body bytes into the held buffer, as far as it has room.
    private func holdBytes(
        _ worker: Worker, _ exchange: ExchangePointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int
    ) -> (consumed: Int, error: (Violation, Int)?) {
        guard var held = exchange.pointee.held else { return (0, nil) }
        if exchange.holdsStaged, let stages = exchange.pointee.requestStages {
            return worker.holdStaged(exchange, stages, held, bytes, count, bytesMax)
        }
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
                if held.count + (count - cursor) > bytesMax {
                    exchange.pointee.holdIsOver = true
                    exchange.pointee.isReplayable = false
                    return (cursor, nil)
                }
                let grown = worker.buffers.take(bytesMax)
                grown.append(held.readable, held.count)
                worker.buffers.give(held)
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

    private func sendContinue(_ worker: Worker, _ exchange: ExchangePointer) -> Bool {
        var writer = ByteWriter(worker.output, capacity: worker.outputBytes)
        worker.beginResponseHead(exchange, 100, reason: reasonPhrase(100), &writer)
        return worker.sendInterim(exchange, 100, &writer)
    }
}
