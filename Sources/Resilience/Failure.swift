// One failure, one reason.
//
// A Failure alone decides the status a client sees, the Proxy-Status error type (RFC 9209 §2.3), the
// log field, the metric label and whether another attempt may be made. Reasons are a closed set:
// each is produced at exactly one place in the data plane, has a paragraph in docs/reasons.md and a
// test that provokes it. A reason is never reused for a second meaning.

/// The ten phases of a request, in order. L4 connections pass through fewer of them.
public enum Phase: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case accept, handshake, read, route, admit, lookup, select, forward, respond, record

    public var name: StaticString {
        switch self {
        case .accept: "accept"
        case .handshake: "handshake"
        case .read: "read"
        case .route: "route"
        case .admit: "admit"
        case .lookup: "lookup"
        case .select: "select"
        case .forward: "forward"
        case .respond: "respond"
        case .record: "record"
        }
    }
}

/// Whose doing a failure was.
public enum Side: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case client, weir, upstream

    public var name: StaticString {
        switch self {
        case .client: "client"
        case .weir: "weir"
        case .upstream: "upstream"
        }
    }
}

/// Whether the same request may be tried again after a failure, and which word of a policy allows it.
public enum Retry: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Not at all.
    case never
    /// There was no connection or stream that could be used, so nothing of the request was taken by the endpoint and
    /// any method may be repeated: `connect`.
    case unreached
    /// The connection ended before an answer: `reset`. Where it was a kept one this is the race of keep-alive, which
    /// is repeated for nothing.
    case lost
    /// The connection had to be given up before an answer, whether it was a kept one or not: `reset`.
    case broken
    /// The endpoint did not take the request, or did not answer, in time, and may still be working on it: `timeout`.
    case late

    /// What a policy has to name; empty: nothing allows it.
    public var condition: RetryConditions {
        switch self {
        case .never: []
        case .unreached: .connect
        case .lost, .broken: .reset
        case .late: .timeout
        }
    }
}

/// Why a request (or an L4 connection) did not end as its client and endpoint wanted.
public enum Reason: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Nothing failed.
    case none = 0

    // The client's doing
    case requestMalformed
    case requestHeadTooLarge
    case requestTargetTooLong
    case requestHeadTimeout
    case requestBodyMalformed
    case grpcWebMalformed
    case requestBodyTimeout
    case requestBodyTooLarge
    case requestCodingMalformed
    case requestCodingUnsupported
    case requestDecodedTooLarge
    case requestVersionUnsupported
    case requestExpectationUnknown
    case clientClosedDuringRequest
    case clientClosedDuringResponse
    case clientTooSlow
    case pongTimeout
    case proxyHeaderMalformed
    case sessionViolation

    // The client's doing, before there is a request
    case tlsNoSharedCipher
    case tlsVersionUnsupported
    case tlsNoApplicationProtocol
    case tlsClientCertificateMissing
    case tlsClientCertificateUntrusted
    case tlsClientCertificateExpired
    case tlsCertificateRefused
    case tlsPlainHTTP
    case tlsClosedDuringHandshake
    case tlsHandshakeMalformed
    case tlsHandshakeTimeout

    // Weir's decisions
    case sniUnknown
    case routeNotFound
    case methodNotAllowed
    case closedByRoute
    case upgradeNotAllowed
    case connectNotAllowed
    case fileNotFound
    case fileForbidden
    case fileMethodNotAllowed
    case fileReadFailed
    case fileTruncated
    case nameUnresolved
    case noEndpoint
    case retryBudgetSpent
    case connectionLimit
    case drainDeadline
    case internalLimit
    case totalTimeout

    // The endpoint's doing
    case connectRefused
    case connectTimeout
    case connectFailed
    case upstreamClosed
    case upstreamReset
    case upstreamHeadTimeout
    case upstreamBodyTimeout
    case upstreamMalformedHead
    case upstreamHeadTooLarge
    case upstreamMalformedBody
    case upstreamClosedMidBody
    case upstreamUnsolicitedUpgrade
    case upstreamWriteTimeout
    case upstreamCertificateUntrusted
    case upstreamCertificateName
    case upstreamCertificateExpired
    case upstreamHandshakeFailed
    case upstreamProtocolMismatch
    case upstreamStreamRefused
    case upstreamSessionViolation
    case upstreamUpgradeDeclined

    // L4 connections
    case idleTimeout

    // UDP sessions
    case upstreamSilent
    case configurationChanged
}

