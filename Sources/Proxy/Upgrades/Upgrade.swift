// After an upgrade: bytes go both ways until one side ends (RFC 9110 §7.8, RFC 6455, RFC 9110 §9.3.6).
//
// A client asks for another protocol (WebSocket, mostly) or for a tunnel (CONNECT); its route says
// whether that is allowed. Nothing the client sends is treated as upgraded before the endpoint has
// agreed: it stays in the connection's buffer. From then on the exchange is two bodies without
// framing, moved by the same pumps as any other, and only the idle deadline runs.

import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import TLS
import Telemetry
import WeirWebSocket

/// Where an exchange stands with a change of protocol.
enum Upgrade: UInt8 {
    case none
    /// The client asked for a protocol its route allows; the endpoint decides.
    case asked
    /// CONNECT: an endpoint is being connected to, and decides nothing.
    case connecting
    /// Both directions carry bytes of another protocol.
    case open
}

extension Worker {
    /// Which protocols an endpoint wants instead of the request's: a 426 says it (RFC 9110 §15.5.22), and
    /// the client hears it where its version has such a change.
    func writeUpgradeOffer(
        _ exchange: ExchangePointer, _ response: ResponseView, _ writer: inout ByteWriter
    ) {
        if exchange.pointee.client.pointee.transport.isStream { return }
        var isFirst = true
        for i in 0..<Int(response.head.fieldCount) where response.fields[i].id == .upgrade {
            if isFirst { writer.append("connection: upgrade\r\n") }
            isFirst = false
            writer.appendField(response.fields[i], response.bytes)
        }
    }

    /// The endpoint answered 101: right when it was asked, and names what it was asked for.
    func acceptUpgrade(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int
    ) -> Bool {
        let exchange = attempt.exchange
        guard exchange.pointee.upgrade == .asked, !exchange.pointee.isStaged, agrees(exchange, response)
        else {
            attempt.fail(Failure(.upstreamUnsolicitedUpgrade, phase: .respond))
            return false
        }
        if exchange.pointee.client.pointee.transport.isStream {
            // What answers the key we made is not for a client that sent none (RFC 8441 §5).
            for i in 0..<Int(response.head.fieldCount)
            where equals(
                response.bytes + Int(response.fields[i].nameOffset), Int(response.fields[i].nameCount),
                lowercase: "sec-websocket-accept")
            {
                response.fields[i].isHopByHop = true
            }
        }
        exchange.pointee.response = response.head
        openBothWays(exchange, status: 101)
        var writer = ByteWriter(output, capacity: outputBytes)
        writeResponseHead(exchange, response, &writer)
        let early = response.body(of: count)
        return carry(exchange, upstream, .endpoint(response), &writer, early.bytes, early.count)
    }

    /// Whether a 101 says that the connection changes, and to what was asked for (RFC 9110 §7.8).
    private func agrees(_ exchange: ExchangePointer, _ response: ResponseView) -> Bool {
        guard let view = view(exchange), let asked = view.field(named: "upgrade"),
            let wanted = asked.baseAddress
        else { return false }
        var namesProtocol = false
        var changesConnection = false
        for i in 0..<Int(response.head.fieldCount) {
            let field = response.fields[i]
            let value = response.bytes + Int(field.valueOffset)
            let count = Int(field.valueCount)
            if field.id == .upgrade {
                namesProtocol = namesProtocol || equalIgnoringASCIICase(value, count, wanted, asked.count)
            } else if field.id == .connection {
                changesConnection = changesConnection || lists("upgrade", value, count)
            }
        }
        return namesProtocol && changesConnection
    }

    /// Whether a comma-separated list has this token, in any case.
    private func lists(_ token: StaticString, _ value: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        UnsafeBufferPointer(start: UnsafePointer(value), count: count).split(separator: 0x2c).contains {
            part in
            let text = part.drop { $0 == 0x20 || $0 == 9 }.reversed().drop { $0 == 0x20 || $0 == 9 }
                .reversed()
            return Array(text).withUnsafeBufferPointer { bytes in
                bytes.baseAddress.map {
                    equalIgnoringASCIICase($0, bytes.count, token.utf8Start, token.utf8CodeUnitCount)
                } ?? false
            }
        }
    }

    /// The endpoint agreed in the words of HTTP/2: a success to an extended CONNECT (RFC 8441 §5).
    func acceptExtendedConnect(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ success: ResponseView
    ) -> Bool {
        guard let view = view(exchange) else { return false }
        var response = success
        response.head.status = 101
        exchange.pointee.response = response.head
        openBothWays(exchange, status: 101)
        var writer = ByteWriter(output, capacity: outputBytes)
        writeResponseHead(exchange, response, &writer)
        if !exchange.pointee.client.pointee.transport.isStream,
            let key = view.field(named: "sec-websocket-key")
        {
            writer.append("sec-websocket-accept: ")
            writer.append(HandshakeKey.acceptance(digest: sha1(HandshakeKey.proof(of: key)) ?? []))
            writer.append("\r\n")
        }
        return carry(exchange, upstream, .endpoint(response), &writer, input, 0)
    }

