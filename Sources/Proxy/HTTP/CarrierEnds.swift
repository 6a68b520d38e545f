// How connections that carry streams end: asked to in two steps (RFC 9113 §6.8), for a reason, or
// because the socket is gone.
//
// What is due some time after a session's beginning has the session's timer (Carriers/Carriers.swift). The
// carrier's own is for silence and for windows that stay shut (`armSession`). Sessions with endpoints have neither age nor timer; when they
// are given up, they end with their last stream.

import Glibc
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    // MARK: steps

    /// The carrier's deadline has passed.
    func sessionDeadlinePassed(_ client: ClientPointer, _ record: SessionPointer) {
        if client.pointee.deadline == .write {
            endStalled(client, record)
        } else {
            client.pointee.deadline = .none
            shutDown(record)
        }
    }

    /// Bytes wait for this client. The connection ends when it takes nothing at all, or nothing on any stream;
    /// otherwise the streams end that stand still, and the others have their time from when they last moved.
    private func endStalled(_ client: ClientPointer, _ record: SessionPointer) {
        // What has come, and what can leave for it, is not stalled.
        serve(client)
        if client.pointee.state == .session { flush(record) }
        guard client.pointee.state == .session, client.pointee.deadline == .write,
            let timeoutMs = lentPlan(client)?({ $0.writeTimeoutMs })
        else {
            return
        }
        let pauseMs = TakingClock.pauseMs(timeoutMs: timeoutMs)
        let untaken = client.pointee.transport.untaken
        if untaken == 0 {
            // Whatever is sent before the next look has its time from then on.
            client.pointee.taking.begin(at: nowMs &+ pauseMs)
        } else if !client.pointee.taking.isTaking(
            client.pointee.transport.taken, nowMs: nowMs, timeoutMs: timeoutMs)
        {
            endUnread(client, record)
            return
        }
        let sinceMs = nowMs &- timeoutMs
        let isBlocked = client.pointee.transport.isBlocked
        // What is still unread, as the connection is blocked, may give any stream a window.
        record.session { $0.areUnderWay(client.pointee.canRead ? .max : untaken, nowMs: nowMs) }
        let isOver = !isBlocked && record.session { $0.isStalled(since: sinceMs) }
        while let id = record.session({ $0.firstStalled(since: sinceMs, isDrained: !isBlocked) }) {
            if let stream = StreamPointer(bitPattern: record.session { $0.userData(id) }),
                let client = stream.pointee.client
            {
                giveUp(client)
            } else {
                record.session { $0.reset(id, .tooSlow) }
            }
        }
        record.mark()
        if isOver {
            record.session { $0.terminate() }
            return
        }
        let dueMs = (record.session { $0.waitingSinceMs() } ?? nowMs) &+ timeoutMs
        setDeadline(client, .write, afterMs: dueMs > nowMs ? min(pauseMs, dueMs &- nowMs) : pauseMs)
    }

    /// The client reads nothing: neither would it read why the connection ends.
    private func endUnread(_ client: ClientPointer, _ record: SessionPointer) {
        var next = record.pointee.firstStream
        while let stream = next {
            next = stream.pointee.next
            if let client = stream.pointee.client { giveUp(client) }
        }
        endClient(client, reset: true)
    }

    func sessionClockRang(_ record: SessionPointer) {
        func isDue(_ ms: UInt64) -> Bool { ms > 0 && nowMs >= ms }
        if isDue(record.pointee.settingsDueMs) {
            record.pointee.settingsDueMs = 0
            if record.session({ $0.settingsAreAcknowledged }) {
                // Nothing is due any more.
            } else if let client = record.pointee.client, let plan = listenerPlan(client),
                client.pointee.transport.isBlocked || client.pointee.canRead
            {
                // It may be here and unread, as nothing is read while the client takes nothing: that has a
                // deadline of its own.
                record.pointee.settingsDueMs = nowMs &+ plan.headTimeoutMs
            } else {
                record.session { $0.settingsTimedOut() }
                record.mark()
                takeEvents(record)
                return
            }
        }
        if isDue(record.pointee.finalGoawayAtMs) { sendFinalGoaway(record) }
        if isDue(record.pointee.retireAtMs) { shutDown(record) }
        armClocks(record)
    }

    // MARK: gone

    func carrierBroke(_ record: SessionPointer) {
        if let client = record.pointee.client {
            breakOff(client, cut: false)
        } else if let upstream = record.pointee.upstream {
            endCarrier(upstream)
        }
    }

    func closeCarrier(_ record: SessionPointer) {
        if let client = record.pointee.client {
            // What it sends for its streams, or for ours, may be under way; for a session that was quiet, nothing is
            // that it could lose.
            client.pointee.mustLinger =
                !record.pointee.hasReadAll || record.session { $0.violation != nil }
            endGracefully(client)
        } else if let upstream = record.pointee.upstream {
            endCarrier(upstream)
        }
    }

    /// Ends all streams of a session whose connection is going, and the session.
    func endSession(_ record: SessionPointer) {
        while let stream = record.pointee.firstStream {
            stream.pointee.isGone = true
            if let client = stream.pointee.client {
                stream.pointee.error = ECONNRESET
                streamBroke(stream, client)
                if client.pointee.state != .closed { close(client) }
            } else if let upstream = stream.pointee.upstream {
                stream.pointee.isLastCall = true
                let exchange = upstream.pointee.attempt?.exchange
                upstreamStreamBroke(upstream)
                if let exchange { conclude(exchange) }
                if let attempt = upstream.pointee.attempt {
                    // The stream's memory is another's from the next turn on: nobody goes on holding it.
                    attempt.exchange.fail(Failure(.upstreamClosedMidBody, phase: .respond, errno: ECONNRESET))
                    conclude(attempt.exchange)
                }
                if upstream.pointee.state != .closed { close(upstream) }
            }
            // Closing unlinks; should it not have, the loop must still end.
            if record.pointee.firstStream == stream { record.pointee.firstStream = stream.pointee.next }
        }
        dropSession(record)
    }

    /// Closes a connection to an endpoint, with the session it carries.
    func endCarrier(_ carrier: UpstreamPointer) {
        guard carrier.pointee.state != .closed else { return }
        if let session = carrier.pointee.session {
            carrier.pointee.endpoint._withUnsafeGuaranteedRef { unlinkFromPool(session, $0.id) }
            carrier.pointee.session = nil
            endSession(session)
        }
        close(carrier)
    }
}
