// A stream for an attempt: many exchanges on few connections.
//
// A service that speaks a version with streams keeps sessions in its endpoint's pool instead of idle connections. An
// attempt gets a stream of the first session with room, as an UpstreamConnection of its own; without
// one a connection is opened, and streams opened meanwhile wait for it.

import Glibc
import Reactor
import WeirResilience
import Telemetry

extension Worker {
    /// A stream on a session to this endpoint, which may still be connecting.
    func takeStream(
        _ endpoint: Endpoint, _ service: ServicePlan, _ version: StreamProtocol
    ) -> ConnectionTaken {
        let i = poolIndex(endpoint)
        var candidate = pools[i].firstSession
        while let record = candidate {
            candidate = record.pointee.nextInPool
            if record.pointee.isShuttingDown || record.session({ $0.acceptsNoStreams })
                || record.pointee.streamsOpening >= streamsLeft(record)
            {
                continue
            }
            guard let upstream = openUpstreamStream(record, endpoint, service) else { continue }
            endpoint.metrics.cell(worker: index).streamReused()
            return upstream.pointee.state == .busy ? .reused(upstream) : .fresh(upstream)
        }
        if service.connectionsMax > 0, pools[i].connectionCount >= service.connectionsMax {
            return .failed(Failure(.connectionLimit, phase: .forward))
        }
        let carrier: UpstreamPointer
        switch connect(endpoint, service) {
        case .failure(let error): return .failed(connectFailure(error.code))
        case .success(let connecting): carrier = connecting
        }
        let offset = MemoryLayout<UpstreamConnection>.offset(of: \.transport) ?? 0
        let transport = UnsafeMutableRawPointer(carrier).advanced(by: offset).assumingMemoryBound(
            to: Transport.self)
        guard
            let record = openSession(
                .client, version, transport: transport, client: nil, upstream: carrier)
        else {
            close(carrier)
            return .failed(.limit(.memory, phase: .forward, errno: ENOMEM))
        }
        // Also one that is connected already is told so by its first event.
        carrier.pointee.state = .connecting
        carrier.pointee.session = record
        record.pointee.nextInPool = pools[i].firstSession
        pools[i].firstSession?.pointee.previousInPool = record
        pools[i].firstSession = record
        guard let upstream = openUpstreamStream(record, endpoint, service) else {
            unlinkFromPool(record, i)
            carrier.pointee.session = nil
            dropSession(record)
            close(carrier)
            return .failed(.limit(.memory, phase: .forward, errno: ENOMEM))
        }
        return .fresh(upstream)
    }

    /// Streams a session may still be given. Until the endpoint has said how many it takes, the number
    /// RFC 9113 §6.5.2 recommends as the least.
    private func streamsLeft(_ record: SessionPointer) -> Int {
        record.pointee.settingsAreKnown ? record.session { $0.streamsFree } : 100
    }

    private func openUpstreamStream(
        _ record: SessionPointer, _ endpoint: Endpoint, _ service: ServicePlan
    ) -> UpstreamPointer? {
        guard let carrier = record.pointee.upstream, let (stream, streamHandle) = streams.allocate() else {
            return nil
        }
        guard let (upstream, handle) = upstreams.allocate() else {
            streams.release(streamHandle)
            return nil
        }
        stream.initialize(to: StreamEnd(handle: streamHandle, session: record, id: 0, upstream: upstream))
        link(stream, record)
        let isOpen = carrier.pointee.state == .session && record.pointee.settingsAreKnown
        upstream.initialize(
            to: UpstreamConnection(
                transport: Transport(stream), handle: handle,
                timer: timers.create(Token(kind: TokenKind.upstream, handle: handle)),
                endpoint: .passRetained(endpoint), serviceID: service.id,
                state: isOpen ? .busy : .connecting, idleTimeoutMs: 0, startNs: nowNs))
        upstream.pointee.isReused = isOpen
        if !isOpen { setDeadline(upstream, .connect, afterMs: service.connectTimeoutMs) }
        clearDeadlineOfIdle(carrier)
        stream.isOpening(true)
        return upstream
    }

    private func clearDeadlineOfIdle(_ carrier: UpstreamPointer) {
        if carrier.pointee.deadline == .idle { clearDeadline(carrier) }
    }
}
