// Events of a connection to an endpoint, and its deadlines.

import Glibc
import Reactor
import WeirResilience

extension Worker {
    func upstreamReady(_ upstream: UpstreamPointer, _ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readHangUp, .hangUp, .error]) {
            upstream.pointee.peerEnded = true
            upstream.pointee.canRead = true
            upstream.pointee.transport.becameReadable(hangUp: true)
        } else if readiness.contains(.readable) {
            upstream.pointee.canRead = true
            upstream.pointee.transport.becameReadable(hangUp: false)
        }
        if let session = upstream.pointee.session {
            carrierReady(upstream, session, readiness)
            return
        }
        guard let attempt = upstream.pointee.attempt else {
            readyUnused(upstream)
            return
        }
        let exchange = attempt.exchange
        switch upstream.pointee.state {
        case .closed, .session, .idle:
            break
        case .handshake:
            guard let service = exchange.service else { break }
            handshakeUpstream(upstream, attempt, service)
        case .connecting:
            guard let service = exchange.service,
                !readiness.isDisjoint(with: [.writable, .error, .hangUp])
            else { break }
            connectEnded(upstream, attempt, service)
            // What came with the connect brings no event of its own.
            readIfBusy(upstream, attempt)
        case .busy:
            if readiness.contains(.writable) && attempt.pointee.requestIsBlocked {
                upstreamWritable(attempt, upstream)
            }
            readIfBusy(upstream, attempt)
        }
        conclude(exchange)
    }

    /// Goes on with what has come, or with what the stages of a response had no more time for in the last turn.
    @inline(__always)
    private func readIfBusy(_ upstream: UpstreamPointer, _ attempt: AttemptPointer) {
        if upstream.pointee.state == .busy
            && (upstream.pointee.canRead || stagesAreBusy(attempt.exchange))
            && upstream.pointee.attempt == attempt && !attempt.exchange.isDecided
        {
            upstreamReadable(attempt, upstream)
        }
    }

    /// A connection that serves nobody: closed by the endpoint, or bytes nobody asked for.
    private func readyUnused(_ upstream: UpstreamPointer) {
        guard upstream.pointee.state == .idle else {
            close(upstream)
            return
        }
        guard upstream.pointee.canRead else { return }
        if !upstream.pointee.peerEnded && !upstream.pointee.transport.isPlainSocket
            && upstream.pointee.transport.isQuiet()
        {
            upstream.pointee.canRead = false
        } else {
            close(upstream)
        }
    }

    func upstreamDeadlinePassed(_ upstream: UpstreamPointer) {
        let deadline = upstream.pointee.deadline
        upstream.pointee.deadline = .none
        guard let attempt = upstream.pointee.attempt else {
            if let session = upstream.pointee.session, deadline == .connect || deadline == .handshake {
                carrierFailed(
                    upstream, session, Failure(.connectTimeout, phase: .forward, errno: ETIMEDOUT))
            } else {
                endCarrier(upstream)
            }
            return
        }
        let exchange = attempt.exchange
        switch deadline {
        case .none, .idle:
            break
        case .connect, .handshake:
            attempt.fail(Failure(.connectTimeout, phase: .forward, errno: ETIMEDOUT))
        case .head:
            attempt.fail(Failure(.upstreamHeadTimeout, phase: .forward))
        case .body:
            exchange.fail(Failure(.upstreamBodyTimeout, phase: .respond))
        case .upgraded:
            upgradedIsIdle(exchange)
        case .write:
            let timeoutMs = exchange.pointee.idleTimeoutMs
            if upstream.pointee.taking.isTaking(
                upstream.pointee.transport.taken, nowMs: nowMs, timeoutMs: timeoutMs)
            {
                setDeadline(upstream, .write, afterMs: TakingClock.pauseMs(timeoutMs: timeoutMs))
            } else {
                attempt.fail(Failure(.upstreamWriteTimeout, phase: .forward))
            }
        }
        conclude(exchange)
    }
}
