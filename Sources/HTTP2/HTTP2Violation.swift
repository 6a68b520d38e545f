// The closed set of what can be wrong with what an HTTP/2 peer sends.
//
// As with HTTP/1.1 nothing is repaired. A violation is one byte, so that it can be logged, counted and
// compared; the wording and the clause of the standard hang off it. Those that concern one message end
// its stream with PROTOCOL_ERROR (RFC 9113 §8.1.1), the others end the connection: `endsConnection`.
// Where a rule is Weir's own and stricter than the standard, the section names the clause it tightens.

/// What is wrong with a message, a frame or the behaviour of a peer.
public enum HTTP2Violation: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// Nothing; never reported.
    case none = 0

    // Field lines
    case fieldNameEmpty, fieldNameUppercase, fieldNameInvalid, fieldValueByteInvalid, fieldValueWhitespace
    case connectionField, teNotTrailers

    // Pseudo-header fields
    case pseudoUnknown, pseudoDuplicate, pseudoAfterRegular, pseudoInTrailers, pseudoOfOtherKind
    case methodMissing, methodInvalid, schemeMissing, schemeInvalid, pathMissing, pathEmpty, pathInvalid
    case asteriskNotOptions, targetInvalid, authorityMissing, authorityInvalid, userinfoInAuthority
    case hostDuplicate, hostInvalid, hostMismatch
    case connectWithSchemeOrPath, connectAuthorityInvalid, protocolWithoutConnect, protocolInvalid
    case extendedConnectNotEnabled
    case statusMissing, statusInvalid, switchingProtocols

    // Framing
    case contentLengthInvalid, contentLengthTooLarge, contentLengthDuplicate, contentLengthMismatch
    case bodyNotAllowed, dataBeforeHead, interimEndsStream, interimFlood
    case trailersWithoutEnd, trailersTooLarge, trailerForbidden
    /// Anything but `100-continue` in `Expect`: answered with 417 by a server.
    case expectationUnknown

    // The connection
    case prefaceInvalid, frameInvalid, frameSize, flowControl, compression, streamState, settingsInvalid
    case settingsTimeout, libraryFailure

    // Floods
    case headFlood, continuationFlood, resetFlood, provokedResetFlood, pingFlood, settingsFlood
    case emptyFrameFlood, priorityFlood, windowUpdateFlood, acknowledgementFlood

    /// Of the connection too; last, so that the numbers of the others stay.
    case streamNumber

    /// Whether the connection cannot go on; otherwise it concerns one stream.
    public var endsConnection: Bool { rawValue >= HTTP2Violation.prefaceInvalid.rawValue }

    /// What is wrong, as the middle of a sentence ("an upper-case letter in a field name").
    public var text: StaticString {
        switch self {
        case .none: "nothing"
        case .fieldNameEmpty: "an empty field name"
        case .fieldNameUppercase: "an upper-case letter in a field name"
        case .fieldNameInvalid: "a byte in a field name that is not a token character"
        case .fieldValueByteInvalid: "a control character in a field value"
        case .fieldValueWhitespace: "whitespace at the start or end of a field value"
        case .connectionField: "a field that is specific to HTTP/1.1 connections"
        case .teNotTrailers: "a TE value other than trailers"
        case .pseudoUnknown: "an unknown pseudo-header field"
        case .pseudoDuplicate: "a repeated pseudo-header field"
        case .pseudoAfterRegular: "a pseudo-header field after a regular field"
        case .pseudoInTrailers: "a pseudo-header field among the trailers"
        case .pseudoOfOtherKind: "a pseudo-header field of requests in a response, or the reverse"
        case .methodMissing: "no :method"
        case .methodInvalid: "a :method that is not a token"
        case .schemeMissing: "no :scheme"
        case .schemeInvalid: "a :scheme that is neither http nor https"
        case .pathMissing: "no :path"
        case .pathEmpty: "an empty :path"
        case .pathInvalid: "a :path that does not start with a slash"
        case .asteriskNotOptions: "the :path * with a method other than OPTIONS"
        case .targetInvalid: "a byte or segment in the :path that is not allowed"
        case .authorityMissing: "neither :authority nor host"
        case .authorityInvalid: "an invalid host or port in :authority"
        case .userinfoInAuthority: "user information in :authority"
        case .hostDuplicate: "more than one host field"
        case .hostInvalid: "an invalid host value"
        case .hostMismatch: "a host value that differs from :authority"
        case .connectWithSchemeOrPath: "a CONNECT request with :scheme or :path but without :protocol"
        case .connectAuthorityInvalid: "a CONNECT request whose :authority is not host:port"
        case .protocolWithoutConnect: ":protocol with a method other than CONNECT"
        case .protocolInvalid: "a :protocol that is not a token"
        case .extendedConnectNotEnabled: ":protocol although extended CONNECT is not offered"
        case .statusMissing: "no :status"
        case .statusInvalid: "a :status that is not three digits from 100 to 999"
        case .switchingProtocols: "the status 101"
        case .contentLengthInvalid: "a content-length that is not a decimal number"
        case .contentLengthTooLarge: "a content-length of 2^63 or more"
        case .contentLengthDuplicate: "more than one content-length field"
        case .contentLengthMismatch: "a content-length that differs from the data"
        case .bodyNotAllowed: "data in a response that has no body"
        case .dataBeforeHead: "data before the head of the message"
        case .interimEndsStream: "an interim response that ends the stream"
        case .interimFlood: "too many interim responses"
        case .trailersWithoutEnd: "trailers that do not end the stream"
        case .trailersTooLarge: "trailers over the limit"
        case .trailerForbidden: "a framing or routing field among the trailers"
        case .expectationUnknown: "an expectation other than 100-continue"
        case .prefaceInvalid: "no valid connection preface"
        case .frameInvalid: "an invalid frame"
        case .frameSize: "a frame of a wrong size"
        case .flowControl: "data beyond the flow-control window, or a window beyond 2^31-1"
        case .compression: "a field section that cannot be decompressed"
        case .streamState: "a frame that the state of its stream does not allow"
        case .streamNumber: "a stream number lower than one used before"
        case .settingsInvalid: "an invalid setting"
        case .settingsTimeout: "SETTINGS not acknowledged in time"
        case .libraryFailure: "a failure inside of the HTTP/2 library"
        case .headFlood: "a field section of several times the allowed size"
        case .continuationFlood: "too many CONTINUATION frames for one field section"
        case .resetFlood: "too many streams reset by the peer"
        case .provokedResetFlood: "too many streams reset because of the peer's errors"
        case .pingFlood: "too many PING frames"
        case .settingsFlood: "too many SETTINGS frames"
        case .emptyFrameFlood: "too many empty frames"
        case .priorityFlood: "too many PRIORITY or PRIORITY_UPDATE frames"
        case .windowUpdateFlood: "too many WINDOW_UPDATE frames with tiny increments"
        case .acknowledgementFlood: "too many frames whose acknowledgements the peer does not read"
        }
    }

    /// The clause of the standard that is broken ("RFC 9113 §8.2.1").
    public var section: StaticString {
        switch self {
        case .none: ""
        case .fieldNameEmpty, .fieldNameUppercase, .fieldNameInvalid, .fieldValueByteInvalid,
            .fieldValueWhitespace:
            "RFC 9113 §8.2.1"
        case .connectionField, .teNotTrailers: "RFC 9113 §8.2.2"
        case .pseudoUnknown, .pseudoDuplicate, .pseudoAfterRegular, .pseudoInTrailers, .pseudoOfOtherKind:
            "RFC 9113 §8.3"
        case .methodMissing, .methodInvalid, .schemeMissing, .schemeInvalid, .pathMissing, .pathEmpty,
            .pathInvalid, .asteriskNotOptions, .authorityMissing, .userinfoInAuthority, .hostDuplicate,
            .hostMismatch:
            "RFC 9113 §8.3.1"
        case .targetInvalid: "RFC 3986 §3.3"
        case .authorityInvalid, .hostInvalid: "RFC 3986 §3.2"
        case .connectWithSchemeOrPath, .connectAuthorityInvalid: "RFC 9113 §8.5"
        case .protocolWithoutConnect, .protocolInvalid: "RFC 8441 §4"
        case .extendedConnectNotEnabled: "RFC 8441 §3"
        case .statusMissing, .statusInvalid: "RFC 9113 §8.3.2"
        case .switchingProtocols: "RFC 9113 §8.6"
        case .contentLengthInvalid, .contentLengthTooLarge, .contentLengthDuplicate: "RFC 9110 §8.6"
        case .contentLengthMismatch, .bodyNotAllowed: "RFC 9113 §8.1.1"
        case .dataBeforeHead, .interimEndsStream, .interimFlood, .trailersWithoutEnd, .trailersTooLarge:
            "RFC 9113 §8.1"
        case .trailerForbidden: "RFC 9110 §6.5.1"
        case .expectationUnknown: "RFC 9110 §10.1.1"
        case .prefaceInvalid: "RFC 9113 §3.4"
        case .frameInvalid: "RFC 9113 §6"
        case .frameSize: "RFC 9113 §4.2"
        case .flowControl: "RFC 9113 §5.2"
        case .compression: "RFC 9113 §4.3"
        case .streamState: "RFC 9113 §5.1"
        case .streamNumber: "RFC 9113 §5.1.1"
        case .settingsInvalid: "RFC 9113 §6.5.2"
        case .settingsTimeout: "RFC 9113 §6.5.3"
        case .libraryFailure: "RFC 9113 §5.4.1"
        case .headFlood, .continuationFlood: "RFC 9113 §10.5.1"
        case .resetFlood, .provokedResetFlood, .pingFlood, .settingsFlood, .emptyFrameFlood,
            .priorityFlood, .windowUpdateFlood, .acknowledgementFlood:
            "RFC 9113 §10.5"
        }
    }
}
