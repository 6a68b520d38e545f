// Error codes of RST_STREAM and GOAWAY frames (RFC 9113 §7).

/// Why a stream or a connection ends. Codes outside of the registry keep their number.
public struct HTTP2ErrorCode: RawRepresentable, Equatable, Sendable, BitwiseCopyable {
    public let rawValue: UInt32

    @inlinable
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static var noError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 0) }
    public static var protocolError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 1) }
    public static var internalError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 2) }
    public static var flowControlError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 3) }
    public static var settingsTimeout: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 4) }
    public static var streamClosed: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 5) }
    public static var frameSizeError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 6) }
    /// The stream was not processed at all: its request may be sent again (RFC 9113 §8.7).
    public static var refusedStream: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 7) }
    public static var cancel: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 8) }
    public static var compressionError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 9) }
    public static var connectError: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 10) }
    public static var enhanceYourCalm: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 11) }
    public static var inadequateSecurity: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 12) }
    /// The peer wants HTTP/1.1 for this request.
    public static var http11Required: HTTP2ErrorCode { HTTP2ErrorCode(rawValue: 13) }

    /// The registered name in lower case with hyphens ("refused-stream"), as it stands in logs.
    public var name: StaticString {
        switch rawValue {
        case 0: "no-error"
        case 1: "protocol-error"
        case 2: "internal-error"
        case 3: "flow-control-error"
        case 4: "settings-timeout"
        case 5: "stream-closed"
        case 6: "frame-size-error"
        case 7: "refused-stream"
        case 8: "cancel"
        case 9: "compression-error"
        case 10: "connect-error"
        case 11: "enhance-your-calm"
        case 12: "inadequate-security"
        case 13: "http-1.1-required"
        default: "unknown"
        }
    }
}
