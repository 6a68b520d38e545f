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
    let compresses: Bool
    /// Bodies that may go to an endpoint are decoded.
    let decompresses: Bool
    /// gRPC-Web requests are forwarded as gRPC.
    public let bridgesWeb: Bool
    /// Fields of responses change: by `location`, `cookies` or `responseRules`.
    let changesResponses: Bool
    public let requestRules: FieldRules?
    public let responseRules: FieldRules?
    /// Longest whole exchange; 0: none.
    public let totalTimeoutMs: UInt64
    public let action: RouteAction
    /// How the request target changes on its way upstream; nil: not at all.
    public let rewrite: Rewrite?
    /// How what endpoints say about URLs is turned back to what clients see; nil: not at all.
    public let location: LocationRule?
    /// How cookies of endpoints change; nil: not at all.
    public let cookies: CookieRule?

    public let name: StaticBytes
    /// Longest silence on a connection that was upgraded.
    public let upgradedIdleMs: UInt64
    public let retry: RetryPolicy
    /// Longest request body; nil: the listener says.
    public let bodyBytesMax: UInt64?
    /// How much of a request body is held before an endpoint is chosen (law 11).
    public let holdBytes: Int
    /// Protocols a client may change to, lower case; "connect" stands for CONNECT.
    public let upgrades: [StaticBytes]
    /// A request for any other is refused instead of served without the change.
    public let refusesOtherUpgrades: Bool
    /// Pings of our own on WebSockets; nil: none.
    public let pings: PingPlan?
    /// Which responses are compressed; nil: none.
    public let compression: CompressionRule?
    /// Bounds of request bodies that are decoded; nil: they go as they come.
    public let decompression: DecoderLimits?
    /// What is sent in place of errors, before what the listener says; nil: the listener says.
    public let errors: ErrorPlan?
    /// Here, or on a listener, something stands for answers of endpoints: the rest is looked for then only.
    let mayReplaceAnswers: Bool
    public let metrics: RouteMetrics

    public init(
        name: String, action: RouteAction, rewrite: Rewrite?, location: LocationRule? = nil,
        cookies: CookieRule? = nil, requestRules: FieldRules?,
        responseRules: FieldRules?, headTimeoutMs: UInt64, idleTimeoutMs: UInt64, totalTimeoutMs: UInt64,
        upgradedIdleMs: UInt64, retry: RetryPolicy, bodyBytesMax: UInt64? = nil, holdBytes: Int,
        upgrades: [String], refusesOtherUpgrades: Bool = false,
        pings: PingPlan? = nil, compression: CompressionRule? = nil, bridgesWeb: Bool = false,
        decompression: DecoderLimits? = nil, errors: ErrorPlan? = nil,
        mayReplaceAnswers: Bool = false, metrics: RouteMetrics
    ) {
        counters = metrics.cells
        compresses = compression != nil
        switch action {
        case .forward, .files(_, otherwise: .some): decompresses = decompression != nil
        default: decompresses = false
        }
        self.name = StaticBytes(name)
        self.action = action
        self.rewrite = rewrite
        self.location = location
        self.cookies = cookies
        changesResponses = location != nil || cookies != nil || responseRules != nil
        self.requestRules = requestRules
        self.responseRules = responseRules
        self.headTimeoutMs = headTimeoutMs
        self.idleTimeoutMs = idleTimeoutMs
        self.totalTimeoutMs = totalTimeoutMs
        self.upgradedIdleMs = upgradedIdleMs
        self.retry = retry
        self.bodyBytesMax = bodyBytesMax
        self.holdBytes = holdBytes
        self.refusesOtherUpgrades = refusesOtherUpgrades
        self.upgrades = upgrades.map { StaticBytes($0) }
        self.pings = pings
        self.compression = compression
        self.bridgesWeb = bridgesWeb
        self.decompression = decompression
        self.errors = errors
        self.mayReplaceAnswers = mayReplaceAnswers
        self.metrics = metrics
    }

    /// Whether a client may change to this protocol here; case does not matter (RFC 9110 §7.8).
    public func allowsUpgrade(to token: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = token.baseAddress else { return false }
        return upgrades.contains { equalIgnoringASCIICase(base, token.count, $0.base, $0.count) }
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