extension Reason {
    /// The word used in logs, metrics, `Proxy-Status` details and docs.
    public var name: StaticString { facts.name }
    public var side: Side { facts.side }
    /// The status of the response Weir makes; 0 where no response can be sent any more.
    public var status: UInt16 { facts.status }
    /// The error type of RFC 9209 §2.3 (or `http_request_error`, …) for `Proxy-Status`.
    public var proxyStatus: StaticString { facts.proxyStatus }
    public var retry: Retry { facts.retry }

    /// One row per reason; the order is that of the enum.
    private var facts:
        (name: StaticString, side: Side, status: UInt16, proxyStatus: StaticString, retry: Retry)
    {
        switch self {
        case .none: ("-", .weir, 0, "", .never)
        case .requestMalformed: ("request-malformed", .client, 400, "http_request_error", .never)
        case .requestHeadTooLarge: ("request-head-too-large", .client, 431, "http_request_error", .never)
        case .requestTargetTooLong: ("request-target-too-long", .client, 414, "http_request_error", .never)
        case .requestHeadTimeout: ("request-head-timeout", .client, 408, "http_request_error", .never)
        case .requestBodyMalformed: ("request-body-malformed", .client, 400, "http_request_error", .never)
        case .grpcWebMalformed: ("grpc-web-malformed", .client, 400, "http_request_error", .never)
        case .requestBodyTimeout: ("request-body-timeout", .client, 408, "http_request_error", .never)
        case .requestBodyTooLarge: ("request-body-too-large", .client, 413, "http_request_error", .never)
        case .requestCodingMalformed:
            ("request-coding-malformed", .client, 400, "http_request_error", .never)
        case .requestCodingUnsupported:
            ("request-coding-unsupported", .client, 415, "http_request_error", .never)
        case .requestDecodedTooLarge:
            ("request-decoded-too-large", .client, 413, "http_request_error", .never)
        case .requestVersionUnsupported:
            ("request-version-unsupported", .client, 505, "http_request_error", .never)
        case .requestExpectationUnknown:
            ("request-expectation-unknown", .client, 417, "http_request_error", .never)
        case .clientClosedDuringRequest: ("client-closed-during-request", .client, 0, "", .never)
        case .clientClosedDuringResponse: ("client-closed-during-response", .client, 0, "", .never)
        case .clientTooSlow: ("client-too-slow", .client, 0, "", .never)
        case .pongTimeout: ("pong-timeout", .client, 0, "", .never)
        case .proxyHeaderMalformed: ("proxy-header-malformed", .client, 0, "", .never)
        case .sessionViolation: ("session-violation", .client, 0, "", .never)
        case .tlsNoSharedCipher: ("tls-no-shared-cipher", .client, 0, "", .never)
        case .tlsVersionUnsupported: ("tls-version-unsupported", .client, 0, "", .never)
        case .tlsNoApplicationProtocol: ("tls-no-application-protocol", .client, 0, "", .never)
        case .tlsClientCertificateMissing: ("tls-client-certificate-missing", .client, 0, "", .never)
        case .tlsClientCertificateUntrusted: ("tls-client-certificate-untrusted", .client, 0, "", .never)
        case .tlsClientCertificateExpired: ("tls-client-certificate-expired", .client, 0, "", .never)
        case .tlsCertificateRefused: ("tls-certificate-refused", .client, 0, "", .never)
        case .tlsPlainHTTP: ("tls-plain-http", .client, 0, "", .never)
        case .tlsClosedDuringHandshake: ("tls-closed-during-handshake", .client, 0, "", .never)
        case .tlsHandshakeMalformed: ("tls-handshake-malformed", .client, 0, "", .never)
        case .tlsHandshakeTimeout: ("tls-handshake-timeout", .client, 0, "", .never)

        case .sniUnknown: ("sni-unknown", .weir, 0, "", .never)
        case .routeNotFound: ("route-not-found", .weir, 404, "destination_not_found", .never)
        case .methodNotAllowed: ("method-not-allowed", .weir, 405, "http_request_denied", .never)
        case .closedByRoute: ("closed-by-route", .weir, 0, "", .never)
        case .upgradeNotAllowed: ("upgrade-not-allowed", .weir, 403, "http_request_denied", .never)
        case .connectNotAllowed: ("connect-not-allowed", .weir, 501, "http_request_denied", .never)
        case .fileNotFound: ("file-not-found", .weir, 404, "destination_not_found", .never)
        case .fileForbidden: ("file-forbidden", .weir, 403, "http_request_denied", .never)
        case .fileMethodNotAllowed: ("file-method-not-allowed", .weir, 405, "http_request_denied", .never)
        case .fileReadFailed: ("file-read-failed", .weir, 500, "proxy_internal_error", .never)
        case .fileTruncated: ("file-truncated", .weir, 500, "proxy_internal_error", .never)
        case .nameUnresolved: ("name-unresolved", .weir, 503, "dns_error", .never)
        case .noEndpoint: ("no-endpoint", .weir, 503, "destination_unavailable", .never)
        case .retryBudgetSpent: ("retry-budget-spent", .weir, 503, "destination_unavailable", .never)
        case .connectionLimit: ("connection-limit", .weir, 503, "connection_limit_reached", .never)
        case .drainDeadline: ("drain-deadline", .weir, 0, "", .never)
        case .internalLimit: ("internal-limit", .weir, 503, "proxy_internal_response", .never)

        case .totalTimeout: ("total-timeout", .weir, 504, "http_response_timeout", .never)

        case .connectRefused: ("connect-refused", .upstream, 502, "connection_refused", .unreached)
        case .connectTimeout: ("connect-timeout", .upstream, 504, "connection_timeout", .unreached)
        case .connectFailed: ("connect-failed", .upstream, 502, "destination_ip_unroutable", .unreached)
        case .upstreamClosed: ("upstream-closed", .upstream, 502, "connection_terminated", .lost)
        case .upstreamReset: ("upstream-reset", .upstream, 502, "connection_terminated", .lost)
        case .upstreamHeadTimeout: ("upstream-head-timeout", .upstream, 504, "http_response_timeout", .late)
        case .upstreamBodyTimeout: ("upstream-body-timeout", .upstream, 504, "http_response_timeout", .never)
        case .upstreamMalformedHead:
            ("upstream-malformed-head", .upstream, 502, "http_protocol_error", .never)
        case .upstreamHeadTooLarge:
            ("upstream-head-too-large", .upstream, 502, "http_response_header_section_size", .never)
        case .upstreamMalformedBody:
            ("upstream-malformed-body", .upstream, 502, "http_response_transfer_coding", .never)
        case .upstreamClosedMidBody:
            ("upstream-closed-mid-body", .upstream, 502, "http_response_incomplete", .never)
        case .upstreamUnsolicitedUpgrade:
            ("upstream-unsolicited-upgrade", .upstream, 502, "http_upgrade_failed", .never)
        case .upstreamWriteTimeout:
            ("upstream-write-timeout", .upstream, 504, "connection_write_timeout", .late)
        case .upstreamCertificateUntrusted:
            ("upstream-certificate-untrusted", .upstream, 502, "tls_certificate_error", .unreached)
        case .upstreamCertificateName:
            ("upstream-certificate-name", .upstream, 502, "tls_certificate_error", .unreached)
        case .upstreamCertificateExpired:
            ("upstream-certificate-expired", .upstream, 502, "tls_certificate_error", .unreached)
        case .upstreamHandshakeFailed:
            ("upstream-handshake-failed", .upstream, 502, "tls_protocol_error", .unreached)
        case .upstreamProtocolMismatch:
            ("upstream-protocol-mismatch", .upstream, 502, "http_protocol_error", .unreached)
        case .upstreamUpgradeDeclined:
            ("upstream-upgrade-declined", .upstream, 502, "http_upgrade_failed", .never)
        case .upstreamStreamRefused:
            ("upstream-stream-refused", .upstream, 502, "http_request_error", .unreached)
        case .upstreamSessionViolation:
            ("upstream-session-violation", .upstream, 502, "http_protocol_error", .broken)

        case .idleTimeout: ("idle-timeout", .client, 0, "", .never)

        case .upstreamSilent: ("upstream-silent", .upstream, 504, "connection_read_timeout", .never)
        case .configurationChanged: ("configuration-changed", .weir, 0, "", .never)
        }
    }
}

