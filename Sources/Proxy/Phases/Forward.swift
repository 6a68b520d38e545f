// forward: one attempt: a connection, the request out, and the decision about another attempt.
//
// The request is written from its parsed form, never relayed raw. As long as everything sent is still
// held, the attempt can be repeated elsewhere; the retry rule decides (Resilience/RetryRule.swift).

import WeirBalancing
import Glibc
import WeirHTTP1
import WeirHTTPModel
import WeirProxyProtocol
import Reactor
import WeirResilience
import WeirRouting
import Synchronization
import Telemetry

extension Worker {
    func forward(_ exchange: ExchangePointer) -> PhaseResult {
        let attempt = exchange.attempt
        guard let endpoint = attempt.pointee.lentEndpoint, let service = exchange.pointee.lentService else {
            return .finish
        }
        if exchange.pointee.callDeadlineNs != 0 && nowNs >= exchange.pointee.callDeadlineNs {
            // Nobody waits for the answer any more: the endpoint is not asked.
            exchange.fail(Failure(.totalTimeout, phase: .forward))
            return .finish
        }
        endpoint { endpoint in service { begin(attempt, endpoint, $0) } }
        return .wait
    }

    func begin(_ attempt: AttemptPointer, _ endpoint: Endpoint, _ service: ServicePlan) {
        beginAttempt(attempt, endpoint)
        switch takeConnection(attempt, endpoint, service) {
        case .reused(let upstream):
            attach(attempt, upstream)
            attempt.pointee.isReused = true
            sendRequest(attempt, upstream, service)
        case .fresh(let upstream):
            attach(attempt, upstream)
            attempt.pointee.isReused = false
            if upstream.pointee.state == .busy { connected(upstream, attempt, service) }
        case .failed(let failure):
            attempt.fail(failure)
        }
    }

    // MARK: the connection

    func connectEnded(
        _ upstream: UpstreamPointer, _ attempt: AttemptPointer, _ service: ServicePlan
    ) {
        let error = upstream.pointee.transport.pendingError()
        if error != 0 {
            attempt.fail(connectFailure(error))
            return
        }
        upstream.pointee.state = .busy
        connected(upstream, attempt, service)
    }

    /// TCP stands; TLS is next where the service wants it.
    private func connected(_ upstream: UpstreamPointer, _ attempt: AttemptPointer, _ service: ServicePlan) {
        if let tls = service.tls, upstream.pointee.transport.tls == nil {
            // Who the client is, is told before anything is encrypted.
            if let version = service.proxyProtocol {
                var writer = ByteWriter(output, capacity: outputBytes)
                writeProxyHeader(version, attempt.exchange.pointee.client, &writer)
                _ = upstream.pointee.transport.send(output, writer.count, pool: &buffers, nowMs: nowMs)
            }
            guard beginHandshake(upstream, tls) else {
                attempt.fail(.limit(.memory, phase: .forward, errno: ENOMEM))
                return
            }
            handshakeUpstream(upstream, attempt, service)
            return
        }
        clearDeadline(upstream)
        let connectUs = UInt32(truncatingIfNeeded: (nowNs &- upstream.pointee.startNs) / 1000)
        attempt.pointee.account.connectUs = connectUs
        attempt.endpoint?.metrics.cell(worker: index).connectionOpened(connectUs: UInt64(connectUs))
        sendRequest(attempt, upstream, service)
    }

    func handshakeUpstream(
        _ upstream: UpstreamPointer, _ attempt: AttemptPointer, _ service: ServicePlan
    ) {
        switch handshake(upstream) {
        case .wait: break
        case .failed(let failure): attempt.fail(failure)
        case .done:
            upstream.pointee.state = .busy
            connected(upstream, attempt, service)
        }
    }

    // MARK: the request out

