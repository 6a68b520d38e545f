// Request and response heads as every HTTP version delivers them to the phases.
//
// A head is three things: the bytes, a table of fields, and one of these structs. The structs are
// plain data (no references), so an exchange keeps them in its slab slot.

/// Request methods the proxy distinguishes (RFC 9110 §9).
public enum Method: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case other = 0
    case get, head, post, put, delete, connect, options, trace, patch

    /// RFC 9110 §9.2.2: repeating the request has the same effect as making it once.
    @inlinable public var isIdempotent: Bool {
        switch self {
        case .get, .head, .put, .delete, .options, .trace: true
        case .post, .connect, .patch, .other: false
        }
    }

    /// A request may say how many proxies it wants to pass (RFC 9110 §7.6.2).
    @inlinable public var countsHops: Bool { self == .options || self == .trace }

    public var name: StaticString {
        switch self {
        case .other: ""
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .connect: "CONNECT"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .patch: "PATCH"
        }
    }
}

/// HTTP versions, ordered.
public enum Version: UInt8, Sendable, BitwiseCopyable, Comparable {
    case http10 = 10
    case http11 = 11
    case http2 = 20
    case http3 = 30

    /// As logs write it.
    public var name: StaticString {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        case .http3: "HTTP/3"
        }
    }

    /// Exchanges are streams, many on one connection.
    @inlinable @inline(__always) public var hasStreams: Bool { rawValue >= Version.http2.rawValue }

    /// The protocol version as the Via field has it (RFC 9110 §7.6.3).
    public var viaText: StaticString {
        switch self {
        case .http10: "1.0"
        case .http11: "1.1"
        case .http2: "2.0"
        case .http3: "3.0"
        }
    }

    @inlinable public static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }
}

/// How the end of a message body is known (RFC 9112 §6.3).
public enum BodyFraming: UInt8, Sendable, BitwiseCopyable {
    /// No body.
    case none
    /// `contentLength` bytes.
    case length
    /// Chunked coding (HTTP/1.1) or a stream with an explicit end (HTTP/2, HTTP/3).
    case chunked
    /// Until the peer closes (responses only).
    case untilClose
}

/// The four forms of a request target (RFC 9112 §3.2).
public enum TargetForm: UInt8, Sendable, BitwiseCopyable {
    case origin, absolute, authority, asterisk
}

/// One request head. Ranges are relative to the head's first byte.
@frozen
public struct RequestHead: Sendable, BitwiseCopyable {
    public var method: Method = .other
    public var version: Version = .http11
    public var targetForm: TargetForm = .origin
    public var framing: BodyFraming = .none
    /// Whether the connection may serve another request after this one, as far as the client is concerned.
    public var wantsKeepAlive = true
    /// `Expect: 100-continue` was asked for by an HTTP/1.1 (or later) client.
    public var expectsContinue = false
    /// `Connection: upgrade` together with an `Upgrade` field.
    public var wantsUpgrade = false
    /// `TE: trailers` was sent: the client is willing to receive trailers.
    public var acceptsTrailers = false
    public var hasQuery = false
    /// Of the path as received.
    public var pathTraits: PathTraits = []

    public var methodName = ByteRange.empty
    /// The target exactly as received.
    public var target = ByteRange.empty
    /// Host and optional port the request is for: of an absolute or authority target, else of `Host`.
    /// Empty when there is none (HTTP/1.0) or it is empty.
    public var authority = ByteRange.empty
    /// Host part of `authority`, without port, with brackets for IPv6 literals.
    public var host = ByteRange.empty
    /// Path of the target, without query; empty only for `*` and CONNECT (an absolute-form target
    /// without a path has an empty range here and stands for "/"). As received when it leaves a codec; in
    /// normal form (PathForm.swift) in an exchange, and for everything that decides.
    public var path = ByteRange.empty
    /// Query without its question mark.
    public var query = ByteRange.empty

    public var fieldCount: Int32 = 0
    /// Length of the whole head in bytes, final empty line included.
    public var byteCount: UInt32 = 0
    /// Meaningful when `framing == .length`.
    public var contentLength: UInt64 = 0

    @inlinable @inline(__always) public init() {}
}

/// One response head. Ranges are relative to the head's first byte.
public struct ResponseHead: Sendable, BitwiseCopyable {
    /// 100…999.
    public var status: UInt16 = 0
    public var version: Version = .http11
    /// Framing with the request's method and the status already taken into account (RFC 9112 §6.3).
    public var framing: BodyFraming = .none
    /// Whether the connection stays usable after this response, as far as the peer is concerned.
    public var allowsKeepAlive = true
    public var hasDate = false
    /// `Content-Length` was present (it may be on a HEAD or 304 response, which has no body).
    public var hasContentLength = false
    /// Seconds of `Keep-Alive: timeout=N`, 0 when absent.
    public var keepAliveTimeoutSeconds: UInt16 = 0
    /// What had to be overlooked to read it.
    public var quirks: Quirks = []

    public var reason = ByteRange.empty
    public var fieldCount: Int32 = 0
    public var byteCount: UInt32 = 0
    /// Meaningful when `hasContentLength`.
    public var contentLength: UInt64 = 0

    public init() {}

    /// 1xx other than 101: more heads follow for the same request.
    @inlinable public var isInterim: Bool { status >= 100 && status < 200 && status != 101 }
}

/// A request head with its bytes and fields: what routing, header rules and logs read.
/// Valid only as long as the exchange that owns the memory.
public struct RequestView {
    public let bytes: UnsafePointer<UInt8>
    public let head: UnsafePointer<RequestHead>
    public let fields: UnsafePointer<Field>

    @inlinable
    public init(
        bytes: UnsafePointer<UInt8>, head: UnsafePointer<RequestHead>, fields: UnsafePointer<Field>
    ) {
        self.bytes = bytes
        self.head = head
        self.fields = fields
    }

    /// The first field with this name (lower case), or nil.
    public func field(named name: String) -> UnsafeBufferPointer<UInt8>? {
        var name = name
        return name.withUTF8 { wanted in
            guard let start = wanted.baseAddress else { return nil }
            var i = 0
            while i < Int(head.pointee.fieldCount) {
                let field = fields[i]
                if equalIgnoringASCIICase(
                    bytes + Int(field.nameOffset), Int(field.nameCount), start, wanted.count)
                {
                    return field.value.bytes(in: bytes)
                }
                i += 1
            }
            return nil
        }
    }
}
