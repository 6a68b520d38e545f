// Attempts: where one begins and ends, and the connection it gets.
//
// The only place that counts an attempt to its endpoint and off again (law 8: only what happened on
// the wire to it counts against an endpoint).

import WeirBalancing
import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

extension Worker {
    // MARK: the endpoint's side, whatever the protocol

    /// An attempt at this endpoint begins.
    @inline(__always)
    func attemptBegan(_ endpoint: Endpoint) {
        endpoint.load.add(1, ordering: .relaxed)
        endpoint.metrics.cell(worker: index).attemptStarted()
    }

    /// An attempt that began at this endpoint is over; once for each.
    @inline(__always)
    func attemptEnded(_ endpoint: Endpoint, _ reason: Reason, bytesSent: UInt64, bytesReceived: UInt64) {
        endpoint.load.subtract(1, ordering: .relaxed)
        // Law 8: only what happened on the wire to the endpoint counts against it.
        endpoint.metrics.cell(worker: index).attemptEnded(
            reason: reason.side == .upstream ? reason : .none, bytesSent: bytesSent,
            bytesReceived: bytesReceived)
    }

    // MARK: of an exchange

    @inline(__always)
    func beginAttempt(_ attempt: AttemptPointer, _ endpoint: Endpoint) {
        let exchange = attempt.exchange
        exchange.pointee.attempts &+= exchange.pointee.needsFreshConnection ? 0 : 1
        attempt.pointee.isOpen = true
        attempt.pointee.requestStarted = false
        attempt.pointee.requestSentWhole = false
        attemptBegan(endpoint)
    }

    /// Accounts the end of an attempt to its endpoint; once per attempt.
    func endAttempt(_ attempt: AttemptPointer, _ reason: Reason) {
        guard attempt.pointee.isOpen, let endpoint = attempt.pointee.lentEndpoint else { return }
        attempt.pointee.isOpen = false
        let exchange = attempt.exchange
        endpoint {
            attemptEnded(
                $0, reason, bytesSent: exchange.requestBytes,
                bytesReceived: exchange.pointee.responseBody.count)
        }
    }

    func attach(_ attempt: AttemptPointer, _ upstream: UpstreamPointer) {
        attempt.pointee.upstream = upstream
        upstream.pointee.attempt = attempt
    }

    func connectFailure(_ errno: Int32) -> Failure {
        switch errno {
        case ECONNREFUSED: Failure(.connectRefused, phase: .forward, errno: errno)
        case ETIMEDOUT: Failure(.connectTimeout, phase: .forward, errno: errno)
        // Our own shortage says nothing about the endpoint (law 8).
        case EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL:
            Failure(.internalLimit, phase: .forward, errno: errno)
        default: Failure(.connectFailed, phase: .forward, errno: errno)
        }
    }

    /// Closes the attempt's connection, whatever state it is in.
    func dropUpstream(_ attempt: AttemptPointer) {
        guard let upstream = attempt.pointee.upstream else { return }
        attempt.pointee.upstream = nil
        upstream.pointee.attempt = nil
        close(upstream)
    }

    /// The attempt needs its connection no more; another one may, where `reusable`.
    @inline(__always)
    func letGo(_ attempt: AttemptPointer, _ upstream: UpstreamPointer, reusable: Bool) {
        attempt.pointee.upstream = nil
        // A connection that would have to be read once more to know is asked now.
        if upstream.pointee.canRead && !upstream.pointee.peerEnded && upstream.pointee.transport.isQuiet() {
            upstream.pointee.canRead = false
        }
        clearDeadline(upstream)
        giveToPool(upstream, reusable: reusable && attempt.pointee.requestSentWhole)
    }
}
