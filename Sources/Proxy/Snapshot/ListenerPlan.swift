// A listener as the workers see it, and its sockets.

import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirRouting
import Synchronization
import TLS
import Telemetry

/// A listener as the workers see it. `id` is stable across reloads as long as the name exists.
public final class ListenerPlan: Sendable {
    public let id: Int
    public let name: StaticBytes
    public let traffic: ListenerTraffic
    /// One entry per address the listener is bound to.
    public let sockets: [ListeningSockets]
    public let router: Router
    let lentRouter: Lent<Router>
    /// Router rule number → index into Snapshot.routes.
    public let routeIndexes: [Int32]
    /// Who the client is, where conditions of routes ask and somebody is trusted.
    let clientAddress: ClientAddressPolicy?
    public let requiresProxyHeader: Bool
    /// nil: connections are not encrypted.
    public let tls: TLSServerContext?
    /// What a client may speak instead of HTTP/1.1: by ALPN, or with its first bytes.
    public let streams: StreamProtocol
    /// A connection that carries streams is asked to end at about this age; 0: at none.
    public let sessionAgeMaxMs: UInt64
    public let parser: RequestParser
    public let headBytesMax: Int
    public let headTimeoutMs: UInt64
    public let idleTimeoutMs: UInt64
    /// Longest time without a byte from a client that owes us a body.
    public let bodyTimeoutMs: UInt64
    /// Longest time without a byte accepted by a client we owe a response.
    public let writeTimeoutMs: UInt64
    /// A client that owes us a body and sends it slower than this is cut. Bytes per second; 0 = off.
    public let bytesPerSecondMin: UInt64
    /// Longest request body where the route says nothing.
    public let bodyBytesMax: UInt64
    /// A client of a TCP listener with server names that is silent for so long wants to be spoken to first.
    public let helloTimeoutMs: UInt64
    /// Open client connections per worker.
    public let connectionsMax: Int
    public let requestsPerConnectionMax: UInt32
    /// What is sent in place of errors where there is no route yet, or it does not say; nil: nothing is.
    public let errors: ErrorPlan?
    public let metrics: ListenerMetrics
    /// Requests that found no route, and L4 connections.
    public let unrouted: RouteMetrics

    public init(
        id: Int, name: String, traffic: ListenerTraffic, sockets: [ListeningSockets], router: Router,
        routeIndexes: [Int32], clientAddress: ClientAddressPolicy? = nil, requiresProxyHeader: Bool,
        tls: TLSServerContext? = nil,
        streams: StreamProtocol, sessionAgeMaxMs: UInt64 = 0, headLimits: HeadLimits, headTimeoutMs: UInt64,
        idleTimeoutMs: UInt64,
        bodyTimeoutMs: UInt64,
        writeTimeoutMs: UInt64, bytesPerSecondMin: UInt64, bodyBytesMax: UInt64 = .max,
        helloTimeoutMs: UInt64 = 1_000,
        connectionsMax: Int, requestsPerConnectionMax: UInt32, errors: ErrorPlan? = nil,
        metrics: ListenerMetrics, unrouted: RouteMetrics
    ) {
        self.id = id
        self.name = StaticBytes(name)
        self.traffic = traffic
        self.sockets = sockets
        self.router = router
        lentRouter = Lent(router)
        self.routeIndexes = routeIndexes
        self.clientAddress = clientAddress
        self.requiresProxyHeader = requiresProxyHeader
        self.tls = tls
        self.streams = streams
        self.sessionAgeMaxMs = sessionAgeMaxMs
        self.parser = RequestParser(limits: headLimits)
        self.headBytesMax = headLimits.bytesMax
        self.headTimeoutMs = headTimeoutMs
        self.idleTimeoutMs = idleTimeoutMs
        self.bodyTimeoutMs = bodyTimeoutMs
        self.writeTimeoutMs = writeTimeoutMs
        self.bytesPerSecondMin = bytesPerSecondMin
        self.bodyBytesMax = bodyBytesMax
        self.helloTimeoutMs = helloTimeoutMs
        self.connectionsMax = connectionsMax
        self.requestsPerConnectionMax = requestsPerConnectionMax
        self.errors = errors
        self.metrics = metrics
        self.unrouted = unrouted
    }
}

/// The sockets of one listener address: one per worker (SO_REUSEPORT), or one shared by all (Unix).
/// Opened by the control plane before a snapshot is published; closed when the last snapshot that
/// names them and the workers have let go.
public final class ListeningSockets: Sendable {
    public let address: SocketAddress
    /// Counts up over the life of the process; tells a worker whether it already listens on these.
    public let id: Int
    /// UDP: nothing to accept.
    public let isDatagram: Bool
    /// A Unix socket's name in the file system.
    public let file: UnixSocketFile?
    private let descriptors: [Int32]
    private let isEnding = Atomic<Bool>(false)

    public init(
        id: Int, address: SocketAddress, descriptors: [Int32], isDatagram: Bool = false,
        file: UnixSocketFile? = nil
    ) {
        self.id = id
        self.address = address
        self.descriptors = descriptors
        self.isDatagram = isDatagram
        self.file = file
    }

    /// The socket for a worker.
    public func socket(worker: Int) -> Socket { Socket(fd: descriptors[worker % descriptors.count]) }
    /// Whether the workers share one descriptor.
    public var isShared: Bool { descriptors.count == 1 }

    /// The beginning of the end, so that nobody is lost who came before it. No connection begins from
    /// here on; those that have begun are still to be accepted (`Worker.acceptTheRest`).
    ///
    /// TCP: between the last accept and the end of a socket another connection may come to its backlog,
    /// and would be reset; so the first packets of new handshakes are dropped, and clients repeat them
    /// after a second. Unix: the backlog of a socket that was shut down can still be accepted, and the
    /// name of its file is free for a successor (one in the abstract namespace is not, until the socket is closed).
    public func beginEnd() {
        guard !isEnding.exchange(true, ordering: .relaxed), !isDatagram else { return }
        for fd in descriptors {
            if case .unix = address {
                Socket(fd: fd).shutdownListening()
            } else {
                Socket(fd: fd).dropNewHandshakes()
            }
        }
        file?.remove()
    }

    /// The end of a worker's own socket. A Unix one, which all share, ended with `beginEnd`.
    public func end(worker: Int) {
        if case .unix = address { return }
        socket(worker: worker).end()
    }

    deinit {
        if !isEnding.load(ordering: .relaxed) { file?.remove() }
        for fd in descriptors { Socket(fd: fd).close() }
    }
}
