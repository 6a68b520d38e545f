// read: bytes become one request head; the body stays a stream.
//
// The head is parsed where the bytes landed (worker scratch, or the connection's buffer when it came
// in pieces) and then copied, with its field table, into one small buffer that the exchange keeps
// until it ends: for another attempt, for header rules, for the log. Ranges are relative, so nothing
// is parsed again.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Telemetry

extension Worker {
    /// A client's rate is judged over windows of this length; the first is also its grace.
    private static let rateWindowMs: UInt64 = 10_000

    /// Reads as far as one request head. True: something changed, go on; false: wait for an event.
    func readHead(_ client: ClientPointer) -> Bool {
        guard let plan = lentPlan(client) else {
            close(client)
            return false
        }
        return plan { readHead(client, $0) }
    }

    private func readHead(_ client: ClientPointer, _ plan: ListenerPlan) -> Bool {
        let base: UnsafeMutablePointer<UInt8>
        let count: Int
        if let input = client.pointee.input, !client.pointee.inputIsPartial {
            // The next pipelined request: these bytes have not been looked at yet.
            base = input.readable
            count = input.count
        } else if client.pointee.input != nil {
            guard let input = bufferInput(client, capacity: plan.headBytesMax + 1) else { return false }
            // A head can only have become complete, or wrong, with a line end.
            if input.count <= plan.headBytesMax,
                memchr(input.writable - lastReceived, 10, lastReceived) == nil
            {
                return client.pointee.canRead
            }
            base = input.readable
            count = input.count
        } else {
            guard client.pointee.canRead else { return false }
            let received = receive(client, into: input, Self.headReadBytes)
            if received <= 0 { return false }
            base = input
            count = received
        }

        if opensCarrier(client, plan, base, count) {
            if client.pointee.input == nil { keepInput(client, base, count) }
            client.pointee.parting = .carry
            return true
        }
        var head = RequestHead()
        switch plan.parser.parse(base, count: count, fields: fieldScratch, into: &head) {
        case .complete:
            beginExchange(
                client, plan, base: base, count: count, head: head, fields: UnsafePointer(fieldScratch))
            return true
        case .incomplete:
            if client.pointee.input == nil {
                let buffer = buffers.take(max(count * 2, 1024))
                buffer.append(base, count)
                client.pointee.input = buffer
            }
            client.pointee.inputIsPartial = true
            if client.pointee.state == .idle {
                client.pointee.state = .head
                if client.pointee.deadline != .head {
                    setDeadline(client, .head, afterMs: plan.headTimeoutMs)
                }
            }
            return client.pointee.canRead
        case .malformed(let violation, let at):
            reject(
                client, plan,
                Failure(Reason(violation), phase: .read, position: Int32(at), detail: Detail(violation)))
            return true
        case .tooLarge(let limit):
            reject(
                client, plan,
                Failure(Reason(limit), phase: .read))
            return true
        }
    }

    /// Keeps the head, and what came behind it, and starts the exchange on its way.
    func beginExchange(
        _ client: ClientPointer, _ plan: ListenerPlan, base: UnsafeMutablePointer<UInt8>, count: Int,
        head: RequestHead, fields parsed: UnsafePointer<Field>
    ) {
        guard let exchange = openExchange(client, plan) else { return }
        let head = keepHead(exchange, base, head, parsed)
        let headBytes = Int(head.byteCount)
        beginBody(exchange, head, client)

        // What follows the head: the body, or the next request.
        if client.pointee.input != nil {
            client.pointee.inputIsPartial = false
            consumeInput(client, headBytes)
        } else if count > headBytes {
            let rest = count - headBytes
            let buffer = buffers.take(rest)
            buffer.append(base + headBytes, rest)
            client.pointee.input = buffer
        }
        if !head.wantsKeepAlive || client.pointee.requests >= plan.requestsPerConnectionMax || isDraining
            || !exchange.pointee.lease.pointee.isCurrent
        {
            client.pointee.closeAfterResponse = true
        }
        run(exchange, from: .route)
    }

    /// Keeps a head with its fields in memory of the exchange's. Returns it as it stands there.
    @discardableResult
    @inline(__always)
    func keepHead(
        _ exchange: ExchangePointer, _ base: UnsafeMutablePointer<UInt8>, _ head: RequestHead,
        _ parsed: UnsafePointer<Field>
    ) -> RequestHead {
        let headBytes = Int(head.byteCount)
        let fieldCount = Int(head.fieldCount)
        let pathRoom = head.pathTraits.needWriting ? Int(head.path.count) : 0
        let fieldOffset = (headBytes + pathRoom + 7) & ~7
        let kept = buffers.take(fieldOffset + fieldCount * MemoryLayout<Field>.stride)
        kept.append(base, headBytes)
        var head = head
        if pathRoom > 0 {
            // The normal form stands behind the head, where ranges reach it.
            let count = PathForm.write(base + Int(head.path.offset), pathRoom, into: kept.base + headBytes)
            head.path = ByteRange(headBytes, count)
        }
        let fields = UnsafeMutableRawPointer(kept.base + fieldOffset).bindMemory(
            to: Field.self, capacity: fieldCount)
        fields.update(from: parsed, count: fieldCount)
        exchange.pointee.head = kept
        exchange.pointee.fields = fields
        exchange.pointee.request = head
        exchange.pointee.origin = RequestOrigin(
            head, isSecure: exchange.pointee.client.pointee.transport.isEncrypted)
        exchange.pointee.bytesIn = UInt64(headBytes)
        return head
    }

    /// A slot for a new exchange on this connection; nil (and the connection closed) at the bound.
    func openExchange(_ client: ClientPointer, _ plan: ListenerPlan) -> ExchangePointer? {
        guard let (exchange, handle) = exchanges.allocate() else {
            eventLog.limited(limitGate, nowMs: nowMs, .warning, "exchange limit reached, connection closed")
            close(client)
            return nil
        }
        sequence &+= 1
        exchange.initialize(
            to: Exchange(
                inlineAttempt: Attempt(exchange: exchange), answering: exchange.primary, handle: handle,
                client: client,
                lease: takeLease(client.pointee.listenerID), listener: plan,
                counters: plan.unrouted.cell(worker: index),
                meter: ProgressMeter(
                    bytesPerSecondMin: plan.bytesPerSecondMin, windowMs: Self.rateWindowMs, startingAt: nowMs,
                    isPaused: true)
            ))
        plan.metrics.cell(worker: index).requestBegan()
        exchange.pointee.sequence = sequence
        exchange.pointee.startNs = nowNs
        // Until admit has looked for a better one; what fails before has a client in its record, too.
        exchange.pointee.clientAddress = client.pointee.peer
        client.pointee.exchange = exchange
        client.pointee.state = .exchange
        client.pointee.requests &+= 1
        clearDeadline(client)
        return exchange
    }

    /// Answers a head that cannot be served, and closes: what follows it cannot be told apart.
    private func reject(_ client: ClientPointer, _ plan: ListenerPlan, _ failure: Failure) {
        guard let exchange = openExchange(client, plan) else { return }
        client.pointee.closeAfterResponse = true
        client.pointee.mustLinger = true
        exchange.fail(failure)
    }

    /// Closes a connection whose client sent nothing that could be answered.
    func rejectConnection(_ client: ClientPointer, _ failure: Failure) {
        guard let plan = listenerPlan(client), let exchange = openExchange(client, plan) else {
            close(client)
            return
        }
        exchange.end(failure)
    }
}