    func sendRequest(_ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ service: ServicePlan) {
        let exchange = attempt.exchange
        var writer = ByteWriter(output, capacity: outputBytes)
        if let version = service.proxyProtocol, !upstream.pointee.isReused,
            upstream.pointee.transport.tls == nil
        {
            writeProxyHeader(version, exchange.pointee.client, &writer)
        }
        if exchange.pointee.upgrade == .connecting {
            openConnectTunnel(attempt, upstream, writer.count)
            return
        }
        if exchange.pointee.requestStages != nil && !restartStages(exchange) {
            exchange.fail(noMemory(exchange))
            return
        }
        guard let view = view(exchange),
            let written = attempt.isAnswering
                ? writeRequestHead(exchange, view, &writer) : writeRequestHead(beside: attempt, view, &writer)
        else {
            return
        }
        endRequestHead(attempt, upstream, view, &writer)
        if written.target == .dotSegment {
            exchange.fail(Failure(.requestMalformed, phase: .forward, detail: Detail(Violation.dotSegment)))
            return
        }
        if writer.overflowed || written.target == .limitReached {
            exchange.fail(.limit(writer.overflowed ? .head : .expression, phase: .forward))
            return
        }
        attempt.pointee.requestStarted = true
        let error = sendRequestHead(attempt, upstream, written, &writer)
        if error != 0 {
            upstreamWriteBroke(attempt, upstream, error)
            return
        }
        if exchange.requestIsComplete {
            requestWritten(attempt, upstream)
        } else {
            pumpRequestBody(attempt)
        }
    }

    /// What templates say about the endpoint is said about this attempt's.
    @inline(never)
    private func writeRequestHead(
        beside attempt: AttemptPointer, _ view: RequestView, _ writer: inout ByteWriter
    ) -> WrittenRequest? {
        let exchange = attempt.exchange
        let answering = exchange.pointee.answering
        exchange.pointee.answering = attempt
        defer { exchange.pointee.answering = answering }
        return writeRequestHead(exchange, view, &writer)
    }

    /// A tunnel begins with nothing but what the service wants to know about the client.
    private func openConnectTunnel(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ headerBytes: Int
    ) {
        let exchange = attempt.exchange
        if headerBytes > 0 {
            let error = upstream.pointee.transport.send(output, headerBytes, pool: &buffers, nowMs: nowMs)
            if error != 0 {
                upstreamWriteBroke(attempt, upstream, error)
                return
            }
        }
        if acceptConnect(exchange, upstream) { beginTalk(exchange) }
    }

    private func writeProxyHeader(
        _ version: ProxyProtocolVersion, _ client: ClientPointer, _ writer: inout ByteWriter
    ) {
        let source = SocketAddress.ip(client.pointee.peer, port: client.pointee.peerPort)
        let destination = client.pointee.transport.localAddress() ?? .unix(path: "")
        writer.append(ProxyHeader(source: source, destination: destination, version: version.rawValue))
    }

    /// The whole request is with the kernel or in the outbox; now the endpoint has to answer.
    private func requestWritten(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        let exchange = attempt.exchange
        if upstream.pointee.transport.isBlocked {
            waitForUpstreamToTake(attempt)
            return
        }
        attempt.pointee.requestIsBlocked = false
        attempt.pointee.requestSentWhole = true
        if exchange.pointee.upgrade == .open { upstream.pointee.transport.shutdownWrite(pool: &buffers) }
        armDeadlines(attempt)
        // The client may have left meanwhile.
        let client = exchange.pointee.client
        if client.pointee.peerEnded && client.pointee.canRead {
            goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
        }
    }

    private func waitForUpstreamToTake(_ attempt: AttemptPointer) {
        attempt.pointee.requestIsBlocked = true
        armDeadlines(attempt)
    }

    func upstreamWritable(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        let exchange = attempt.exchange
        let error = upstream.pointee.transport.flush(pool: &buffers, nowMs: nowMs)
        if error != 0 {
            upstreamWriteBroke(attempt, upstream, error)
            return
        }
        touch(upstream, exchange)
        if upstream.pointee.transport.isBlocked {
            waitForUpstreamToTake(attempt)
            return
        }
        attempt.pointee.requestIsBlocked = false
        if exchange.requestIsComplete && attempt.pointee.requestPipe.count == 0 {
            requestWritten(attempt, upstream)
        } else {
            pumpRequestBody(attempt)
        }
    }

