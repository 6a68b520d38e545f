// respond: the endpoint's answer to the client: interim heads, the head, the body, trailers.
//
// A response is believed only when it is well-formed; what is not becomes a 502 with a reason, or,
// once the head is out, an aborted connection: never a message that looks complete (law 2).

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    private static let interimMax: UInt8 = 32

    /// The endpoint has sent something, or ended.
    func upstreamReadable(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        let exchange = attempt.exchange
        if !exchange.pointee.responseStarted && !exchange.pointee.responseDone {
            readResponseHead(attempt, upstream)
        } else {
            pumpResponseBody(exchange)
        }
    }

    // MARK: the head

    private func readResponseHead(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        let exchange = attempt.exchange
        while upstream.pointee.canRead && upstream.pointee.attempt == attempt
            && !exchange.pointee.responseStarted && !exchange.isDecided
        {
            let base: UnsafeMutablePointer<UInt8>
            let count: Int
            if let buffer = upstream.pointee.input {
                let received = receive(upstream, into: buffer.writable, buffer.room)
                if received < 0 { return }
                if received == 0 {
                    endedBeforeHead(attempt, upstream)
                    return
                }
                buffer.pointee.end += UInt32(received)
                base = buffer.readable
                count = buffer.count
            } else {
                let received = receive(upstream, into: input, Self.inputBytes)
                if received < 0 { return }
                if received == 0 {
                    endedBeforeHead(attempt, upstream)
                    return
                }
                base = input
                count = received
            }
            takeHeads(attempt, upstream, base, count)
        }
    }

    /// The connection's end before a response head: what it means depends on how it ended.
    private func endedBeforeHead(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        let error = upstream.pointee.readErrno
        let failure: Failure
        if error != 0 || upstream.pointee.writeFailed {
            failure = Failure(
                .upstreamReset, phase: .forward, errno: error != 0 ? error : attempt.pointee.writeErrno)
        } else {
            failure = Failure(.upstreamClosed, phase: .forward)
        }
        attempt.fail(failure)
    }

    /// Takes interim heads and the final one out of a block of bytes.
    private func takeHeads(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ base: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) {
        let exchange = attempt.exchange
        var offset = 0
        var quirks: Quirks = []
        while offset < count {
            var head = ResponseHead()
            let method = exchange.pointee.request.method
            let result =
                quirks.isEmpty
                ? responseParser.parse(
                    base + offset, count: count - offset, requestMethod: method, fields: fieldScratch,
                    into: &head)
                : responseParser.parseLeniently(
                    base + offset, count: count - offset, requestMethod: method, fields: fieldScratch,
                    into: &head, allowing: quirks)
            switch result {
            case .complete:
                if !head.quirks.isEmpty { overlooked(exchange, head.quirks) }
                quirks = []
                let response = ResponseView(head: head, fields: fieldScratch, bytes: base + offset)
                if head.isInterim {
                    guard passInterim(attempt, response) else { return }
                    offset += Int(head.byteCount)
                    continue
                }
                if head.status == 101 {
                    if acceptUpgrade(attempt, upstream, response, count - offset) {
                        beginTalk(exchange)
                    }
                    return
                }
                beginResponse(attempt, upstream, response, count - offset)
                return
            case .incomplete:
                keepPartialHead(exchange, upstream, base + offset, count - offset)
                return
            case .malformed(let violation, let at):
                if quirks.isEmpty, let allowed = exchange.service?.quirks, !allowed.isEmpty {
                    // Once more from the same byte, with what the service says of its endpoints.
                    quirks = allowed
                    continue
                }
                attempt.fail(
                    Failure(
                        .upstreamMalformedHead, phase: .respond, position: Int32(at),
                        detail: Detail(violation)))
                return
            case .tooLarge:
                attempt.fail(Failure(.upstreamHeadTooLarge, phase: .respond))
                return
            }
        }
        // All interim: the final head is still to come.
        if let buffer = upstream.pointee.input {
            buffers.give(buffer)
            upstream.pointee.input = nil
        }
    }

    private func keepPartialHead(
        _ exchange: ExchangePointer, _ upstream: UpstreamPointer, _ bytes: UnsafeMutablePointer<UInt8>,
        _ count: Int
    ) {
        let old = upstream.pointee.input
        if let old, old.room > 0, old.readable == bytes { return }
        let buffer = buffers.take(max(count * 2, 4096))
        buffer.append(bytes, count)
        if let old { buffers.give(old) }
        upstream.pointee.input = buffer
    }

    /// 1xx heads go through to clients that know them (RFC 9110 §15.2). False: the exchange is over.
    func passInterim(_ attempt: AttemptPointer, _ response: ResponseView) -> Bool {
        let exchange = attempt.exchange
        attempt.pointee.interimCount += 1
        if attempt.pointee.interimCount > Self.interimMax {
            attempt.fail(Failure(.upstreamMalformedHead, phase: .respond))
            return false
        }
        // A client of HTTP/1.0 knows none of them. All others are passed on, a 100 nobody asked for too: it
        // would be ours to keep only if we had asked for it, and an expectation is always the client's.
        // What precedes a page says nothing about the error, and nobody knows yet whose answer will be heard of several.
        if exchange.pointee.request.version < .http11 || exchange.pointee.pageFetch != nil
            || hasCompanion(attempt)
        {
            return true
        }
        var writer = ByteWriter(output, capacity: outputBytes)
        let head = response.head
        beginResponseHead(exchange, head.status, reason: head.reason.bytes(in: response.bytes), &writer)
        writeFields(of: response, &writer)
        if exchange.pointee.hooks.contains(.responseHead) { draftResponse(exchange, .interim, &writer) }
        return sendInterim(exchange, head.status, &writer)
    }

    /// The final head of a response.
    ///
    /// - Parameter count: bytes that have come, from the head's first on.
    func beginResponse(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int
    ) {
        let exchange = attempt.exchange
        let head = response.head
        attempt.pointee.account.status = head.status
        attempt.pointee.account.headNs = nowNs
        if exchange.pointee.others != nil && !mayAnswer(attempt, head.status) { return }
        exchange.pointee.phase = .respond
        if head.status >= exchange.pointee.judgedStatusMin, judge(attempt, upstream, response, count) {
            return
        }
        let client = exchange.pointee.client
        if exchange.pointee.upgrade == .asked && readsAsAgreement(head.status, client) {
            exchange.fail(Failure(.upstreamUpgradeDeclined, phase: .respond))
            return
        }
        exchange.pointee.response = head
        exchange.pointee.status = head.status
        exchange.pointee.headUs = UInt32(truncatingIfNeeded: (nowNs &- exchange.pointee.startNs) / 1000)
        exchange.pointee.responseBody.begin(
            bodyFraming(of: head, upstream), length: head.contentLength)
        if exchange.pointee.responseBody.framing == .chunked,
            let quirks = exchange.pointee.lentService?({ $0.quirks }), !quirks.isEmpty
        {
            exchange.pointee.responseBody.chunked = ChunkedDecoder(allowing: quirks)
        }
        if head.keepAliveTimeoutSeconds > 0 {
            // Stay a second below what the endpoint says, so that it is not the one that closes.
            upstream.pointee.idleTimeoutMs = UInt64(head.keepAliveTimeoutSeconds - 1) * 1000
        }
        // An answer before the request was read: the rest of the request is not waited for.
        if !exchange.pointee.requestBody.isDone || isDraining { client.pointee.closeAfterResponse = true }
        if head.framing == .chunked || head.framing == .untilClose { frameResponse(exchange) }
        var writer = ByteWriter(output, capacity: outputBytes)
        writeResponseHead(exchange, response, &writer)
        if head.status == 426 { writeUpgradeOffer(exchange, response, &writer) }
        endResponseHead(exchange, .endpoint(response), &writer)
        if writer.overflowed {
            exchange.fail(.limit(.head, phase: .respond))
            return
        }
        exchange.pointee.responseStarted = true
        touch(upstream, exchange)
        let early = response.body(of: count)
        if sendResponse(exchange, upstream, &writer, early.bytes, early.count) {
            pumpResponseBody(exchange)
        }
    }

    /// Whether something else than this answer goes to the client.
    private func judge(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ response: ResponseView, _ count: Int
    ) -> Bool {
        let exchange = attempt.exchange
        if let fetch = exchange.pointee.pageFetch {
            takePage(exchange, upstream, response, count, fetch)
            return true
        }
        return retryStatus(attempt, response.head.status)
            || replaceAnswer(exchange, upstream, response, count)
    }

    /// Whether the route wants this status tried elsewhere, and that is under way.
    private func retryStatus(_ attempt: AttemptPointer, _ status: UInt16) -> Bool {
        let exchange = attempt.exchange
        // StatusSet has only those: a look at the route's rules is not for every response.
        guard status >= 500, let retry = retryPolicy(exchange), let service = exchange.service,
            retry.statuses.contains(status)
        else { return false }
        let facts = AttemptFacts(
            isIdempotent: exchange.pointee.request.method.isIdempotent, sent: .all,
            isReplayable: exchange.pointee.isReplayable,
            isReusedConnection: attempt.pointee.upstream?.pointee.isReused ?? false,
            attempt: Int(exchange.pointee.attempts))
        guard case .charged(let backoffMs) = decide(retry, after: status, facts, service) else {
            return false
        }
        endAttempt(attempt, .none)
        dropUpstream(attempt)
        tryAgain(attempt, fresh: false, afterMs: UInt64(backoffMs))
        return true
    }

    /// One of several attempts has an answer: it is the client's, and the others end. False: it is one the route wants
    /// tried elsewhere, and somebody else is being asked already.
    @inline(never)
    private func mayAnswer(_ attempt: AttemptPointer, _ status: UInt16) -> Bool {
        if retryPolicy(attempt.exchange)?.statuses.contains(status) ?? false, hasCompanion(attempt) {
            endAttempt(attempt, .none)
            dropUpstream(attempt)
            if goesOn(without: attempt) { return false }
        }
        leaveOnly(attempt)
        return true
    }

    // MARK: the body

    /// Both directions carry another protocol from here on.
    func beginTalk(_ exchange: ExchangePointer) {
        pumpResponseBody(exchange)
        if !exchange.isDecided { pumpRequestBody(exchange.attempt) }
    }

    /// Moves the response body on, as far as both sides let it.
    func pumpResponseBody(_ exchange: ExchangePointer) {
        guard exchange.pointee.responseStarted, !exchange.pointee.responseDone,
            let upstream = exchange.attempt.pointee.upstream
        else { return }
        let client = exchange.pointee.client
        var moved = 0
        while !exchange.pointee.responseBody.isDone || exchange.pointee.responsePipe.count > 0
            || exchange.pointee.responseStages != nil
        {
            if client.pointee.transport.isBlocked, !upstream.pointee.transport.isLastCall {
                armDeadlines(exchange)
                return
            }
            let movedMax =
                exchange.pointee.responseStages == nil ? Self.turnBytesMax : Self.stagedTurnBytesMax
            if moved >= movedMax, !upstream.pointee.transport.isLastCall {
                goOnNextTurn(Token(kind: TokenKind.upstream, handle: upstream.pointee.handle))
                armDeadlines(exchange)
                return
            }
            if exchange.pointee.responseStages != nil {
                if stagesAreBusy(exchange) {
                    moved += Self.inputBytes
                    guard goOnStaged(exchange, upstream, flush: false) else { return }
                    continue
                }
            } else if hasPipe(&exchange.pointee.responsePipe, exchange.pointee.responseBody, exchange) {
                switch spliceResponse(exchange, upstream) {
                case .next: continue
                case .wait, .finish: return
                }
            }
            guard upstream.pointee.canRead else {
                guard goOnStaged(exchange, upstream, flush: true) else { return }
                // More came out than there was room for: the rest does not wait for the endpoint.
                if stagesAreBusy(exchange) {
                    moved += Self.inputBytes
                    continue
                }
                armDeadlines(exchange)
                return
            }
            moved += Self.inputBytes
            guard copyResponse(exchange, upstream) else { return }
        }
        responseComplete(exchange)
    }

    /// One block through our memory. False: stop.
    private func copyResponse(_ exchange: ExchangePointer, _ upstream: UpstreamPointer) -> Bool {
        let received = receive(upstream, into: input, bodyBytesWanted(exchange, from: upstream))
        if received < 0 { return true }
        if received == 0 {
            upstreamEnded(exchange, upstream)
            return false
        }
        touch(upstream, exchange)
        var start = 0
        if let pings = exchange.pointee.requestBody.pings, pings.pointee.clock.isDue {
            guard let passed = sendPing(exchange, upstream, pings, within: received) else { return false }
            start = passed
        }
        let relayed = relayResponse(
            exchange, upstream, input + start, received - start,
            behind: ByteWriter(output, capacity: outputBytes))
        return checkRelayed(exchange, upstream, relayed, extra: received - start - relayed.consumed)
    }

    private func spliceResponse(_ exchange: ExchangePointer, _ upstream: UpstreamPointer) -> PhaseResult {
        let client = exchange.pointee.client
        var moved: UInt64 = 0
        let result = splice(
            &exchange.pointee.responseBody, from: upstream.pointee.transport.socket,
            to: client.pointee.transport.socket,
            &exchange.pointee.responsePipe, &moved)
        exchange.pointee.bytesOut += moved
        switch result {
        case .done:
            return .next
        case .sourceEmpty:
            upstream.pointee.canRead = false
            if moved > 0 { touch(upstream, exchange) }
            // With the end of stream already seen, an empty source is one cut short.
            if upstream.pointee.peerEnded {
                let waiting = upstream.pointee.transport.peek()
                if waiting == 0 {
                    upstreamEnded(exchange, upstream)
                    return .finish
                }
                upstream.pointee.canRead = waiting > 0
                if waiting > 0 { return .next }
            }
            armDeadlines(exchange)
            return .wait
        case .sinkFull:
            if moved > 0 { touch(client, exchange) }
            armDeadlines(exchange)
            return .wait
        case .shareUsed:
            goOnNextTurn(Token(kind: TokenKind.upstream, handle: upstream.pointee.handle))
            armDeadlines(exchange)
            return .wait
        case .sourceEnded(let error):
            upstream.pointee.readErrno = error
            upstreamEnded(exchange, upstream)
            return .finish
        case .sinkBroke(let error):
            exchange.clientEnded(errno: error)
            return .finish
        }
    }

    /// The client takes bytes, and our own buffer is empty.
    func outputDrained(_ exchange: ExchangePointer) {
        armDeadlines(exchange)
        if exchange.pointee.responseDone {
            exchange.finish()
        } else if exchange.pointee.file != nil {
            pumpFile(exchange)
        } else if exchange.pointee.responseStarted {
            pumpResponseBody(exchange)
        }
    }

    /// The endpoint has ended the connection within, or right after, a response body.
    private func upstreamEnded(_ exchange: ExchangePointer, _ upstream: UpstreamPointer) {
        let error = upstream.pointee.readErrno
        guard exchange.pointee.responseBody.framing == .untilClose, error == 0 else {
            exchange.fail(Failure(.upstreamClosedMidBody, phase: .respond, errno: error))
            return
        }
        exchange.pointee.responseBody.isDone = true
        exchange.pointee.responseBody.trailers = upstream.pointee.transport.takeTrailers()
        // What ends the body in the client's framing.
        let relayed = relayResponse(
            exchange, upstream, input, 0, behind: ByteWriter(output, capacity: outputBytes))
        if checkRelayed(exchange, upstream, relayed, extra: 0) { pumpResponseBody(exchange) }
    }

    /// A response was read although it breaks the standard: counted, and told now and then.
    private func overlooked(_ exchange: ExchangePointer, _ quirks: Quirks) {
        guard let service = exchange.service, let endpoint = exchange.endpoint else { return }
        endpoint.metrics.cell(worker: index).overlooked(quirks)
        eventLog.limited(
            quirkGate, nowMs: nowMs, .warning, "response read leniently",
            [
                "service": service.name.description, "endpoint": endpoint.name.description,
                "quirks": quirks.list.map(\.name.description).joined(separator: " "),
            ])
    }

    /// Everything the endpoint had to say is with the client's socket or its outbox.
    private func responseComplete(_ exchange: ExchangePointer) {
        if exchange.pointee.responseBody.framing == .chunked,
            !exchange.pointee.responseBody.chunked.quirks.isEmpty
        {
            overlooked(exchange, exchange.pointee.responseBody.chunked.quirks)
        }
        exchange.pointee.responseDone = true
        let attempt = exchange.attempt
        endAttempt(attempt, .none)
        if let upstream = attempt.pointee.upstream {
            letGo(
                attempt, upstream,
                reusable: exchange.pointee.response.allowsKeepAlive && exchange.pointee.upgrade != .open)
        }
        if !exchange.pointee.client.pointee.transport.isBlocked {
            exchange.finish()
        } else {
            armDeadlines(exchange)
        }
    }
}
