// The bounds of one HTTP/2 connection.
//
// What a connection can cost is the sum of these: per session about 20 KiB of tables (4 KiB of HPACK
// state each way and the library's own), per stream below 1 KiB plus what waits to be sent, for all
// streams together at most `connectionQueueBytesMax` + streams × `streamQueueBytesMin`; one unfinished
// head of at most `head.bytesMax`; and what the receive windows allow the peer to send ahead, which the
// proxy holds, at most `connectionWindowBytes`. A number of streams over `streamsMax` cannot be open, and
// what the library queues (resets, acknowledgements) is bounded by `wantsInput`.

import WeirHTTP1

/// Which side of the connection we are.
public enum HTTP2Role: UInt8, Sendable, BitwiseCopyable {
    case server, client
}

/// Limits and windows of a session. Plain data; the defaults are what Weir uses.
public struct HTTP2Configuration: Sendable, BitwiseCopyable {
    /// Bounds of one head. `bytesMax` counts names and values and 32 per field (RFC 9113 §6.5.2), and is
    /// announced as SETTINGS_MAX_HEADER_LIST_SIZE; `fieldsMax` counts every field line, cookie crumbs
    /// and pseudo-header fields included.
    public var head = HeadLimits()
    /// Streams the peer may have open at once: SETTINGS_MAX_CONCURRENT_STREAMS.
    public var streamsMax: UInt32 = 128
    /// What a peer may send on one stream before we say `consumed`. 64 KiB: 16 uploads that no endpoint
    /// takes fit into the connection's window before they hold up the others.
    public var streamWindowBytes: UInt32 = 65_536
    /// The same for all streams of the connection together: the bound of what it can make us hold.
    public var connectionWindowBytes: UInt32 = 1_048_576
    /// Most body bytes that wait on one stream for the peer's window.
    public var streamQueueBytesMax = 65_536
    /// What a stream may always queue, even when the connection's share is used up.
    public var streamQueueBytesMin = 16_384
    /// Body bytes that wait on all streams together before each is held to `streamQueueBytesMin`.
    public var connectionQueueBytesMax = 1_048_576
    /// Whether a server offers extended CONNECT (RFC 8441: WebSocket over HTTP/2).
    public var offersExtendedConnect = true
    public var floods = FloodBudget.Limits()

    /// A head this many times over its limits is an attack and ends the connection.
    public static var headFloodFactor: Int { 4 }
    /// Most CONTINUATION frames of one head.
    public static var continuationsMax: Int { 16 }
    /// Most interim responses before the final one.
    public static var interimResponsesMax: Int { 32 }
    /// Most control frames that wait to be sent before `wantsInput` is false, and then this many
    /// acknowledgements before the library gives up.
    public static var controlFramesMax: Int { 256 }

    public init() {}
}
