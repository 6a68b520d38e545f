// One HTTP/2 connection as a codec: bytes in, events out; messages in, bytes out.

import HTTP1
import HTTPModel

/// A handle of one connection's state: plain data, to be kept in a slab. Made with `init`, ended with
/// `destroy`; not valid afterwards.
public struct HTTP2Session: BitwiseCopyable {
    let s: UnsafeMutablePointer<SessionState>

    /// Starts a session; the preface and SETTINGS wait in the output at once. Nil: out of memory.
    public init?(
        _ context: HTTP2Context, role: HTTP2Role, configuration: HTTP2Configuration, nowMs: UInt64
    ) { nil }

    /// Frees the session and its streams without a word to anybody.
    public func destroy() {}

    // MARK: Receiving

    /// Hands over bytes from the peer; then call `nextEvent` until it answers nil, which is when they
    /// are used up and may go away.
    public func receive(_ bytes: UnsafePointer<UInt8>, count: Int, nowMs: UInt64) {}

    /// The next event, also of those that `output` causes; nil when there is none.
    public func nextEvent() -> HTTP2Event? { nil }

    /// Body bytes are out of the owner's hands: the peer may send as many again.
    public func consumed(_ stream: Int32, _ count: Int) {}

    // MARK: Sending

    /// Fills `into` with as many frames as there are and fit. Call until it answers 0.
    ///
    /// - Parameter capacity: at least `outputBytesMin`.
    public func output(into: UnsafeMutablePointer<UInt8>, capacity: Int, nowMs: UInt64) -> Int { 0 }

    /// Smallest room `output` can work with: a whole DATA frame.
    public static var outputBytesMin: Int { 16_393 }

    /// Server: the final response head. False: the stream is gone.
    public func submitResponseHead(
        _ stream: Int32, status: UInt16, fields: UnsafePointer<HTTP2Field>, count: Int, endStream: Bool
    ) -> Bool { false }

    /// Server: an interim response (100, 103).
    public func submitInterim(
        _ stream: Int32, status: UInt16, fields: UnsafePointer<HTTP2Field>, count: Int
    ) -> Bool { false }

    /// Client: a request. Answers the stream's number, or nil when none can be opened.
    public func submitRequest(
        method: UnsafeBufferPointer<UInt8>, scheme: StaticString, authority: UnsafeBufferPointer<UInt8>,
        path: UnsafeBufferPointer<UInt8>, protocolName: UnsafeBufferPointer<UInt8>? = nil,
        fields: UnsafePointer<HTTP2Field>, count: Int, endStream: Bool, userData: UInt
    ) -> Int32? { nil }

    /// Body bytes that the stream takes now; when 0, `writable` comes later.
    public func room(_ stream: Int32) -> Int { 0 }

    /// Copies body bytes into the stream's queue; answers how many it took (up to `room`).
    public func submitData(_ stream: Int32, _ bytes: UnsafePointer<UInt8>, count: Int) -> Int { 0 }

    /// Ends our half behind what is queued, with trailers if there are any.
    public func submitEnd(
        _ stream: Int32, trailers: UnsafePointer<HTTP2Field>? = nil, count: Int = 0
    ) -> Bool { false }

    /// Body bytes of this stream that wait to be packed into frames.
    public func queuedBytes(_ stream: Int32) -> Int { 0 }

    /// Cuts the stream off; what is queued is dropped.
    public func reset(_ stream: Int32, _ code: HTTP2ErrorCode) {}

    public func ping() {}

    /// First step of an orderly end: asks the peer to open no further streams.
    public func announceShutdown() {}

    /// Last step: streams opened from now on are not served; those open go on.
    public func shutdown(_ code: HTTP2ErrorCode = .noError) {}

    /// Ends the connection now: GOAWAY with this code, then nothing.
    public func terminate(_ code: HTTP2ErrorCode) {}

    // MARK: State

    /// The owner's word for a stream; events carry it. False: there is no such stream.
    @discardableResult
    public func setUserData(_ stream: Int32, _ userData: UInt) -> Bool { false }
    public func userData(_ stream: Int32) -> UInt { 0 }

    /// Nothing more will be read or written once the output is drained: close the connection.
    public var isFinished: Bool { true }
    /// Whether `output` has something to write.
    public var wantsOutput: Bool { false }
    /// False while too many control frames wait for a peer that does not read: stop reading.
    public var wantsInput: Bool { true }
    /// Why the connection is over, `.none` while it is not.
    public var violation: HTTP2Violation { .none }
    /// Streams that are open.
    public var streamsOpen: Int { 0 }
    /// Client: streams that may be opened now.
    public var streamsFree: Int { 0 }
    /// Client: the peer's settings offer extended CONNECT.
    public var peerOffersExtendedConnect: Bool { false }
    /// Client: GOAWAY came, or stream numbers are used up: open a new connection.
    public var acceptsNoStreams: Bool { false }

    /// Since when body bytes have waited for the peer's window without any being sent; 0: none wait.
    public var stalledSinceMs: UInt64 { 0 }
    public func stalledSinceMs(_ stream: Int32) -> UInt64 { 0 }
    /// A stream that has been stalled since before `sinceMs`; 0: none.
    public func firstStalled(before sinceMs: UInt64) -> Int32 { 0 }
}

struct SessionState {}