/// What exactly was wrong with something malformed: one of the closed numbers of the codec that saw it. As a number,
/// in logs and in docs/, each codec has a hundred of its own, so that none can be taken for another's.
public struct Detail: Sendable, Equatable, BitwiseCopyable {
    public enum Codec: UInt8, Sendable, CaseIterable {
        case http1, http2, grpcWeb, contentCoding
        /// No codec: bounds inside Weir (`InternalLimit`).
        case limits
    }

    /// 0: nothing more is known.
    public let number: UInt16

    /// - Parameter own: the codec's number, below 100; 0 says nothing.
    public init(_ codec: Codec, _ own: UInt8) {
        precondition(own < 100, "a codec's number beyond its hundred")
        number = own == 0 ? 0 : UInt16(codec.rawValue) * 100 + UInt16(own)
    }

    private init() { number = 0 }

    public static var none: Detail { Detail() }

    /// The number as this codec gave it; nil when it is another's, or none.
    public func own(_ codec: Codec) -> UInt8? {
        number > 0 && number / 100 == UInt16(codec.rawValue) ? UInt8(number % 100) : nil
    }
}

/// A failure as the data plane hands it around. Plain data.
public struct Failure: Error, Sendable, BitwiseCopyable {
    public var reason: Reason
    /// The phase the request had reached.
    public var phase: Phase
    /// errno of the system call that failed, 0 when none did.
    public var errno: Int32
    /// Position of the offending byte for malformed input, counted from the start of the head or body; -1 when unknown.
    public var position: Int32
    /// For malformed input, what exactly was wrong.
    public var detail: Detail
    /// Of the response: the reason's, unless the configuration names another (`try` of files).
    public var status: UInt16

    @inlinable
    public init(
        _ reason: Reason, phase: Phase, errno: Int32 = 0, position: Int32 = -1, detail: Detail = .none,
        status: UInt16 = 0
    ) {
        self.status = status == 0 ? reason.status : status
        self.reason = reason
        self.phase = phase
        self.errno = errno
        self.position = position
        self.detail = detail
    }

    public static let none = Failure(.none, phase: .record)

    /// A bound inside Weir was met. The only maker of `internalLimit`: which bound it was stands in its detail.
    public static func limit(_ limit: InternalLimit, phase: Phase, errno: Int32 = 0) -> Failure {
        Failure(.internalLimit, phase: phase, errno: errno, detail: Detail(.limits, limit.rawValue))
    }
}

/// The bounds inside Weir that a request or a connection can meet.
public enum InternalLimit: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// Of memory, for something that is made for one request or connection.
    case memory = 1
    /// Of descriptors, ports and what else the kernel gives connections and files.
    case system
    /// Of the room heads are written in.
    case head
    /// Of the steps a regular expression may take.
    case expression
}
