// Connections that carry streams: bytes to events, events to streams, frames to bytes.
//
// A client that speaks a version with streams (by ALPN, or with its first bytes on a plain connection) keeps its
// ClientConnection, which from then on only carries; each of its streams becomes a ClientConnection of
// its own (Streams.swift) whose exchange walks the phases like any other. What streams want to send is
// collected and leaves once a loop turn, many frames in one system call.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    /// A client begins to speak a version that carries streams; what it has sent so far is the session's.
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
                .server, plan.streams, transport: transport, client: client, upstream: nil)
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
            if !record.session({ $0.wantsInput }) || client.pointee.transport.isBlocked {
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
        record.session { $0.receive(bytes, count, nowMs: nowMs) }
        record.mark()
        takeEvents(record)
    }

    func takeEvents(_ record: SessionPointer) {
        withUnsafeTemporaryAllocation(of: StreamEvent.self, capacity: 1) { room in
            guard let event = room.baseAddress else { return }
            while record.session({ $0.nextEvent(into: event) }) {
                if record.pointee.client != nil {
                    clientSessionEvent(record, event)
                } else {
                    upstreamSessionEvent(record, event)
                }
            }
        }
    }

    private func clientSessionEvent(_ record: SessionPointer, _ event: StreamEventPointer) {
        switch event.pointee.kind {
        case .head:
            openStream(record, event)
            return
        case .headRefused:
            refuseStream(record, event)
            return
        case .violation:
            sessionViolated(record)
            return
        case .withdrawn:
            countWithdrawn(record)
            return
        case .roundTrip:
            roundTripIsOver(record)
            return
        case .settings:
            return
        case .data, .trailers, .end, .malformed, .reset, .closed, .writable:
            break
        }
        guard let stream = StreamPointer(bitPattern: event.pointee.userData),
            let client = stream.pointee.client
        else {
            // Of a stream whose exchange is over: the window is given back, or the connection's would shrink.
            if event.pointee.kind == .data {
                record.session { $0.consumed(event.pointee.stream, event.pointee.count) }
            }
            if event.pointee.kind == .malformed { countMalformed(record, event) }
            return
        }
        switch event.pointee.kind {
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
    private func openStreamConnection(_ record: SessionPointer, _ id: Int64) -> ClientPointer? {
        guard let carrier = record.pointee.client, let (stream, streamHandle) = streams.allocate() else {
            record.session { $0.reset(id, .refused) }
            return nil
        }
        guard let (client, handle) = clients.allocate() else {
            streams.release(streamHandle)
            record.session { $0.reset(id, .refused) }
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
                peer: carrier.pointee.peer, peerPort: carrier.pointee.peerPort, state: .idle))
        // A stream carries one exchange.
        client.pointee.closeAfterResponse = true
        record.session { $0.setUserData(id, UInt(bitPattern: stream)) }
        carrier.pointee.requests &+= 1
        return client
    }

    private func openStream(_ record: SessionPointer, _ event: StreamEventPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier),
            let client = openStreamConnection(record, event.pointee.stream)
        else {
            record.session { $0.reset(event.pointee.stream, .refused) }
            return
        }
        if event.pointee.endsStream { client.pointee.transport.stream?.pointee.ended = true }
        if carrier.pointee.requests >= plan.requestsPerConnectionMax { shutDown(record) }
        client.pointee.isServing = true
        if event.pointee.protocolName.isEmpty {
            beginExchange(
                client, plan, base: UnsafeMutablePointer(mutating: event.pointee.bytes),
                count: Int(event.pointee.request.byteCount), head: event.pointee.request,
                fields: event.pointee.fields)
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
    private func beginUpgrade(_ client: ClientPointer, _ plan: ListenerPlan, _ event: StreamEventPointer) {
        var head = event.pointee.request
        var writer = ByteWriter(output, capacity: outputBytes)
        writer.append(event.pointee.bytes, Int(head.byteCount))
        let methodOffset = writer.count
        writer.append("GET")
        let nameOffset = writer.count
        writer.append("upgrade")
        let fieldCount = min(Int(head.fieldCount), Self.fieldsMax - 1)
        fieldScratch.update(from: event.pointee.fields, count: fieldCount)
        fieldScratch[fieldCount] = Field(
            nameOffset: UInt32(nameOffset), nameCount: 7, valueOffset: event.pointee.protocolName.offset,
            valueCount: event.pointee.protocolName.count, id: .upgrade)
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
    private func refuseStream(_ record: SessionPointer, _ event: StreamEventPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier),
            let client = openStreamConnection(record, event.pointee.stream)
        else { return }
        client.pointee.transport.stream?.pointee.ended = event.pointee.endsStream
        client.pointee.isServing = true
        if let exchange = openExchange(client, plan) {
            exchange.pointee.request.version = record.session { $0.version }
            let reason: Reason =
                switch event.pointee.status {
                case 400: .requestMalformed
                case 414: .requestTargetTooLong
                case 417: .requestExpectationUnknown
                default: .requestHeadTooLarge
                }
            exchange.fail(Failure(reason, phase: .read, detail: event.pointee.detail))
            conclude(exchange)
        }
        client.pointee.isServing = false
    }

    /// A head nobody could make an exchange of: it has its place in figures and log all the same.
    private func countMalformed(_ record: SessionPointer, _ event: StreamEventPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier) else { return }
        recordFailure(
            carrier, plan, Failure(.requestMalformed, phase: .read, detail: event.pointee.detail),
            version: record.session { $0.version })
    }

    /// The same for a request that was withdrawn before anything was done about it.
    private func countWithdrawn(_ record: SessionPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier) else { return }
        carrier.pointee.requests &+= 1
        recordFailure(
            carrier, plan, Failure(.clientClosedDuringRequest, phase: .read, errno: ECONNRESET),
            version: record.session { $0.version })
    }

    /// A connection that broke the protocol or flooded us: it is told why, and closed.
    private func sessionViolated(_ record: SessionPointer) {
        guard let carrier = record.pointee.client, let plan = listenerPlan(carrier),
            let violation = record.session({ $0.violation })
        else { return }
        let version = record.session { $0.version }
        recordFailure(
            carrier, plan, Failure(.sessionViolation, phase: .read, detail: violation.detail),
            version: version)
        eventLog.limited(
            sessionGate, nowMs: nowMs, .warning, "\(version.name) connection ended for a violation",
            [
                "violation": "\(violation.text)", "section": "\(violation.section)",
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
        sending: while true {
            let step = record.session {
                $0.send(transport, room: output, Self.sessionOutputBytes, pool: &buffers, nowMs: nowMs)
            }
            switch step {
            case .nothing: break sending
            case .sent: takeEvents(record)
            case .broken:
                carrierBroke(record)
                return
            }
        }
        if record.session({ $0.isFinished }) && !transport.pointee.isBlocked {
            closeCarrier(record)
            return
        }
        if record.pointee.upstream != nil && record.pointee.isShuttingDown
            && record.pointee.streamCount == 0 && record.session({ $0.streamsOpen }) == 0
            && !record.pointee.finalGoawayIsSent
        {
            sendFinalGoaway(record)
            return
        }
        if let upstream = record.pointee.upstream { armCarrier(upstream, record) }
        if let client = record.pointee.client {
            armSession(client, record)
            if client.pointee.canRead && !transport.pointee.isBlocked && record.session({ $0.wantsInput }) {
                goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
            }
        }
    }

    /// One timer for the whole connection: idle without streams, or stuck when the peer gives no window.
    private func armSession(_ client: ClientPointer, _ record: SessionPointer) {
        guard let plan = listenerPlan(client) else { return }
        let deadline: ClientDeadline
        if client.pointee.transport.isBlocked || record.session({ $0.isWaiting }) {
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