    /// Moves the request body on, as far as both sides let it.
    func pumpRequestBody(_ attempt: AttemptPointer) {
        let exchange = attempt.exchange
        guard let upstream = attempt.pointee.upstream, upstream.pointee.state == .busy,
            attempt.pointee.requestStarted, !exchange.pointee.awaitsTurn
        else { return }
        let client = exchange.pointee.client
        var moved = 0
        while !exchange.requestIsComplete || attempt.pointee.requestPipe.count > 0 {
            if attempt.pointee.discardsRequestBody {
                // The endpoint takes no more; its response says why. The client is drained after it.
                armDeadlines(exchange)
                return
            }
            if upstream.pointee.transport.isBlocked {
                waitForUpstreamToTake(attempt)
                return
            }
            if exchange.pointee.isStaged && moved >= Self.stagedTurnBytesMax {
                goOnNextTurn(exchange)
                return
            }
            let relayed: Relayed
            if exchange.pointee.isStaged, exchange.stagesHaveWork {
                relayed = relayRequest(attempt, upstream, input, 0)
            } else if let waiting = client.pointee.input {
                giveUpReplay(exchange)
                relayed = relayRequest(attempt, upstream, waiting.readable, waiting.count)
                consumeInput(client, relayed.consumed)
            } else if !exchange.pointee.isStaged,
                hasPipe(&attempt.pointee.requestPipe, exchange.pointee.requestBody, exchange)
            {
                switch spliceRequest(attempt, upstream) {
                case .next: continue
                case .wait, .finish: return
                }
            } else {
                guard client.pointee.canRead else {
                    armDeadlines(exchange)
                    return
                }
                let wanted = bodyBytesWanted(exchange, client)
                // What was held back of a WebSocket stands before what follows.
                let held = exchange.pointee.requestBody.pings.map { $0.pointee.sieve.heldBytes } ?? 0
                var received = receive(client, into: input + held, wanted - held)
                if exchange.isDecided || attempt.pointee.upstream != upstream { return }
                if received <= 0 && !exchange.pointee.requestBody.isDone { continue }
                if let pings = exchange.pointee.requestBody.pings, received > 0 {
                    received += heard(exchange, pings)
                }
                giveUpReplay(exchange)
                relayed = relayRequest(attempt, upstream, input, max(received, 0))
                if relayed.consumed < received && relayed.violation == nil {
                    keepInput(client, input + relayed.consumed, received - relayed.consumed)
                }
                // An answer to us is nothing the two said to each other.
                let isTraffic = relayed.sent > 0 || exchange.pointee.requestBody.pings == nil
                if !exchange.pointee.requestBody.isDone && isTraffic && !clientProgressed(exchange, received)
                {
                    return
                }
            }
            exchange.pointee.bytesIn += UInt64(relayed.consumed)
            if let (violation, at) = relayed.violation {
                refuseBody(exchange, (violation, at))
                return
            }
            if refuseTooLong(exchange) { return }
            if let failure = relayed.failure {
                stageFailed(exchange, failure)
                return
            }
            moved += relayed.sent + relayed.consumed
            if relayed.sent > 0 { touch(upstream, exchange) }
            if relayed.errno != 0 {
                upstreamWriteBroke(attempt, upstream, relayed.errno)
                return
            }
        }
        requestWritten(attempt, upstream)
    }

    private func spliceRequest(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) -> PhaseResult {
        let exchange = attempt.exchange
        let client = exchange.pointee.client
        var moved: UInt64 = 0
        giveUpReplay(exchange)
        let result = splice(
            &exchange.pointee.requestBody, from: client.pointee.transport.socket,
            to: upstream.pointee.transport.socket,
            &attempt.pointee.requestPipe, &moved)
        exchange.pointee.bytesIn += moved
        switch result {
        case .done:
            return .next
        case .sourceEmpty:
            client.pointee.canRead = false
            if moved > 0 {
                touch(upstream, exchange)
                if !clientProgressed(exchange, Int(moved)) { return .finish }
            }
            if client.pointee.peerEnded {
                exchange.clientEnded(errno: 0)
                return .finish
            }
            armDeadlines(exchange)
            return .wait
        case .sinkFull:
            if moved > 0 { touch(upstream, exchange) }
            waitForUpstreamToTake(attempt)
            return .wait
        case .shareUsed:
            touch(upstream, exchange)
            if !clientProgressed(exchange, Int(moved)) { return .finish }
            goOnNextTurn(Token(kind: TokenKind.client, handle: client.pointee.handle))
            armDeadlines(exchange)
            return .wait
        case .sourceEnded(let error):
            client.pointee.peerEnded = true
            exchange.clientEnded(errno: error)
            return .finish
        case .sinkBroke(let error):
            upstreamWriteBroke(attempt, upstream, error)
            return .finish
        }
    }