    /// The endpoint of a CONNECT is connected: the client may begin.
    func acceptConnect(_ exchange: ExchangePointer, _ upstream: UpstreamPointer) -> Bool {
        openBothWays(exchange, status: 200)
        var writer = ByteWriter(output, capacity: outputBytes)
        beginResponseHead(exchange, 200, reason: reasonPhrase(200), &writer)
        return carry(exchange, upstream, .weir, &writer, input, 0)
    }

    private func openBothWays(_ exchange: ExchangePointer, status: UInt16) {
        exchange.pointee.upgrade = .open
        exchange.pointee.phase = .respond
        exchange.pointee.status = status
        exchange.pointee.headUs = UInt32(truncatingIfNeeded: (nowNs &- exchange.pointee.startNs) / 1000)
        exchange.pointee.requestBody.begin(.untilClose, length: 0)
        exchange.pointee.responseBody.begin(.untilClose, length: 0)
        if status == 101, let token = view(exchange)?.field(named: "upgrade"), let base = token.baseAddress,
            equalIgnoringASCIICase(
                base, token.count, Self.webSocket.utf8Start, Self.webSocket.utf8CodeUnitCount)
        {
            exchange.pointee.requestBody.frames = FrameFollower()
            exchange.pointee.responseBody.frames = FrameFollower()
            exchange.pointee.counters.webSocketOpened()
            beginPings(exchange)
        }
        exchange.attempt.pointee.requestStarted = true
        exchange.attempt.pointee.requestSentWhole = false
        exchange.pointee.isReplayable = false
        exchange.attempt.pointee.upstreamChunked = false
        exchange.pointee.clientChunked = false
        exchange.pointee.client.pointee.closeAfterResponse = true
        if exchange.pointee.totalTimer >= 0 { timers.disarm(exchange.pointee.totalTimer) }
    }

    /// Sends the head that opens the tunnel, with what the endpoint sent behind it. True: the two may talk.
    private func carry(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ source: ResponseDraft.Source,
        _ writer: inout ByteWriter, _ early: UnsafeMutablePointer<UInt8>, _ earlyCount: Int
    ) -> Bool {
        endResponseHead(exchange, source, &writer)
        guard !writer.overflowed else {
            exchange.fail(.limit(.head, phase: .respond))
            return false
        }
        exchange.pointee.responseStarted = true
        return sendResponse(exchange, upstream, &writer, early, earlyCount)
    }

    private static let webSocket: StaticString = "websocket"
    private static let goingAway: UInt16 = 1001

    // MARK: going away

    /// Tells both sides of a WebSocket that we go away (close code 1001, RFC 6455 §7.4.1), each as soon
    /// as a frame of ours can stand between two of theirs.
    func sayGoingAway(_ exchange: ExchangePointer) {
        guard exchange.pointee.upgrade == .open, !exchange.pointee.isOver else { return }
        let client = exchange.pointee.client
        if !exchange.pointee.clientKnowsWeGo, let frames = exchange.pointee.responseBody.frames,
            frames.takesFrame, !client.pointee.transport.isBlocked, !exchange.pointee.responseDone
        {
            exchange.pointee.clientKnowsWeGo = true
            let count = ControlFrame.writeClose(output, code: Self.goingAway, isMasked: false)
            guard sendToClient(client, output, count) else { return }
        }
        if !exchange.pointee.endpointKnowsWeGo, let frames = exchange.pointee.requestBody.frames,
            frames.takesFrame, let upstream = exchange.attempt.pointee.upstream,
            !upstream.pointee.transport.isBlocked, !exchange.pointee.requestBody.isDone
        {
            exchange.pointee.endpointKnowsWeGo = true
            let count = ControlFrame.writeClose(output, code: Self.goingAway, isMasked: true)
            _ = upstream.pointee.transport.send(output, count, pool: &buffers, nowMs: nowMs)
        }
    }

    // MARK: silence

    /// Neither side has sent anything for as long as the route allows: both are closed in order.
    func upgradedIsIdle(_ exchange: ExchangePointer) {
        if exchange.pointee.failure.reason == .none {
            exchange.pointee.failure = Failure(.idleTimeout, phase: .respond)
        }
        endAttempt(exchange.attempt, .none)
        dropUpstream(exchange.attempt)
        exchange.finish()
    }
}
