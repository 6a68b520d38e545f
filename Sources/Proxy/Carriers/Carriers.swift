// Connections that carry sessions: one, its streams, and the steps in which it ends.
//
// What comes of their events is for HTTP/ to say; this is the mechanism both sides share.
//
// A client's session has one timer for all that is due some time after its beginning: the acknowledgement
// of its SETTINGS (RFC 9113 §6.5.3), its age, the second GOAWAY.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    func openSession(
        _ role: StreamRole, _ version: StreamProtocol, transport: UnsafeMutablePointer<Transport>,
        client: ClientPointer?, upstream: UpstreamPointer?
    ) -> SessionPointer? {
        let kind = ObjectIdentifier(type(of: version))
        guard let shared = streamShared[kind] ?? version.makeShared() else { return nil }
        streamShared[kind] = shared
        guard let (record, handle) = sessions.allocate() else { return nil }
        guard let session = version.makeSession(role, shared: shared, nowMs: nowMs) else {
            sessions.release(handle)
            return nil
        }
        record.initialize(
            to: SessionRecord(
                handle: handle, object: .passRetained(session), shared: sessionShared, transport: transport,
                client: client, upstream: upstream))
        return record
    }

    func link(_ stream: StreamPointer, _ record: SessionPointer) {
        stream.pointee.next = record.pointee.firstStream
        record.pointee.firstStream?.pointee.previous = stream
        record.pointee.firstStream = stream
        record.pointee.streamCount += 1
    }

    /// Puts what came on a stream where its connection will receive it.
    func take(_ stream: StreamPointer, _ event: StreamEventPointer) {
        switch event.pointee.kind {
        case .data:
            stream.pointee.inbox.keep(event.pointee.bytes, event.pointee.count, pool: &buffers)
        case .trailers:
            var byteCount = 0
            for i in 0..<Int(event.pointee.fieldCount) {
                byteCount +=
                    Int(event.pointee.fields[i].nameCount) + Int(event.pointee.fields[i].valueCount) + 4
            }
            let kept = buffers.take(max(byteCount, 1))
            var writer = ByteWriter(kept.base, capacity: byteCount)
            for i in 0..<Int(event.pointee.fieldCount) where !event.pointee.fields[i].isHopByHop {
                writer.appendField(event.pointee.fields[i], event.pointee.bytes)
            }
            kept.pointee.end = UInt32(writer.count)
            stream.pointee.trailers = kept
        default:
            break
        }
        if event.pointee.endsStream || event.pointee.kind == .end || event.pointee.kind == .trailers {
            stream.pointee.ended = true
        }
    }

    /// Ends a session whose streams are gone.
    func dropSession(_ record: SessionPointer) {
        if record.pointee.isDirty { unmark(record) }
        if record.pointee.timer >= 0 { timers.remove(record.pointee.timer) }
        record.session { $0.destroy() }
        record.pointee.object.release()
        bury(TokenKind.session, record.pointee.handle)
    }

    private func unmark(_ record: SessionPointer) {
        if sessionShared.pointee.firstDirty == record {
            sessionShared.pointee.firstDirty = record.pointee.nextDirty
            return
        }
        var at = sessionShared.pointee.firstDirty
        while let current = at {
            if current.pointee.nextDirty == record {
                current.pointee.nextDirty = record.pointee.nextDirty
                return
            }
            at = current.pointee.nextDirty
        }
    }

    // MARK: the steps of its end

    /// Asks the client to open no more streams, and closes when those open are done. First step of two
    /// (RFC 9113 §6.8): what the client has sent before it knows is still served.
    func shutDown(_ record: SessionPointer) {
        if !record.pointee.isShuttingDown {
            record.pointee.isShuttingDown = true
            record.pointee.isQuiet =
                record.pointee.streamCount == 0 && record.session { $0.streamsOpen } == 0
            record.pointee.retireAtMs = 0
            record.session { $0.announceShutdown() }
            record.pointee.finalGoawayAtMs = nowMs &+ Self.roundTripMsMax
            armClocks(record)
        }
        record.mark()
    }

    /// A client that does not answer our PING is not waited for longer than this.
    private static let roundTripMsMax: UInt64 = 2_000

    /// The PING behind our notice is back: the client has read both.
    func roundTripIsOver(_ record: SessionPointer) {
        guard record.pointee.isShuttingDown else { return }
        record.pointee.hasReadAll = record.pointee.isQuiet
        sendFinalGoaway(record)
    }

    /// Second step: streams from here on are not served.
    func sendFinalGoaway(_ record: SessionPointer) {
        guard !record.pointee.finalGoawayIsSent else { return }
        record.pointee.finalGoawayIsSent = true
        record.pointee.finalGoawayAtMs = 0
        record.session { $0.shutdown() }
        record.mark()
    }

    // MARK: what is due when

    /// Starts the clocks of a client's connection: when its settings have to be acknowledged, and when it
    /// has lived long enough.
    func beginClocks(_ record: SessionPointer, _ plan: ListenerPlan) {
        record.pointee.settingsDueMs = nowMs &+ plan.headTimeoutMs
        if plan.sessionAgeMaxMs > 0 {
            // Ten per cent to and fro: clients that came together do not come back together.
            let tenth = plan.sessionAgeMaxMs / 10
            record.pointee.retireAtMs =
                nowMs &+ plan.sessionAgeMaxMs &- tenth &+ random.next() % (2 &* tenth &+ 1)
        }
        record.pointee.timer = timers.create(Token(kind: TokenKind.session, handle: record.pointee.handle))
        armClocks(record)
    }

    func armClocks(_ record: SessionPointer) {
        guard record.pointee.timer >= 0 else { return }
        var next = UInt64.max
        for due in [record.pointee.settingsDueMs, record.pointee.retireAtMs, record.pointee.finalGoawayAtMs]
        where due > 0 {
            next = min(next, due)
        }
        if next == .max {
            timers.disarm(record.pointee.timer)
        } else {
            timers.arm(record.pointee.timer, atMs: next)
        }
    }

    // MARK: an endpoint's pool

    func unlinkFromPool(_ record: SessionPointer, _ i: Int) {
        if let next = record.pointee.nextInPool {
            next.pointee.previousInPool = record.pointee.previousInPool
        }
        if let previous = record.pointee.previousInPool {
            previous.pointee.nextInPool = record.pointee.nextInPool
        } else if pools[i].firstSession == record {
            pools[i].firstSession = record.pointee.nextInPool
        }
        record.pointee.nextInPool = nil
        record.pointee.previousInPool = nil
    }
}
