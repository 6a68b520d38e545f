// The scheme and authority a client used: found once per request, used by everything that names them
// (templates, redirects, fields sent on, `weir explain`, the access log).

import WeirHTTPModel

/// How the client addressed its request, by the connection and the head, or by the word of a trusted proxy.
/// Plain data; ranges are bytes of the head.
public struct RequestOrigin: Sendable, BitwiseCopyable, Equatable {
    /// "https", else "http".
    public var isSecure: Bool
    /// Host, and port where one was written.
    public var authority: ByteRange
    /// Without port, with brackets for IPv6 literals; a beginning of `authority`.
    public var host: ByteRange
    /// The port a proxy told beside an authority without one; 0: none.
    public var toldPort: UInt16 = 0

    /// What the connection and the head say.
    @inlinable
    public init(_ head: RequestHead, isSecure: Bool) {
        self.isSecure = isSecure
        authority = head.authority
        host = head.host
    }

    public var scheme: StaticString { isSecure ? "https" : "http" }

    /// Where the port stands that was written; empty when none was.
    public var writtenPort: ByteRange {
        let from = host.count &+ 1
        if authority.count <= from { return .empty }
        return ByteRange(offset: authority.offset &+ from, count: authority.count &- from)
    }

    /// The port where none was written.
    public var impliedPort: UInt16 { toldPort > 0 ? toldPort : isSecure ? 443 : 80 }
}
