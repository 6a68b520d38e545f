// Everything templates and conditions can ask about one request, as whoever serves it has it.
//
// What is not set is not known: templates render it as nothing, in conditions it is missing.

import WeirHTTPModel

/// Plain pointers, valid as long as the exchange.
public struct RequestContext {
    public typealias Text = UnsafeBufferPointer<UInt8>

    public var request: RequestView
    public var match: UnsafePointer<RouteMatch>?
    public var captureNames: CaptureNames?
    public var origin: RequestOrigin
    /// Of the expression whose groups `{match.…}` stands for.
    public var groups: UnsafePointer<MatchedGroups>?
    /// 0: not known.
    public var clientPort: UInt16 = 0
    public var clientIP = Text(start: nil, count: 0)
    /// The same for conditions, IPv4 in its mapped form; nil where there is none, or nobody asks.
    public var clientAddress: ClientBits?
    public var listener = Text(start: nil, count: 0)
    public var route = Text(start: nil, count: 0)
    public var service = Text(start: nil, count: 0)
    public var endpoint = Text(start: nil, count: 0)
    public var requestID = Text(start: nil, count: 0)
    /// For example 2026-01-31T12:00:00Z.
    public var timeISO = Text(start: nil, count: 0)

    /// nil: the client showed none.
    public var certificate: UnsafePointer<CertificateView>?
    /// nil: there is no error.
    public var error: UnsafePointer<ErrorView>?
    /// nil: it is not over yet.
    public var outcome: UnsafePointer<OutcomeView>?

    public init(request: RequestView) {
        self.request = request
        origin = RequestOrigin(request.head.pointee, isSecure: false)
    }

    /// A part of the path that the route gave a name.
    func capture(_ name: Text) -> Text? {
        guard let match, let captureNames else { return nil }
        var i = 0
        while i < Int(match.pointee.captureCount) {
            let capture = match.pointee.captures[i]
            if bytesEqual(captureNames.ranges[Int(capture.name)].bytes(in: captureNames.base), name) {
                return capture.range.bytes(in: request.bytes)
            }
            i &+= 1
        }
        return nil
    }
}

/// An IP address as 128 bits.
public struct ClientBits: Sendable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// The error an answer stands for.
public struct ErrorView {
    public var status: UInt16
    /// As in a status line: "Bad Gateway".
    public var phrase: StaticString
    /// As in logs and `Proxy-Status`.
    public var reason: StaticString

    public init(status: UInt16, phrase: StaticString, reason: StaticString) {
        self.status = status
        self.phrase = phrase
        self.reason = reason
    }
}

/// What became of a request, once it is over.
public struct OutcomeView {
    /// 0: no response was sent.
    public var status: UInt16 = 0
    public var attempts: UInt8 = 0
    /// "HTTP/1.1", "tcp", "udp"; what was spoken where there is no head.
    public var proto: StaticString = ""
    public var durationUs: UInt64 = 0
    public var bytesIn: UInt64 = 0
    public var bytesOut: UInt64 = 0

    public init() {}
}
