// What a session tells its owner.
//
// Events are flat values: nothing is allocated for one. Pointers in an event stay valid until the next
// call of `nextEvent` on the session; offsets of a head are relative to the start of its block, so that
// the owner copies block and field table as it does with HTTP/1.1.

import WeirHTTP1
import WeirHTTPModel

/// One thing that happened on a connection.
///
/// The order on one stream is: heads, data, then exactly one event with `endsStream` unless the stream
/// is cut short, and last exactly one `closed`. A stream of which the owner never saw a `head` or
/// `headRefused` (server) or that it did not open (client) closes without a word.
public struct HTTP2Event: BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        /// Server: a request head in `request`. Client: a response head in `response`, also interim ones.
        /// Bytes in `bytes`/`count`, fields in `fields`; the number of fields is in the head.
        case head
        /// Server: a request whose client reset it before we looked at it. Nothing else of its stream is told.
        case withdrawn
        /// A head that is well-formed but not acceptable: a server answers with `status` (431, 414,
        /// 417), a client resets. Nothing more of the message will be delivered.
        case headRefused
        /// Body bytes in `bytes`/`count`. The owner says `consumed` when they are out of its hands.
        case data
        /// Trailer fields, as for heads, with their number in `fieldCount`. Ends the stream.
        case trailers
        /// The peer's half is at its end and there was no other event left to say so.
        case end
        /// What the peer sent on this stream is malformed; the session has reset it. `violation`.
        case malformed
        /// The peer reset the stream; `code`.
        case reset
        /// The stream is gone, `code` says how, and this is the last event of it. `isUnprocessed`: the
        /// peer has promised that it did nothing with the request.
        case closed
        /// There is room again in a queue that had refused bytes (see `room`).
        case writable
        /// The peer's wish has changed after the head: `urgency`, `isIncremental`.
        case priority
        /// The peer's settings have arrived: `streamsFree`, `peerOffersExtendedConnect`.
        case settings
        case pingAck
        /// The peer will not open (server) or accept (client) streams above `stream`; `code`.
        case goaway
        /// The connection is over because of `violation`; GOAWAY waits in the output. No further bytes
        /// will be read.
        case violation
    }

    public internal(set) var kind: Kind
    /// With `head`, `data`, `trailers`, `end`: nothing more comes from the peer on this stream.
    public internal(set) var endsStream = false
    /// With `closed`: a request that may be sent again, whatever its method (RFC 9113 §8.7).
    public internal(set) var isUnprocessed = false
    /// RFC 9218 priority of the stream; 0 is most urgent. Also with `head`.
    public internal(set) var urgency: UInt8 = 3
    public internal(set) var isIncremental = false
    public internal(set) var violation = HTTP2Violation.none
    /// More about `violation` where HTTP/1.1 has the finer name (targets, authorities).
    public internal(set) var cause = Violation.none
    /// With `headRefused`: what a server should answer.
    public internal(set) var status: UInt16 = 0
    public internal(set) var stream: Int32 = 0
    public internal(set) var code = HTTP2ErrorCode.noError
    public internal(set) var fieldCount: Int32 = 0
    /// What the owner has attached to the stream (`setUserData`), 0 until then.
    public internal(set) var userData: UInt = 0
    public internal(set) var count = 0
    public internal(set) var bytes: UnsafePointer<UInt8>
    public internal(set) var fields: UnsafePointer<Field>
    public internal(set) var request = RequestHead()
    public internal(set) var response = ResponseHead()
    /// With a request `head`: the value of `:scheme`, "http" or "https"; empty for plain CONNECT.
    public internal(set) var scheme = ByteRange.empty
    /// With a request `head`: the value of `:protocol` ("websocket"); empty but for extended CONNECT.
    public internal(set) var protocolName = ByteRange.empty

    /// Where the head's block lies relative to the inbox, resolved when the event is delivered.
    var bytesOffset = -1
    var fieldsOffset = 0
    var record: StreamPointer?

    /// Stands where an event has no bytes or no fields; never read, for the counts are 0.
    static var nowhere: UnsafePointer<UInt8> { ("" as StaticString).utf8Start }

    init(_ kind: Kind) {
        self.kind = kind
        bytes = HTTP2Event.nowhere
        fields = UnsafeRawPointer(HTTP2Event.nowhere).assumingMemoryBound(to: Field.self)
    }
}
