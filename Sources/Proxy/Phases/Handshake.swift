// handshake: TLS is agreed on, and with it which version of HTTP is spoken.
//
// A connection that fails here has sent no request, so nothing is answered; what went wrong has a
// reason of its own in the log and the figures, because "handshake failed" helps nobody. The one
// answer is for a client that speaks plain HTTP to a TLS port: it is told so in plain HTTP.

import Glibc
import WeirHTTPModel
import Reactor
import WeirResilience
import TLS
import Telemetry

extension Worker {
    /// Begins TLS where the listener wants it. False: the connection is closed.
    func beginHandshake(_ client: ClientPointer, _ plan: ListenerPlan) -> Bool {
        guard let context = plan.tls else { return true }
        guard
            let session = TLSSession.server(
                context, socket: client.pointee.transport.socket.fd, thread: tlsThread)
        else {
            close(client)
            return false
        }
        // What came behind a PROXY header is already TLS.
        var isFed = true
        if let input = client.pointee.input {
            isFed = session.feed(input.readable, input.count)
            buffers.give(input)
            client.pointee.input = nil
        }
        client.pointee.transport.begin(session)
        guard isFed else {
            close(client)
            return false
        }
        client.pointee.state = .handshake
        setDeadline(client, .handshake, afterMs: plan.headTimeoutMs)
        return true
    }

    /// Goes on with the handshake. True: the connection has something to do.
    func handshake(_ client: ClientPointer) -> Bool {
        guard let session = client.pointee.transport.tls else { return false }
        switch session.handshake() {
        case .wantRead:
            client.pointee.canRead = false
            return false
        case .wantWrite:
            return false
        case .failed(let failure):
            if failure.reason == .plainHTTPReceived { answerInPlain(client) }
            handshakeFailed(client, Reason(handshake: failure.reason), errno: failure.systemError)
            return false
        case .done:
            guard let plan = listenerPlan(client) else {
                close(client)
                return false
            }
            client.pointee.state = .idle
            client.pointee.canRead = true
            if carries(session.negotiatedProtocol, plan) {
                client.pointee.parting = .carry
            } else {
                setDeadline(client, .head, afterMs: plan.headTimeoutMs)
            }
            return true
        }
    }

    /// Records why nothing came of the connection, and closes it.
    func handshakeFailed(_ client: ClientPointer, _ reason: Reason, errno: Int32 = 0) {
        client.pointee.state = .idle
        guard let plan = listenerPlan(client), let exchange = openExchange(client, plan) else {
            close(client)
            return
        }
        exchange.end(Failure(reason, phase: .handshake, errno: errno))
    }

    // MARK: endpoints

    enum UpstreamHandshake {
        case wait
        case done(NegotiatedProtocol)
        case failed(Failure)
    }

    /// Begins TLS on a connection to an endpoint. False: out of memory.
    func beginHandshake(_ upstream: UpstreamPointer, _ context: TLSClientContext) -> Bool {
        let endpoint = upstream.pointee.endpoint._withUnsafeGuaranteedRef { $0 }
        guard
            let session = TLSSession.client(
                context, socket: upstream.pointee.transport.socket.fd, thread: tlsThread,
                endpoint: endpoint.id, host: endpoint.host)
        else { return false }
        upstream.pointee.transport.begin(session)
        upstream.pointee.state = .handshake
        // The connect deadline goes on: it is for a connection that can be used.
        if upstream.pointee.deadline == .none, let service = currentService(upstream) {
            setDeadline(upstream, .handshake, afterMs: service.connectTimeoutMs)
        }
        return true
    }

    func handshake(_ upstream: UpstreamPointer) -> UpstreamHandshake {
        guard let session = upstream.pointee.transport.tls else { return .wait }
        switch session.handshake() {
        case .wantRead:
            upstream.pointee.canRead = false
            return .wait
        case .wantWrite:
            return .wait
        case .failed(let failure):
            return .failed(
                Failure(
                    Reason(upstreamHandshake: failure.reason), phase: .forward, errno: failure.systemError))
        case .done:
            upstream.pointee.canRead = session.hasPending
            return .done(session.negotiatedProtocol)
        }
    }

    private func answerInPlain(_ client: ClientPointer) {
        let text: StaticString = """
            HTTP/1.1 400 Bad Request\r
            server: weir\r
            proxy-status: weir; error=tls_protocol_error; details="tls-plain-http"\r
            content-type: text/plain; charset=utf-8\r
            content-length: 53\r
            connection: close\r
            \r
            This port speaks TLS: use https:// in place of http:\n
            """
        _ = client.pointee.transport.socket.send(text.utf8Start, text.utf8CodeUnitCount)
    }
}

extension Reason {
    /// The reason for a client's handshake that failed.
    init(handshake reason: TLSFailure.Reason) {
        switch reason {
        case .noSharedCipher: self = .tlsNoSharedCipher
        case .versionUnsupported: self = .tlsVersionUnsupported
        case .noApplicationProtocol: self = .tlsNoApplicationProtocol
        case .clientCertificateMissing: self = .tlsClientCertificateMissing
        case .clientCertificateUntrusted: self = .tlsClientCertificateUntrusted
        case .clientCertificateExpired: self = .tlsClientCertificateExpired
        case .certificateRefused: self = .tlsCertificateRefused
        case .plainHTTPReceived: self = .tlsPlainHTTP
        case .closedDuringHandshake, .socketFailed, .truncated: self = .tlsClosedDuringHandshake
        case .handshakeMalformed, .badRecord, .alertReceived, .tooManyKeyUpdates, .internalError,
            .serverCertificateUntrusted, .serverCertificateNameMismatch, .serverCertificateExpired:
            self = .tlsHandshakeMalformed
        }
    }

    /// The reason for a handshake with an endpoint that failed.
    init(upstreamHandshake reason: TLSFailure.Reason) {
        switch reason {
        case .serverCertificateUntrusted: self = .upstreamCertificateUntrusted
        case .serverCertificateNameMismatch: self = .upstreamCertificateName
        case .serverCertificateExpired: self = .upstreamCertificateExpired
        default: self = .upstreamHandshakeFailed
        }
    }
}
