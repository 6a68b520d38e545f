// The fields that end a gRPC call, and the content types that say what a call is.
//
// A call ends with `grpc-status` and, when there is something to say, `grpc-message`: in trailers, or in
// the head of a response without a body ("trailers-only"). The HTTP status is 200 in either case.

import WeirHTTPModel

/// Writing what ends a call.
public enum GRPCFields {
    /// Most bytes of a message that are written; more says no more. Escaped they are three times as many.
    public static let messageBytesMax = 1024

    /// Writes the fields of a trailers-only response, as field lines: `content-type`, `grpc-status` and, when
    /// the message is not empty, `grpc-message`. The status of the response is 200.
    ///
    /// - Parameter kind: what the client sent; gRPC-Web clients take the status from the head as well.
    public static func writeTrailersOnly(
        _ status: GRPCStatus, message: UnsafeBufferPointer<UInt8>, kind: GRPCKind,
        _ writer: inout ByteWriter
    ) {
        writer.append("content-type: ")
        writer.append(kind.mediaType)
        writer.append("\r\n")
        writeStatus(status, message: message, &writer)
    }

    /// Writes `grpc-status` and, when the message is not empty, `grpc-message`, as field lines: what
    /// trailers hold.
    public static func writeStatus(
        _ status: GRPCStatus, message: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter
    ) {
        writer.append("grpc-status: ")
        writer.append(decimal: UInt64(status.rawValue))
        writer.append("\r\n")
        guard !message.isEmpty else { return }
        writer.append("grpc-message: ")
        writeEscaped(message, &writer)
        writer.append("\r\n")
    }

    /// Percent-encodes a message: every byte but the visible ones of ASCII, space included and "%" not
    /// ("gRPC over HTTP2", Status-Message). No byte can end the field.
    public static func writeEscaped(_ message: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) {
        for byte in message.prefix(messageBytesMax) {
            if byte >= 0x20 && byte <= 0x7E && byte != UInt8(ascii: "%") {
                writer.append(byte)
            } else {
                writer.append(UInt8(ascii: "%"))
                writer.append(digit(byte >> 4))
                writer.append(digit(byte & 15))
            }
        }
    }

    private static func digit(_ nibble: UInt8) -> UInt8 { nibble < 10 ? 48 + nibble : 55 + nibble }
}

/// What kind of call a content type says a request is.
public enum GRPCKind: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    /// `application/grpc`: for HTTP/2 and trailers.
    case grpc = 1
    /// `application/grpc-web`: trailers within the body, any HTTP version.
    case web
    /// `application/grpc-web-text`: the same in base64.
    case webText

    /// Without the message format behind it.
    public var mediaType: StaticString {
        switch self {
        case .grpc: "application/grpc"
        case .web: "application/grpc-web"
        case .webText: "application/grpc-web-text"
        }
    }
}

/// A content type of the gRPC family: kind and message format ("+proto").
public struct GRPCContentType: Equatable, Sendable, BitwiseCopyable {
    public let kind: GRPCKind
    /// The message format with its "+", relative to the value's first byte; empty for none.
    public let format: ByteRange

    /// Nil for a content type of another family. Parameters do not count.
    public init?(_ value: UnsafeBufferPointer<UInt8>) {
        guard let base = value.baseAddress else { return nil }
        var count = 0
        while count < value.count, base[count] != UInt8(ascii: ";"), base[count] != 0x20, base[count] != 0x09
        {
            count += 1
        }
        var typeCount = 0
        while typeCount < count, base[typeCount] != UInt8(ascii: "+") { typeCount += 1 }
        if equals(base, typeCount, lowercase: "application/grpc") {
            kind = .grpc
        } else if equals(base, typeCount, lowercase: "application/grpc-web") {
            kind = .web
        } else if equals(base, typeCount, lowercase: "application/grpc-web-text") {
            kind = .webText
        } else {
            return nil
        }
        // A "+" with nothing behind it, or more of them, names no format.
        for i in typeCount..<count where i > typeCount && base[i] == UInt8(ascii: "+") { return nil }
        if count - typeCount == 1 { return nil }
        format = ByteRange(typeCount, count - typeCount)
    }

    /// Writes the same content type for another kind: what goes upstream for a gRPC-Web request, what comes
    /// back for its response.
    ///
    /// - Parameter value: what this was made of.
    public func write(
        as kind: GRPCKind, of value: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter
    ) {
        writer.append(kind.mediaType)
        guard let base = value.baseAddress else { return }
        writer.append(format.bytes(in: base))
    }

    /// The kind a gRPC-Web response has to be: what `Accept` names first of the two, else that of the
    /// request.
    public static func responseKind(
        request: GRPCKind, accept: UnsafeBufferPointer<UInt8>
    ) -> GRPCKind {
        guard request != .grpc else { return .grpc }
        var start = 0
        while start < accept.count {
            var end = start
            while end < accept.count, accept[end] != UInt8(ascii: ",") { end += 1 }
            while start < end, accept[start] == 0x20 || accept[start] == 0x09 { start += 1 }
            let element = UnsafeBufferPointer(rebasing: accept[start..<end])
            if let type = GRPCContentType(element), type.kind != .grpc { return type.kind }
            start = end + 1
        }
        return request
    }
}
