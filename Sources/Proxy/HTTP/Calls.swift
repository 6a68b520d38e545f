// Calls: exchanges whose client is we ourselves (State/CallRequest.swift).

import Reactor
import WeirHTTP1
import WeirHTTPModel
import WeirResilience

extension Worker {
    /// Begins what was asked for since the last turn.
    func beginCalls() {
        let calls = asked
        asked = []
        for (request, ticket) in calls {
            if let failure = begin(request, ticket) { ticket.bring(CallAnswer(reason: failure)) }
        }
    }

    /// Nothing lasts longer than a day.
    private static let callMsMax: UInt64 = 86_400_000

    private var outOfRoom: Reason { Failure.limit(.memory, phase: .select).reason }

    /// Why it could not begin; nil: it has, and its session answers.
    private func begin(_ request: CallRequest, _ ticket: Ticket) -> Reason? {
        guard let service = snapshot.lentServices[request.serviceID] else { return .noEndpoint }
        var head = RequestHead()
        var text = request.head
        let isWhole = text.withUnsafeMutableBufferPointer { text in
            guard let base = text.baseAddress,
                case .complete = callPlan.parser.parse(
                    base, count: text.count, fields: fieldScratch, into: &head)
            else { return false }
            return Int(head.byteCount) == text.count && head.framing == .none && head.method != .connect
        }
        guard isWhole else { return .requestMalformed }
        guard let client = openCall(request, ticket) else { return outOfRoom }
        guard let exchange = openExchange(client, callPlan) else { return outOfRoom }
        text.withUnsafeMutableBufferPointer { text in
            if let base = text.baseAddress { keepHead(exchange, base, head, UnsafePointer(fieldScratch)) }
        }
        if !request.body.isEmpty {
            let held = buffers.take(request.body.count)
            request.body.withUnsafeBufferPointer { body in
                if let base = body.baseAddress { held.append(base, body.count) }
            }
            exchange.pointee.held = held
            exchange.pointee.request.framing = .length
            exchange.pointee.request.contentLength = UInt64(request.body.count)
            exchange.pointee.requestBody.begin(.length, length: UInt64(request.body.count))
            exchange.pointee.requestBody.took(request.body.count)
        }
        exchange.pointee.lentService = service
        exchange.pointee.serviceID = request.serviceID
        // Without a word about it, all of it is over first.
        let totalMs = min(request.totalMs, Self.callMsMax)
        let idleMs = min(request.idleMs ?? .max, totalMs + 1_000)
        exchange.pointee.headTimeoutMs = idleMs
        exchange.pointee.idleTimeoutMs = idleMs
        setTotalDeadline(exchange, afterMs: totalMs)
        run(exchange, from: .select)
        conclude(exchange)
        return nil
    }

    /// The stream of a call, and the connection that stands for it to the phases; nil at a bound.
    private func openCall(_ request: CallRequest, _ ticket: Ticket) -> ClientPointer? {
        guard let (record, recordHandle) = sessions.allocate() else { return nil }
        guard let (stream, streamHandle) = streams.allocate() else {
            sessions.release(recordHandle)
            return nil
        }
        guard let (client, handle) = clients.allocate() else {
            streams.release(streamHandle)
            sessions.release(recordHandle)
            return nil
        }
        let session = CallSession(request, ticket)
        record.initialize(
            to: SessionRecord(
                handle: recordHandle, object: .passRetained(session), shared: sessionShared,
                transport: noTransport, client: nil, upstream: nil))
        // Nothing is ever to be sent on a connection.
        record.pointee.isDirty = true
        stream.initialize(to: StreamEnd(handle: streamHandle, session: record, id: 1, client: client))
        stream.pointee.ended = true
        link(stream, record)
        session.stream = stream
        client.initialize(
            to: ClientConnection(
                transport: Transport(stream), handle: handle,
                timer: timers.create(Token(kind: TokenKind.client, handle: handle)),
                listenerID: callPlan.id, metrics: .passRetained(callPlan.metrics),
                peer: .unspecified, peerPort: 0, state: .idle))
        client.pointee.closeAfterResponse = true
        return client
    }

    /// Frees the session of a call with its stream.
    func freeCall(_ stream: StreamPointer) {
        guard stream.isCall else { return }
        let record = stream.pointee.session
        record.pointee.object.release()
        sessions.release(record.pointee.handle)
    }
}
