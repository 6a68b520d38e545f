// Header fields: names the proxy knows by number, and where a field stands in its head.

/// Field names that some phase looks at, so that a comparison is one integer.
/// Every other name is `.other` and compared by its bytes.
public enum FieldID: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case other = 0
    // Framing and connection (RFC 9110 §7.6.1, RFC 9112)
    case host, connection, contentLength, transferEncoding, te, trailer, upgrade, keepAlive
    case proxyConnection, expect, http2Settings
    // Intermediaries
    case via, forwarded, xForwardedFor, xForwardedProto, xForwardedHost, xForwardedPort, xRealIP
    case xRequestID, proxyStatus, maxForwards
    // Content and caching
    case date, server, contentType, contentEncoding, contentRange, location, cacheControl, age, etag
    case lastModified, expires, vary, range, ifRange, ifMatch, ifNoneMatch, ifModifiedSince
    case ifUnmodifiedSince, retryAfter
    // Requests
    case accept, acceptEncoding, authorization, proxyAuthorization, proxyAuthenticate
    case wwwAuthenticate, cookie, setCookie, userAgent, referer, origin

    /// The name as Weir writes it, lower case ("content-length"); empty for `.other`.
    public var name: StaticString {
        switch self {
        case .other: ""
        case .host: "host"
        case .connection: "connection"
        case .contentLength: "content-length"
        case .transferEncoding: "transfer-encoding"
        case .te: "te"
        case .trailer: "trailer"
        case .upgrade: "upgrade"
        case .keepAlive: "keep-alive"
        case .proxyConnection: "proxy-connection"
        case .expect: "expect"
        case .http2Settings: "http2-settings"
        case .via: "via"
        case .forwarded: "forwarded"
        case .xForwardedFor: "x-forwarded-for"
        case .xForwardedProto: "x-forwarded-proto"
        case .xForwardedHost: "x-forwarded-host"
        case .xForwardedPort: "x-forwarded-port"
        case .xRealIP: "x-real-ip"
        case .xRequestID: "x-request-id"
        case .proxyStatus: "proxy-status"
        case .maxForwards: "max-forwards"
        case .date: "date"
        case .server: "server"
        case .contentType: "content-type"
        case .contentEncoding: "content-encoding"
        case .contentRange: "content-range"
        case .location: "location"
        case .cacheControl: "cache-control"
        case .age: "age"
        case .etag: "etag"
        case .lastModified: "last-modified"
        case .expires: "expires"
        case .vary: "vary"
        case .range: "range"
        case .ifRange: "if-range"
        case .ifMatch: "if-match"
        case .ifNoneMatch: "if-none-match"
        case .ifModifiedSince: "if-modified-since"
        case .ifUnmodifiedSince: "if-unmodified-since"
        case .retryAfter: "retry-after"
        case .accept: "accept"
        case .acceptEncoding: "accept-encoding"
        case .authorization: "authorization"
        case .proxyAuthorization: "proxy-authorization"
        case .proxyAuthenticate: "proxy-authenticate"
        case .wwwAuthenticate: "www-authenticate"
        case .cookie: "cookie"
        case .setCookie: "set-cookie"
        case .userAgent: "user-agent"
        case .referer: "referer"
        case .origin: "origin"
        }
    }
}

/// One field line of a head. 16 bytes, no references; ranges are relative to the head's first byte.
public struct Field: Sendable, BitwiseCopyable {
    public var nameOffset: UInt32
    public var valueOffset: UInt32
    /// Value length without surrounding optional whitespace.
    public var valueCount: UInt32
    public var nameCount: UInt16
    public var id: FieldID
    /// Set by the codec on fields that end at this hop: the hop-by-hop fields themselves and those
    /// named in `Connection` (RFC 9110 §7.6.1). A forwarder skips them.
    public var isHopByHop: Bool

    @inlinable
    public init(nameOffset: UInt32, nameCount: UInt16, valueOffset: UInt32, valueCount: UInt32, id: FieldID) {
        self.nameOffset = nameOffset
        self.nameCount = nameCount
        self.valueOffset = valueOffset
        self.valueCount = valueCount
        self.id = id
        self.isHopByHop = false
    }

    @inlinable public var name: ByteRange { ByteRange(offset: nameOffset, count: UInt32(nameCount)) }
    @inlinable public var value: ByteRange { ByteRange(offset: valueOffset, count: valueCount) }
}
