// Where attempts begin and end, of HTTP, TCP and UDP alike.
//
// The only place that counts an attempt to its endpoint and off again, and the only one that asks the retry budget
// of a service. Whoever else wants to know what came of attempts reads `AttemptOutcome` in `attemptEnded`.

import WeirBalancing
import Glibc
import Reactor
import WeirResilience
import Synchronization
import Telemetry

extension Worker {
    // MARK: whatever the protocol

    /// An attempt at this endpoint begins.
    @inline(__always)
    func attemptBegan(_ account: inout AttemptAccount, _ endpoint: Endpoint) {
        account.isOpen = true
        account.status = 0
        account.connectUs = 0
        account.beganNs = nowNs
        account.headNs = 0
        endpoint.load.add(1, ordering: .relaxed)
        endpoint.metrics.cell(worker: index).attemptStarted()
    }

    /// An attempt that began at this endpoint is over; counts once, however often it is told.
    @inline(__always)
    func attemptEnded(
        _ account: inout AttemptAccount, _ endpoint: Endpoint, _ reason: Reason, bytesSent: UInt64,
        bytesReceived: UInt64
    ) {
        guard account.isOpen else { return }
        account.isOpen = false
        let outcome = AttemptOutcome(
            reason: reason, account: account, bytesSent: bytesSent, bytesReceived: bytesReceived)
        endpoint.load.subtract(1, ordering: .relaxed)
        endpoint.metrics.cell(worker: index).attemptEnded(
            reason: outcome.fault, bytesSent: outcome.bytesSent, bytesReceived: outcome.bytesReceived)
    }

    // MARK: the budget

    /// What follows the failure of an attempt. A retry is taken from the service's budget.
    func decide(
        _ retry: RetryPolicy, after failure: Failure, _ facts: AttemptFacts, _ service: ServicePlan
    ) -> RetryDecision {
        retry.decide(
            failure: failure, facts, at: nowMs, budget: &serviceStates[service.id].budget, using: &random)
    }

    /// What follows an answer with this status. A retry is taken from the service's budget.
    func decide(
        _ retry: RetryPolicy, after status: UInt16, _ facts: AttemptFacts, _ service: ServicePlan
    ) -> RetryDecision {
        retry.decide(
            status: status, facts, at: nowMs, budget: &serviceStates[service.id].budget, using: &random)
    }

    /// Takes one attempt more than there are requests from the service's budget. False: it is spent.
    func takeFromBudget(_ service: ServicePlan) -> Bool {
        serviceStates[service.id].budget.tryCharge(at: nowMs)
    }

    /// A request to this service, with all its attempts, is over.
    @inline(__always)
    func budgetFollows(serviceID: Int) { serviceStates[serviceID].budget.completed(at: nowMs) }

    // MARK: of an exchange

    @inline(__always)
    func beginAttempt(_ attempt: AttemptPointer, _ endpoint: Endpoint) {
        attempt.exchange.pointee.attempts &+= attempt.pointee.needsFreshConnection ? 0 : 1
        attempt.pointee.requestStarted = false
        attempt.pointee.requestSentWhole = false
        attemptBegan(&attempt.pointee.account, endpoint)
    }

    /// Accounts the end of an attempt to its endpoint; once per attempt.
    func endAttempt(_ attempt: AttemptPointer, _ reason: Reason) {
        guard attempt.pointee.account.isOpen, let endpoint = attempt.pointee.lentEndpoint else { return }
        let exchange = attempt.exchange
        endpoint {
            attemptEnded(
                &attempt.pointee.account, $0, reason, bytesSent: exchange.requestBytes,
                bytesReceived: attempt.isAnswering ? exchange.pointee.responseBody.count : 0)
        }
    }

    /// Ends an attempt and closes its connection: for what it has failed for, or else for this reason.
    func abandon(_ attempt: AttemptPointer, _ reason: Reason) {
        endAttempt(attempt, attempt.pointee.failure?.reason ?? reason)
        attempt.pointee.failure = nil
        dropUpstream(attempt)
    }

    /// Ends whatever is under way: for this reason the one whose answer the client would have got, the others for none.
    /// What has failed by now ends for its own.
    func endAttempts(_ exchange: ExchangePointer, _ reason: Reason) {
        abandon(exchange.attempt, reason)
        if exchange.pointee.others != nil { leaveOnly(exchange.attempt) }
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
            .limit(.system, phase: .forward, errno: errno)
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
