// A route with its policies, compiled.

import WeirCompression
import WeirHTTPModel
import WeirResilience
import WeirRouting
import Telemetry

/// What a route does with a request it matched.
public enum RouteAction: Sendable {
    case forward(serviceID: Int)
    /// Answered from the folder of a service, or by another where it has no file.
    case files(serviceID: Int, otherwise: NextService?)
    case redirect(to: Template, status: UInt16)
    /// `coded` where the route compresses.
    case respond(status: UInt16, contentType: StaticBytes, body: StaticBytes, coded: CodedBodies?)
    /// The connection, or the stream, ends without an answer.
    case close
}

/// The service that answers where files do not (`try`).
public struct NextService: Sendable {
    let serviceID: Int
    let metrics: RouteMetrics
    let counters: CellTable<RouteCell>

    public init(serviceID: Int, metrics: RouteMetrics) {
        self.serviceID = serviceID
        self.metrics = metrics
        counters = metrics.cells
    }
}

/// A route with its policies, compiled.
public final class RoutePlan: Sendable {
    // What every request reads stands together, in as few cache lines as it takes: a thousand routes
    // do not stay in the caches.

    /// The cells of `metrics`.
    let counters: CellTable<RouteCell>
    /// Longest wait for the response head, once the request was sent.
    public let headTimeoutMs: UInt64
    /// Longest pause within a response body.
    public let idleTimeoutMs: UInt64
    /// What it does besides answering, in order.
    public let policies: PolicyChain
    /// Longest whole exchange; 0: none.
    public let totalTimeoutMs: UInt64
    public let action: RouteAction
    /// How the request target changes on its way upstream; nil: not at all.
    public let rewrite: Rewrite?
    /// What stands for Host in requests; nil: the client's.
    let host: Template?

    public let name: StaticBytes
    /// Longest silence on a connection that was upgraded.
    public let upgradedIdleMs: UInt64
    public let retry: RetryPolicy
    /// Pings of our own on WebSockets; nil: none.
    public let pings: PingPlan?
    /// Which files are compressed on their way; nil: none.
    let compression: CompressionRule?
    /// Bounds of request bodies that are decoded.
    let decompression: DecoderLimits?
    /// Rules say what the type of a response is.
    let rulesContentType: Bool
    /// What is sent in place of errors, before what the listener says; nil: the listener says.
    public let errors: ErrorPlan?
    /// Here, or on a listener, something stands for answers of endpoints: the rest is looked for then only.
    let mayReplaceAnswers: Bool
    public let metrics: RouteMetrics

    /// - Parameter policies: of this route alone, in order.
    public init(
        name: String, action: RouteAction, policies: [Policy], rewrite: Rewrite?, headTimeoutMs: UInt64,
        idleTimeoutMs: UInt64, totalTimeoutMs: UInt64, upgradedIdleMs: UInt64, retry: RetryPolicy,
        host: Template? = nil, compression: CompressionRule? = nil,
        decompression: DecoderLimits? = nil, rulesContentType: Bool = false,
        pings: PingPlan? = nil, errors: ErrorPlan? = nil, mayReplaceAnswers: Bool = false,
        metrics: RouteMetrics
    ) {
        counters = metrics.cells
        self.policies = PolicyChain(policies)
        self.host = host
        self.compression = compression
        self.decompression = decompression
        self.rulesContentType = rulesContentType
        self.name = StaticBytes(name)
        self.action = action
        self.rewrite = rewrite
        self.headTimeoutMs = headTimeoutMs
        self.idleTimeoutMs = idleTimeoutMs
        self.totalTimeoutMs = totalTimeoutMs
        self.upgradedIdleMs = upgradedIdleMs
        self.retry = retry
        self.pings = pings
        self.errors = errors
        self.mayReplaceAnswers = mayReplaceAnswers
        self.metrics = metrics
    }
}

/// When WebSocket clients are sent a Ping.
public struct PingPlan: Sendable, BitwiseCopyable {
    /// Silence before it.
    public var intervalMs: UInt64
    /// Silence after it that ends the connection.
    public var patienceMs: UInt64

    public init(intervalMs: UInt64, patienceMs: UInt64) {
        self.intervalMs = intervalMs
        self.patienceMs = patienceMs
    }
}

/// How the target changes on its way upstream.
public enum Rewrite: Sendable {
    /// The whole target (path and query) from a template.
    case target(Template)
    /// Whole segments at the path's start are replaced; the rest and the query stay.
    case prefix(PathPrefix)
    /// What an expression finds in the path is exchanged; the query stays.
    case part(Substitution)

    /// Whether a folder asked for without its slash is answered with a redirect. Not where a template makes
    /// the path: the client's path says nothing about folders then.
    public var keepsFolders: Bool {
        if case .prefix = self { true } else { false }
    }
}
