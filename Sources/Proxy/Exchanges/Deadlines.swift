// Which deadlines run while an exchange is under way.
//
// A client connection and an upstream connection have one timer each. Request and response may move at
// the same time, so no step sets a timer for itself: every step ends in `armDeadlines`, which derives
// both from the state. A deadline that already runs is left alone (events of the other side must not
// renew it); `touch` starts it afresh when the peer it is about has moved bytes.

import WeirHTTPModel
import Reactor
import WeirResilience

extension Worker {
    /// Sets the deadlines that fit the exchange's state.
    func armDeadlines(_ exchange: ExchangePointer) {
        guard !exchange.pointee.isOver else { return }
        let client = exchange.pointee.client
        if exchange.pointee.upgrade == .open {
            armUpgraded(exchange, client)
            return
        }
        let clientIsBlocked =
            client.pointee.transport.isBlocked || exchange.pointee.responsePipe.count > 0
            || exchange.pointee.fileIsBlocked
        let attempt = exchange.attempt
        let body = exchange.pointee.requestBody
        // After `Expect: 100-continue` was passed on, it is the endpoint that has to speak first.
        let asksFirst =
            exchange.pointee.request.expectsContinue && body.count == 0 && attempt.pointee.interimCount == 0
            && attempt.pointee.requestStarted
        // Once it is answered the two talk, and a client says what it has to say when it has it.
        let owesBody =
            !body.isDone && !attempt.pointee.requestIsBlocked && !attempt.pointee.discardsRequestBody
            && !exchange.pointee.isLocal && !exchange.pointee.responseStarted && !exchange.pointee.streams
            && (exchange.pointee.waitsFor == .body || attempt.pointee.requestStarted)
            && !asksFirst
        run(client, clientIsBlocked ? blockedDeadline(client) : owesBody ? .body : .none, exchange)

        guard let upstream = attempt.pointee.upstream, upstream.pointee.state == .busy else { return }
        let wanted: UpstreamConnection.Deadline
        if attempt.pointee.requestIsBlocked {
            wanted = .write
        } else if exchange.pointee.responseStarted {
            wanted = clientIsBlocked ? .none : .body
        } else if attempt.pointee.requestSentWhole || attempt.pointee.discardsRequestBody || asksFirst {
            wanted = .head
        } else {
            wanted = exchange.pointee.streams ? .body : .none
        }
        run(upstream, wanted, exchange)
    }

    /// Sets the deadlines that fit an attempt's state, and with it the exchange's.
    @inline(__always)
    func armDeadlines(_ attempt: AttemptPointer) {
        if attempt.isAnswering { armDeadlines(attempt.exchange) } else { armBeside(attempt) }
    }

    /// Of an attempt beside another: all of its request is there, and nothing of its answer.
    @inline(never)
    private func armBeside(_ attempt: AttemptPointer) {
        guard let upstream = attempt.pointee.upstream, upstream.pointee.state == .busy else { return }
        run(upstream, attempt.pointee.requestIsBlocked ? .write : .head, attempt.exchange)
    }

    /// After an upgrade silence is the only thing that ends an exchange, or a side that takes nothing.
    private func armUpgraded(_ exchange: ExchangePointer, _ client: ClientPointer) {
        run(client, client.pointee.transport.isBlocked ? blockedDeadline(client) : .none, exchange)
        guard let upstream = exchange.attempt.pointee.upstream, upstream.pointee.state == .busy else {
            return
        }
        run(upstream, exchange.attempt.pointee.requestIsBlocked ? .write : .upgraded, exchange)
    }

    /// For a client that takes nothing. Whether that is the fault of a stream, its session knows (`endStalled`).
    private func blockedDeadline(_ client: ClientPointer) -> ClientDeadline {
        client.pointee.transport.isStream ? .none : .write
    }

    /// The client's turn is over: what follows does not depend on it.
    func askNothing(of client: ClientPointer, _ exchange: ExchangePointer) { run(client, .none, exchange) }

    /// A client's rate is judged while it owes a body, which is while that deadline runs.
    @inline(__always)
    private func run(_ client: ClientPointer, _ deadline: ClientDeadline, _ exchange: ExchangePointer) {
        if client.pointee.deadline == deadline { return }
        if client.pointee.deadline == .body { exchange.pointee.meter.pause(at: nowMs) }
        switch deadline {
        case .write: setWriteDeadline(client, timeoutMs: exchange.pointee.listener.writeTimeoutMs)
        case .body:
            setDeadline(client, .body, afterMs: exchange.pointee.listener.bodyTimeoutMs)
            exchange.pointee.meter.resume(at: nowMs)
        default: clearDeadline(client)
        }
    }

    @inline(__always)
    private func run(
        _ upstream: UpstreamPointer, _ deadline: UpstreamConnection.Deadline, _ exchange: ExchangePointer
    ) {
        if upstream.pointee.deadline == deadline { return }
        switch deadline {
        case .head: setDeadline(upstream, .head, afterMs: exchange.pointee.headTimeoutMs)
        case .body: setDeadline(upstream, .body, afterMs: exchange.pointee.idleTimeoutMs)
        case .write: setWriteDeadline(upstream, timeoutMs: exchange.pointee.idleTimeoutMs)
        case .upgraded: setDeadline(upstream, deadline, afterMs: exchange.route?.upgradedIdleMs ?? 0)
        default: clearDeadline(upstream)
        }
    }

    /// The client has moved bytes.
    func touch(_ client: ClientPointer, _ exchange: ExchangePointer) {
        if exchange.pointee.upgrade == .open, let upstream = exchange.attempt.pointee.upstream {
            touch(upstream, exchange)
        }
        switch client.pointee.deadline {
        case .body: setDeadline(client, .body, afterMs: exchange.pointee.listener.bodyTimeoutMs)
        case .write: setWriteDeadline(client, timeoutMs: exchange.pointee.listener.writeTimeoutMs)
        case .none, .handshake, .idle, .head, .linger: break
        }
    }

    /// The endpoint has moved bytes.
    func touch(_ upstream: UpstreamPointer, _ exchange: ExchangePointer) {
        switch upstream.pointee.deadline {
        case .body: setDeadline(upstream, .body, afterMs: exchange.pointee.idleTimeoutMs)
        case .write: setWriteDeadline(upstream, timeoutMs: exchange.pointee.idleTimeoutMs)
        case .upgraded:
            setDeadline(upstream, .upgraded, afterMs: exchange.route?.upgradedIdleMs ?? 0)
        case .none, .connect, .handshake, .head, .idle: break
        }
    }
}
