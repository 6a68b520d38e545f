// Connections that carry HTTP/2 sessions: bytes to events, events to streams, frames to bytes.
//
// A client that speaks HTTP/2 (by ALPN, or with the preface on a plain connection) keeps its
// ClientConnection, which from then on only carries; each of its streams becomes a ClientConnection of
// its own (Streams.swift) whose exchange walks the phases like any other. What streams want to send is
// collected and leaves once a loop turn, many frames in one system call.

import Glibc
import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    /// A client begins to speak HTTP/2; what it has sent so far is the session's.
    func beginCarrying(_ client: ClientPointer) {
        guard let plan = listenerPlan(client) else {
            close(client)
            return
        }
        let input = client.pointee.input
        client.pointee.input = nil
        client.pointee.inputIsPartial = false
        let record = beginSession(client, plan) ? client.pointee.session : nil
        guard let input else { return }
        if let record { feedSession(record, input.readable, input.count) }
        buffers.give(input)
    }

    /// Makes this connection carry a session. False: it was closed for want of room.
    private func beginSession(_ client: ClientPointer, _ plan: ListenerPlan) -> Bool {
        let offset = MemoryLayout<ClientConnection>.offset(of: \.transport) ?? 0
        let transport = UnsafeMutableRawPointer(client).advanced(by: offset).assumingMemoryBound(
            to: Transport.self)
        guard
            let record = openSession(
                role: .server, plan.http2, transport: transport, client: client, upstream: nil)
        else {
            close(client)
            return false
        }
        client.pointee.session = record
        client.pointee.state = .session
        clearDeadline(client)
        beginClocks(record, plan)
        record.mark()
        // One that began as its listener, or all of us, began to go.
        if isDraining || isRetired(client.pointee.listenerID) { shutDown(record) }
        return true
    }

    // MARK: bytes in

    /// Reads what has come for the streams of a client's session. False: wait.
    func serveSession(_ client: ClientPointer) -> Bool {
        guard let record = client.pointee.session else { return false }
        var rounds = 0
        while client.pointee.canRead && client.pointee.state == .session {
            if !record.pointee.session.wantsInput || client.pointee.transport.isBlocked {
                // A peer that does not take what we answer is not listened to either.
                record.mark()
                return false
            }
            if rounds >= Self.sessionRoundsPerTurn {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
                return false
            }
            rounds += 1
            let received = receive(client, into: sessionInput, Self.inputBytes)
            if received <= 0 { return false }
            feedSession(record, sessionInput, received)
        }
        return false
    }

    private static let sessionRoundsPerTurn = 8

    func feedSession(_ record: SessionPointer, _ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) {
        // The machine may have stood still since this turn began, while these bytes piled up: what time earns
        // (FloodBudget) is theirs.
        updateClock()
        record.pointee.session.receive(bytes, count: count, nowMs: nowMs)
        record.mark()
        takeEvents(record)
    }

    func takeEvents(_ record: SessionPointer) {
        while let event = record.pointee.session.nextEvent() {
            if record.pointee.client != nil {
                clientSessionEvent(record, event)
            } else {
                upstreamSessionEvent(record, event)
            }
        }
    }

    private func clientSessionEvent(_ record: SessionPointer, _ event: HTTP2Event) {
        switch event.kind {
        case .head:
            openStream(record, event)
            return
        case .headRefused:
            refuseStream(record, event)
            return
        case .violation:
            sessionViolated(record, event)
            return
        case .withdrawn:
            countWithdrawn(record)
            return
        case .pingAck:
            roundTripIsOver(record)
            return
        case .settings, .goaway, .priority:
            return
        case .data, .trailers, .end, .malformed, .reset, .closed, .writable:
            break
        }
        guard let stream = StreamPointer(bitPattern: event.userData), let client = stream.pointee.client
        else {
            // Of a stream whose exchange is over: the window is given back, or the connection's would shrink.
            if event.kind == .data { record.pointee.session.consumed(event.stream, event.count) }
            if event.kind == .malformed { countMalformed(record, event) }
            return
        }
        switch event.kind {
        case .malformed:
            stream.pointee.isGone = true
            stream.pointee.error = EPROTO
            if let exchange = client.pointee.exchange {
                exchange.end(Failure(.requestMalformed, phase: exchange.pointee.phase))
                conclude(exchange)
            } else {
                close(client)
            }
        case .reset:
            streamBroke(stream, client)
        case .closed:
            stream.pointee.isGone = true
            streamBroke(stream, client)
        case .writable:
            clientReady(client, .writable)
        default:
            take(stream, event)
            client.pointee.canRead = true
            serve(client)
        }
    }

    func streamBroke(_ stream: StreamPointer, _ client: ClientPointer) {
        guard client.pointee.state != .closed else { return }
        guard let exchange = client.pointee.exchange else {
            close(client)
            return
        }
        stream.pointee.error = ECONNRESET
        exchange.clientEnded(errno: ECONNRESET)
        conclude(exchange)
    }

    // MARK: streams of clients

    /// A stream and the connection that stands for it to the phases; nil (and the stream refused) at a bound.
    private func openStreamConnection(_ record: SessionPointer, _ id: Int32) -> ClientPointer? {
        guard let carrier = record.pointee.client, let (stream, streamHandle) = streams.allocate() else {
            record.pointee.session.reset(id, .refusedStream)
            return nil
        }
        guard let (client, handle) = clients.allocate() else {
            streams.release(streamHandle)
            record.pointee.session.reset(id, .refusedStream)
            return nil
        }
        stream.initialize(to: StreamEnd(handle: streamHandle, session: record, id: id, client: client))
        link(stream, record)
        record.pointee.isQuiet = false
        client.initialize(
            to: ClientConnection(
                transport: Transport(stream), handle: handle,
                timer: timers.create(Token(kind: TokenKind.client, handle: handle)),
                listenerID: carrier.pointee.listenerID, metrics: carrier.pointee.metrics.retain(),
                state: .idle,
                peer: carrier.pointee.peer, peerPort: carrier.pointee.peerPort))
        // A stream carries one exchange.
        client.pointee.closeAfterResponse = true
        record.pointee.session.setUserData(id, UInt(bitPattern: stream))
        carrier.pointee.requests &+= 1
        return client
    }

    private func openStream(_ record: SessionPointer, _ event: HTTP2Event) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier),
            let client = openStreamConnection(record, event.stream)
        else {
            record.pointee.session.reset(event.stream, .refusedStream)
            return
        }
        if event.endsStream { client.pointee.transport.stream?.pointee.ended = true }
        if carrier.pointee.requests >= plan.requestsPerConnectionMax { shutDown(record) }
        client.pointee.isServing = true
        if event.protocolName.isEmpty {
            beginExchange(
                client, plan, base: UnsafeMutablePointer(mutating: event.bytes),
                count: Int(event.request.byteCount), head: event.request, fields: event.fields)
        } else {
            beginUpgrade(client, plan, event)
        }
        if let exchange = client.pointee.exchange { conclude(exchange) }
        client.pointee.isServing = false
        if client.pointee.transport.hasMore {
            client.pointee.canRead = true
            serve(client)
        }
    }

    /// Extended CONNECT (RFC 8441 §4) is to HTTP/2 what `GET` with `Upgrade` is to HTTP/1.1: it goes
    /// through the phases in that form.
    private func beginUpgrade(_ client: ClientPointer, _ plan: ListenerPlan, _ event: HTTP2Event) {
        var head = event.request
        var writer = ByteWriter(output, capacity: outputBytes)
        writer.append(event.bytes, Int(head.byteCount))
        let methodOffset = writer.count
        writer.append("GET")
        let nameOffset = writer.count
        writer.append("upgrade")
        let fieldCount = min(Int(head.fieldCount), Self.fieldsMax - 1)
        fieldScratch.update(from: event.fields, count: fieldCount)
        fieldScratch[fieldCount] = Field(
            nameOffset: UInt32(nameOffset), nameCount: 7, valueOffset: event.protocolName.offset,
            valueCount: event.protocolName.count, id: .upgrade)
        fieldScratch[fieldCount].isHopByHop = true
        head.fieldCount = Int32(fieldCount + 1)
        head.method = .get
        head.methodName = ByteRange(offset: UInt32(methodOffset), count: 3)
        head.wantsUpgrade = true
        head.framing = .none
        head.byteCount = UInt32(writer.count)
        beginExchange(
            client, plan, base: output, count: writer.count, head: head, fields: UnsafePointer(fieldScratch))
    }

    /// A head over a bound, or with an expectation nobody knows: answered, and nothing more of it read.
    private func refuseStream(_ record: SessionPointer, _ event: HTTP2Event) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier),
            let client = openStreamConnection(record, event.stream)
        else { return }
        client.pointee.transport.stream?.pointee.ended = event.endsStream
        client.pointee.isServing = true
        if let exchange = openExchange(client, plan) {
            exchange.pointee.request.version = .http2
            let reason: Reason =
                switch event.status {
                case 400: .requestMalformed
                case 414: .requestTargetTooLong
                case 417: .requestExpectationUnknown
                default: .requestHeadTooLarge
                }
            exchange.fail(Failure(reason, phase: .read, detail: Detail(event.cause)))
            conclude(exchange)
        }
        client.pointee.isServing = false
    }

    /// A head nobody could make an exchange of: it has its place in figures and log all the same.
    private func countMalformed(_ record: SessionPointer, _ event: HTTP2Event) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier) else { return }
        recordFailure(
            carrier, plan, Failure(.requestMalformed, phase: .read, detail: Detail(event.violation)),
            version: .http2)
    }

    /// The same for a request that was withdrawn before anything was done about it.
    private func countWithdrawn(_ record: SessionPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier) else { return }
        carrier.pointee.requests &+= 1
        recordFailure(
            carrier, plan, Failure(.clientClosedDuringRequest, phase: .read, errno: ECONNRESET),
            version: .http2)
    }

    /// A connection that broke the protocol or flooded us: it is told why, and closed.
    private func sessionViolated(_ record: SessionPointer, _ event: HTTP2Event) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier) else { return }
        recordFailure(
            carrier, plan, Failure(.sessionViolation, phase: .read, detail: Detail(event.violation)),
            version: .http2)
        eventLog.limited(
            sessionGate, nowMs: nowMs, .warning, "HTTP/2 connection ended for a violation",
            [
                "violation": "\(event.violation.text)", "section": "\(event.violation.section)",
                "client": "\(carrier.pointee.peer)", "listener": "\(plan.name)",
            ])
    }

    // MARK: bytes out

    /// Sends what the sessions have collected in this turn.
    func flushSessions() {
        while let record = sessionShared.pointee.firstDirty {
            sessionShared.pointee.firstDirty = record.pointee.nextDirty
            record.pointee.nextDirty = nil
            record.pointee.isDirty = false
            flush(record)
        }
    }

    private static let sessionOutputBytes = 128 << 10

    func flush(_ record: SessionPointer) {
        if let upstream = record.pointee.upstream, upstream.pointee.state != .session { return }
        let transport = record.pointee.transport
        while !transport.pointee.isBlocked {
            let count = record.pointee.session.output(
                into: output, capacity: Self.sessionOutputBytes, nowMs: nowMs)
            if count == 0 { break }
            let error = transport.pointee.send(output, count, pool: &buffers, nowMs: nowMs)
            if error != 0 {
                carrierBroke(record)
                return
            }
            takeEvents(record)
        }
        if record.pointee.session.isFinished && !transport.pointee.isBlocked {
            closeCarrier(record)
            return
        }
        if record.pointee.upstream != nil && record.pointee.isShuttingDown
            && record.pointee.streamCount == 0 && record.pointee.session.streamsOpen == 0
            && !record.pointee.finalGoawayIsSent
        {
            sendFinalGoaway(record)
            return
        }
        if let upstream = record.pointee.upstream { armCarrier(upstream, record) }
        if let client = record.pointee.client {
            armSession(client, record)
            if client.pointee.canRead && !transport.pointee.isBlocked && record.pointee.session.wantsInput {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
            }
        }
    }

    /// One timer for the whole connection: idle without streams, or stuck when the peer gives no window.
    private func armSession(_ client: ClientPointer, _ record: SessionPointer) {
        guard let plan = listenerPlan(client) else { return }
        let deadline: ClientDeadline
        if client.pointee.transport.isBlocked || record.pointee.session.isWaiting {
            deadline = .write
        } else if record.pointee.streamCount == 0 {
            deadline = .idle
        } else {
            deadline = .none
        }
        if client.pointee.deadline == deadline { return }
        switch deadline {
        case .write: setWriteDeadline(client, timeoutMs: plan.writeTimeoutMs)
        case .idle: setDeadline(client, .idle, afterMs: plan.idleTimeoutMs)
        default: clearDeadline(client)
        }
    }
}
