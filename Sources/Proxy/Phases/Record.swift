// record: how an exchange ends, and the one record of it.
//
// Log line, metrics (later traces and SLO events) come from the same value, made here and nowhere else.

import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience
import Synchronization
import Telemetry

extension Worker {
    /// The exchange ends in a failure: a response that says so when none has begun, else a cut.
    func answerFailure(_ exchange: ExchangePointer, _ failure: Failure) {
        endAttempts(exchange, failure.reason)
        clearTimer(exchange)
        exchange.pointee.waitsFor = .nothing
        if exchange.pointee.responseStarted || exchange.pointee.isLocal || failure.status == 0
            || exchange.call != nil
        {
            if !endBridged(exchange, failure) { exchange.end(failure) }
            return
        }
        if let fetch = exchange.pointee.pageFetch {
            giveUpPage(exchange, fetch)
            return
        }
        exchange.pointee.failure = failure
        answer(exchange, failure: failure)
    }

    /// The exchange is over, and its connection with it.
    func cut(_ exchange: ExchangePointer, _ failure: Failure) {
        endAttempts(exchange, failure.reason)
        if exchange.pointee.failure.reason == .none { exchange.pointee.failure = failure }
        let isCut = exchange.pointee.responseStarted
        closeExchange(exchange)
        exchange.pointee.client.pointee.parting = isCut ? .cut : .breakOff
    }

    /// The response is out: the connection serves the next request or closes.
    @inline(__always)
    func complete(_ exchange: ExchangePointer) {
        let client = exchange.pointee.client
        let requestIsRead = exchange.pointee.requestBody.isDone
        closeExchange(exchange)
        if client.pointee.closeAfterResponse || !requestIsRead {
            // The rest of a request that nobody wants is on its way.
            if !requestIsRead { client.pointee.mustLinger = true }
            client.pointee.parting = .close
        } else {
            client.pointee.parting = .next
        }
    }

    private func closeExchange(_ exchange: ExchangePointer) {
        if let fetch = exchange.pointee.pageFetch { endFetch(exchange, fetch) }
        if exchange.pointee.hooks.contains(.record) {
            eachStep(exchange, at: .record) { $0.record(self, exchange) }
        }
        record(exchange)
        if let call = exchange.call { call.end(exchange.pointee.failure.reason) }
        endPolicyStates(exchange)
        exchange.pointee.isOver = true
        let client = exchange.pointee.client
        client.pointee.exchange = nil
        clearDeadline(client)
        if let head = exchange.pointee.head { buffers.give(head) }
        if let held = exchange.pointee.held { buffers.give(held) }
        if let trailers = exchange.pointee.requestBody.trailers { buffers.give(trailers) }
        if let trailers = exchange.pointee.responseBody.trailers { buffers.give(trailers) }
        dropResponseStages(exchange)
        dropRequestStages(exchange)
        if exchange.pointee.responsePipe.exists { pipes.give(exchange.pointee.responsePipe) }
        if exchange.attempt.pointee.requestPipe.exists { pipes.give(exchange.attempt.pointee.requestPipe) }
        closeFile(exchange)
        if exchange.pointee.upgrade == .open { closeWebSocket(exchange) }
        if exchange.pointee.timer >= 0 { timers.remove(exchange.pointee.timer) }
        if exchange.pointee.totalTimer >= 0 { timers.remove(exchange.pointee.totalTimer) }
        exchange.pointee.timer = -1
        exchange.pointee.totalTimer = -1
        exchange.pointee.timerRuns = false
        dropUpstream(exchange.attempt)
        if exchange.pointee.others != nil { freeAttempts(exchange) }
        giveBack(exchange.pointee.lease)
        bury(TokenKind.exchange, exchange.pointee.handle)
    }

    private func record(_ exchange: ExchangePointer) {
        let totalUs = (nowNs &- exchange.pointee.startNs) / 1000
        let failure = exchange.pointee.failure
        let status = exchange.pointee.status
        if exchange.pointee.serviceID >= 0 {
            budgetFollows(serviceID: exchange.pointee.serviceID)
        }
        exchange.pointee.counters.requestEnded(
            status: status, totalUs: totalUs, firstByteUs: UInt64(exchange.pointee.headUs),
            bytesIn: exchange.pointee.bytesIn, bytesOut: exchange.pointee.bytesOut, reason: failure.reason,
            attempts: exchange.pointee.attempts)
        if log != nil && exchange.call == nil {
            appendRecord(logRecord(exchange, totalUs: totalUs), exchange)
        }
    }

    /// The record of a failure on a client's connection for which there is no exchange.
    func recordFailure(
        _ client: ClientPointer, _ plan: ListenerPlan, _ failure: Failure, version: Version
    ) {
        plan.unrouted.cell(worker: index).requestEnded(
            status: 0, totalUs: 0, firstByteUs: 0, bytesIn: 0, bytesOut: 0, reason: failure.reason,
            attempts: 0)
        guard log != nil else { return }
        sequence &+= 1
        var record = RequestRecord()
        record.startUs = time.wallUs()
        record.proto = version.name
        record.failure = failure
        record.clientIP = client.pointee.peer
        record.clientPort = client.pointee.peerPort
        record.id = RequestID(high: identity, low: sequence)
        record.listener = plan.name.bytes
        record.worker = UInt16(index)
        appendRecord(record)
    }

    private func logRecord(_ exchange: ExchangePointer, totalUs: UInt64) -> RequestRecord {
        let client = exchange.pointee.client
        var record = RequestRecord()
        record.startUs = time.wallUs() &- totalUs
        record.totalUs = totalUs
        record.firstByteUs = UInt64(exchange.pointee.headUs)
        record.connectUs = UInt64(exchange.attempt.pointee.account.connectUs)
        record.status = exchange.pointee.status
        record.bytesIn = exchange.pointee.bytesIn
        record.bytesOut = exchange.pointee.bytesOut
        record.failure = exchange.pointee.failure
        if record.failure.reason == .requestBodyTooLarge {
            record.limit = exchange.pointee.requestBody.countMax
        }
        record.attempts = exchange.pointee.attempts
        record.connectionReused = exchange.attempt.pointee.isReused
        record.clientIP = exchange.pointee.clientAddress
        record.clientPort = client.pointee.peerPort
        record.id = RequestID(high: identity, low: exchange.pointee.sequence)
        record.listener = exchange.pointee.listener.name.bytes
        record.worker = UInt16(index)
        record.name(client.pointee.transport.encryption)
        if let route = exchange.route { record.route = route.name.bytes }
        if let service = exchange.service { record.service = service.name.bytes }
        if let endpoint = exchange.endpoint { record.endpoint = endpoint.name.bytes }
        if let view = view(exchange) {
            let head = view.head.pointee
            record.method = head.methodName.bytes(in: view.bytes)
            record.target = head.target.bytes(in: view.bytes)
            record.scheme = exchange.pointee.origin.scheme
            record.host = exchange.pointee.origin.authority.bytes(in: view.bytes)
            record.proto = head.version.name
            for i in 0..<Int(head.fieldCount) {
                switch view.fields[i].id {
                case .userAgent: record.userAgent = view.fields[i].value.bytes(in: view.bytes)
                case .referer: record.referer = view.fields[i].value.bytes(in: view.bytes)
                default: break
                }
            }
        }
        return record
    }
}