    /// The endpoint has stopped taking the request. It may have answered first (a 413, say): that
    /// answer is what the client should see, so it is looked for before the attempt counts as failed.
    private func upstreamWriteBroke(_ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ errno: Int32) {
        upstream.pointee.writeFailed = true
        upstream.pointee.transport.forgetOutput(pool: &buffers)
        upstream.pointee.canRead = true
        upstream.pointee.peerEnded = true
        attempt.pointee.requestIsBlocked = false
        attempt.pointee.discardsRequestBody = true
        attempt.pointee.writeErrno = errno
        armDeadlines(attempt)
        upstreamReadable(attempt, upstream)
    }

    // MARK: another attempt?

    /// Attempts have failed before any of a response reached the client. Each ends for what it has failed for; whether
    /// another one is made is decided once, for the last of them. What is decided then comes first (`settle`): the
    /// one that is made may have failed at once.
    @inline(never)
    func tryElsewhere(_ exchange: ExchangePointer) {
        while exchange.pointee.verdict == .none, let attempt = exchange.failedAttempt,
            let failure = attempt.pointee.failure
        {
            tryElsewhere(attempt, failure)
        }
    }

    private func tryElsewhere(_ attempt: AttemptPointer, _ failure: Failure) {
        let exchange = attempt.exchange
        if exchange.pointee.responseStarted {
            exchange.fail(failure)
            return
        }
        // An endpoint that has begun to answer did not close the connection for being idle.
        let isReused =
            attempt.pointee.interimCount == 0
            && attempt.pointee.upstream.map { $0.pointee.isReused && $0.pointee.input == nil } ?? false
        abandon(attempt, failure.reason)
        if goesOn(without: attempt) { return }
        guard let retry = retryPolicy(exchange), let service = exchange.service else {
            exchange.fail(failure)
            return
        }
        let sent: Sent =
            !attempt.pointee.requestStarted ? .none : attempt.pointee.requestSentWhole ? .all : .partial
        let facts = AttemptFacts(
            isIdempotent: exchange.pointee.request.method.isIdempotent, sent: sent,
            isReplayable: exchange.pointee.isReplayable, isReusedConnection: isReused,
            attempt: Int(exchange.pointee.attempts))
        switch decide(retry, after: failure, facts, service) {
        case .no(.budgetSpent):
            exchange.fail(Failure(.retryBudgetSpent, phase: failure.phase, errno: failure.errno))
        case .no:
            exchange.fail(failure)
        case .free:
            tryAgain(attempt, fresh: true, afterMs: 0)
        case .charged(let backoffMs):
            // Another endpoint that was never tried needs no patience after a failed connect.
            let hasOther = exchange.pointee.excluded.count < min(service.endpointCount, Excluded.capacity)
            tryAgain(attempt, fresh: false, afterMs: sent == .none && hasOther ? 0 : UInt64(backoffMs))
        }
    }

    /// When a request is tried again; nil: never. Pages and calls have no route.
    func retryPolicy(_ exchange: ExchangePointer) -> RetryPolicy? {
        exchange.route?.retry ?? exchange.call?.retry
            ?? (exchange.pointee.pageFetch == nil ? nil : PageFetch.retry)
    }

    /// Takes the exchange back to where an attempt starts, with one that has ended and has no companions.
    func tryAgain(_ attempt: AttemptPointer, fresh: Bool, afterMs: UInt64) {
        let exchange = attempt.exchange
        exchange.pointee.answering = attempt
        attempt.pointee.needsFreshConnection = fresh
        attempt.pointee.account.role = .primary
        attempt.pointee.discardsRequestBody = false
        attempt.pointee.requestStarted = false
        attempt.pointee.requestIsBlocked = false
        attempt.pointee.interimCount = 0
        if afterMs > 0 {
            exchange.pointee.phase = .select
            exchange.pointee.waitsFor = .backoff
            setTimer(exchange, afterMs: afterMs)
        } else {
            run(exchange, from: fresh ? .forward : .select)
        }
    }
}
