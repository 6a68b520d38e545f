// Sessions to endpoints: events of the connections that carry them, and of their streams.
//
// How an attempt gets a stream is in Attempts/TakenStream.swift; those opened while a connection is made wait
// for it, and their requests leave from here. What the endpoint promises not to have touched (GOAWAY, REFUSED_STREAM) may be sent again, whatever the method (RFC 9113 §8.7).

import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    // MARK: the connection that carries

    /// Events of a connection that carries a session, or will.
    func carrierReady(_ carrier: UpstreamPointer, _ record: SessionPointer, _ readiness: Readiness) {
        switch carrier.pointee.state {
        case .connecting:
            if readiness.isDisjoint(with: [.writable, .error, .hangUp]) { return }
            let error = carrier.pointee.transport.pendingError()
            if error != 0 {
                carrierFailed(carrier, record, connectFailure(error))
            } else if let service = currentService(carrier) {
                carrierConnected(carrier, service)
            } else {
                endCarrier(carrier)
            }
            // What came with the connect brings no event of its own.
            if carrier.pointee.canRead { serveUpstreamSession(carrier, record) }
        case .handshake:
            handshakeCarrier(carrier)
            if carrier.pointee.canRead { serveUpstreamSession(carrier, record) }
        case .session:
            if readiness.contains(.writable), carrier.pointee.transport.isBlocked {
                let error = carrier.pointee.transport.flush(pool: &buffers, nowMs: nowMs)
                if error != 0 {
                    endCarrier(carrier)
                    return
                }
                record.mark()
            }
            if carrier.pointee.canRead { serveUpstreamSession(carrier, record) }
        case .busy, .idle, .closed:
            break
        }
    }

    private func carrierConnected(_ carrier: UpstreamPointer, _ service: ServicePlan) {
        if let tls = service.tls {
            guard beginHandshake(carrier, tls) else {
                endCarrier(carrier)
                return
            }
            handshakeCarrier(carrier)
        } else {
            carrierEstablished(carrier)
        }
    }

    private func handshakeCarrier(_ carrier: UpstreamPointer) {
        guard let record = carrier.pointee.session else { return }
        switch handshake(carrier) {
        case .wait: break
        case .failed(let failure): carrierFailed(carrier, record, failure)
        case .done(let negotiated):
            if let streams = currentService(carrier)?.streams, negotiated == streams.alpn {
                carrierEstablished(carrier)
            } else {
                carrierFailed(carrier, record, Failure(.upstreamProtocolMismatch, phase: .forward))
            }
        }
    }

    /// The session may begin; the streams that waited send their requests.
    private func carrierEstablished(_ carrier: UpstreamPointer) {
        guard let record = carrier.pointee.session else { return }
        clearDeadline(carrier)
        carrier.pointee.state = .session
        record.mark()
        let connectUs = UInt64((nowNs &- carrier.pointee.startNs) / 1000)
        carrier.pointee.endpoint._withUnsafeGuaranteedRef {
            $0.metrics.cell(worker: index).connectionOpened(connectUs: connectUs)
        }
        // One request goes at once; the others when the endpoint has said how many it takes, so that none
        // is refused.
        openWaiting(record, countMax: 1)
    }

    /// Opens streams that wait for the connection; those over what the endpoint takes go elsewhere.
    private func openWaiting(_ record: SessionPointer, countMax: Int) {
        var count = 0
        var next = record.pointee.firstStream
        while let stream = next {
            next = stream.pointee.next
            guard let upstream = stream.pointee.upstream, upstream.pointee.state == .connecting,
                let attempt = upstream.pointee.attempt, let service = attempt.service
            else { continue }
            let exchange = attempt.exchange
            if count == countMax {
                if !record.pointee.settingsAreKnown { return }
                endAttempt(attempt, .none)
                dropUpstream(attempt)
                if !goesOn(without: attempt) { tryAgain(attempt, fresh: true, afterMs: 0) }
                conclude(exchange)
                continue
            }
            count += 1
            upstream.pointee.state = .busy
            clearDeadline(upstream)
            attempt.pointee.account.connectUs = UInt32(
                truncatingIfNeeded: (nowNs &- upstream.pointee.startNs) / 1000)
            sendRequest(attempt, upstream, service)
            conclude(exchange)
        }
    }

    /// The connection could not be had: every attempt that waited for it has failed for the same reason.
    func carrierFailed(_ carrier: UpstreamPointer, _ record: SessionPointer, _ failure: Failure) {
        // Out of the pool first: an attempt that is repeated must not get a stream of it again.
        carrier.pointee.endpoint._withUnsafeGuaranteedRef { unlinkFromPool(record, $0.id) }
        while let stream = record.pointee.firstStream, let upstream = stream.pointee.upstream {
            if let attempt = upstream.pointee.attempt {
                let exchange = attempt.exchange
                attempt.fail(failure)
                conclude(exchange)
            }
            if upstream.pointee.state != .closed { close(upstream) }
            if record.pointee.firstStream == stream { record.pointee.firstStream = stream.pointee.next }
        }
        endCarrier(carrier)
    }

    private func serveUpstreamSession(_ carrier: UpstreamPointer, _ record: SessionPointer) {
        var rounds = 0
        while carrier.pointee.state == .session && carrier.pointee.canRead {
            if !record.session({ $0.wantsInput }) { return }
            if rounds >= 8 {
                goOnNextTurn(Token(kind: TokenKind.upstream, handle: carrier.pointee.handle))
                return
            }
            rounds += 1
            let received = receive(carrier, into: sessionInput, Self.inputBytes)
            if received < 0 { return }
            if received == 0 {
                endCarrier(carrier)
                return
            }
            feedSession(record, sessionInput, received)
        }
    }

    /// After a flush: idle sessions age, finished ones go.
    func armCarrier(_ carrier: UpstreamPointer, _ record: SessionPointer) {
        guard record.pointee.streamCount == 0 else { return }
        if record.session({ $0.acceptsNoStreams }) {
            endCarrier(carrier)
        } else if carrier.pointee.deadline != .idle {
            setDeadline(carrier, .idle, afterMs: max(carrier.pointee.idleTimeoutMs, 60_000))
        }
    }

    // MARK: events of streams

    func upstreamSessionEvent(_ record: SessionPointer, _ event: StreamEventPointer) {
        switch event.pointee.kind {
        case .settings:
            if record.pointee.settingsAreKnown { return }
            record.pointee.settingsAreKnown = true
            openWaiting(record, countMax: record.session { $0.streamsFree })
            return
        case .roundTrip:
            return
        case .violation:
            guard let violation = record.session({ $0.violation }) else { return }
            eventLog.limited(
                sessionGate, nowMs: nowMs, .warning,
                "\(record.session { $0.version.name }) connection to an endpoint ended for a violation",
                ["violation": "\(violation.text)", "section": "\(violation.section)"])
            return
        default:
            break
        }
        guard let stream = StreamPointer(bitPattern: event.pointee.userData),
            let upstream = stream.pointee.upstream,
            let attempt = upstream.pointee.attempt
        else {
            if event.pointee.kind == .data {
                record.session { $0.consumed(event.pointee.stream, event.pointee.count) }
            }
            return
        }
        let exchange = attempt.exchange
        takeEvent(event, stream, upstream, attempt)
        conclude(exchange)
    }

    private func takeEvent(
        _ event: StreamEventPointer, _ stream: StreamPointer, _ upstream: UpstreamPointer,
        _ attempt: AttemptPointer
    ) {
        let exchange = attempt.exchange
        switch event.pointee.kind {
        case .head:
            if event.pointee.endsStream { stream.pointee.ended = true }
            if mayTurnOutMalformed(exchange, event) {
                keepHead(stream, event)
            } else {
                takeHead(attempt, upstream, event.pointee.response, event.pointee.bytes, event.pointee.fields)
            }
        case .data, .trailers, .end:
            take(stream, event)
            upstream.pointee.canRead = true
            if let kept = stream.pointee.head {
                stream.pointee.head = nil
                takeKeptHead(attempt, upstream, kept)
            } else {
                upstreamReadable(attempt, upstream)
            }
        case .writable:
            upstreamReady(upstream, .writable)
        case .headRefused:
            attempt.fail(Failure(.upstreamHeadTooLarge, phase: .respond))
        case .malformed:
            stream.pointee.isGone = true
            let reason: Reason =
                exchange.pointee.responseStarted ? .upstreamMalformedBody : .upstreamMalformedHead
            attempt.fail(Failure(reason, phase: .respond, detail: event.pointee.detail))
        case .reset, .closed:
            let isGone = event.pointee.kind == .closed
            if isGone { stream.pointee.isGone = true }
            if event.pointee.isUnprocessed { stream.pointee.isUnprocessed = true }
            // A whole answer stands, however the endpoint ends the stream behind it.
            if stream.pointee.ended { return }
            // An endpoint that resets has seen the request: this is not the race of a kept connection,
            // which may be repeated for nothing.
            if event.pointee.kind == .reset { upstream.pointee.isReused = false }
            if isGone { upstreamStreamBroke(upstream) }
        default:
            break
        }
    }

    /// Whether this head is all of a response while its stream goes on: DATA would make that malformed, when a client of
    /// HTTP/1.1 has long taken it for complete (RFC 9113 §8.1.1).
    private func mayTurnOutMalformed(_ exchange: ExchangePointer, _ event: StreamEventPointer) -> Bool {
        let head = event.pointee.response
        if event.pointee.endsStream || head.isInterim { return false }
        if exchange.pointee.upgrade == .asked && head.status >= 200 && head.status < 300 { return false }
        return head.framing == .none || (head.framing == .length && head.contentLength == 0)
    }

    /// Keeps a head until the stream ends, as endpoints let it do in the next frame: the head, its fields, its bytes.
    private func keepHead(_ stream: StreamPointer, _ event: StreamEventPointer) {
        let fieldBytes = Int(event.pointee.response.fieldCount) * MemoryLayout<Field>.stride
        let headBytes = MemoryLayout<ResponseHead>.stride
        let kept = buffers.take(headBytes + fieldBytes + event.pointee.count)
        let start = UnsafeMutableRawPointer(kept.base)
        start.storeBytes(of: event.pointee.response, as: ResponseHead.self)
        (start + headBytes).copyMemory(from: event.pointee.fields, byteCount: fieldBytes)
        (start + headBytes + fieldBytes).copyMemory(from: event.pointee.bytes, byteCount: event.pointee.count)
        stream.pointee.head = kept
    }

    private func takeKeptHead(_ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ kept: BufferPointer) {
        let start = UnsafeRawPointer(kept.base)
        let head = start.load(as: ResponseHead.self)
        let fields = start + MemoryLayout<ResponseHead>.stride
        let bytes = fields + Int(head.fieldCount) * MemoryLayout<Field>.stride
        takeHead(
            attempt, upstream, head, bytes.assumingMemoryBound(to: UInt8.self),
            fields.assumingMemoryBound(to: Field.self))
        buffers.give(kept)
    }

    private func takeHead(
        _ attempt: AttemptPointer, _ upstream: UpstreamPointer, _ head: ResponseHead,
        _ bytes: UnsafePointer<UInt8>, _ fields: UnsafePointer<Field>
    ) {
        let exchange = attempt.exchange
        let response = ResponseView(
            head: head, fields: UnsafeMutablePointer(mutating: fields),
            bytes: UnsafeMutablePointer(mutating: bytes))
        if head.isInterim {
            _ = passInterim(attempt, response)
        } else if exchange.pointee.upgrade == .asked && head.status >= 200 && head.status < 300 {
            if acceptExtendedConnect(exchange, upstream, response) { beginTalk(exchange) }
        } else {
            beginResponse(attempt, upstream, response, Int(head.byteCount))
        }
    }

    /// The stream is gone before its answer was whole.
    func upstreamStreamBroke(_ upstream: UpstreamPointer) {
        guard let attempt = upstream.pointee.attempt else { return }
        let exchange = attempt.exchange
        guard let stream = upstream.pointee.transport.stream else { return }
        let isUnprocessed = stream.pointee.isUnprocessed
        let violation = stream.pointee.session.session { $0.violation }
        if !exchange.pointee.responseStarted {
            if isUnprocessed && exchange.pointee.isReplayable { attempt.pointee.requestStarted = false }
            let failure =
                isUnprocessed
                ? Failure(.upstreamStreamRefused, phase: .forward)
                : violation.map { Failure(.upstreamSessionViolation, phase: .forward, detail: $0.detail) }
                    ?? Failure(.upstreamReset, phase: .forward, errno: ECONNRESET)
            attempt.fail(failure)
        } else if !exchange.pointee.responseDone {
            // A whole answer stands, also one that has not been taken yet.
            if !stream.pointee.ended { stream.pointee.error = ECONNRESET }
            upstream.pointee.canRead = true
            upstreamReadable(attempt, upstream)
        }
    }
}
