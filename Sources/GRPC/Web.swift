// gRPC-Web ↔ gRPC ("gRPC Web", protocol differences).
//
//     request    messages                     ──────▶  messages
//                messages in base64           ──────▶  messages
//     response   messages, trailers           ──────▶  messages, frame 0x80 with the trailers
//                                             ──────▶  the same in base64
//
// Requests are held to their framing before they reach an endpoint: base64 that is whole, messages that
// are whole, no trailer frame. Responses are trusted as far as every response is.

import WeirHTTPModel

/// What is wrong with a gRPC-Web request body.
public enum GRPCWebError: UInt8, Error, Sendable, CaseIterable, BitwiseCopyable {
    /// Not base64, or it ends within a quantum.
    case base64Malformed = 1
    /// A frame that is no message.
    case frameInvalid
    /// The body ends within a message.
    case truncated

    public var text: StaticString {
        switch self {
        case .base64Malformed: "the body is not base64"
        case .frameInvalid: "a frame of the body is not a message"
        case .truncated: "the body ends within a message"
        }
    }
}

/// The body of a gRPC-Web request on its way to an endpoint. Plain data, one per request.
public struct GRPCWebRequestDecoder: Sendable, BitwiseCopyable {
    private let isText: Bool
    private var base64 = Base64Decoder()
    private var frames = FrameScanner()
    /// What was wrong; set once.
    public private(set) var error: GRPCWebError?

    /// - Parameter kind: `.web` or `.webText`.
    public init(_ kind: GRPCKind) { isText = kind == .webText }

    /// Whole messages that have passed.
    public var messages: UInt64 { frames.messages }

    /// The room `decode` needs at most for a block, in bytes.
    public static func room(for count: Int) -> Int { Base64Decoder.room(for: count) }

    /// Turns a block into what the endpoint gets.
    ///
    /// - Parameter output: room for `room(for: count)` bytes, apart from the input; used for text only.
    /// - Returns: the endpoint's bytes, in the input or the output; nil when something is wrong (`error`).
    public mutating func decode(
        _ input: UnsafePointer<UInt8>, _ count: Int, into output: UnsafeMutablePointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8>? {
        if error != nil { return nil }
        var decoded = UnsafeBufferPointer(start: input, count: count)
        if isText {
            guard let produced = base64.decode(input, count, into: output) else {
                error = .base64Malformed
                return nil
            }
            decoded = UnsafeBufferPointer(start: output, count: produced)
        }
        if frames.scan(decoded.baseAddress ?? input, decoded.count) != nil {
            error = .frameInvalid
            return nil
        }
        return decoded
    }

    /// The body has ended: nil when it was whole.
    public mutating func finish() -> GRPCWebError? {
        if error == nil {
            if isText && !base64.isAtBoundary {
                error = .base64Malformed
            } else if frames.finish() != nil {
                error = .truncated
            }
        }
        return error
    }
}

/// The body of a gRPC response on its way to a gRPC-Web client. Plain data, one per response.
public struct GRPCWebResponseEncoder: Sendable, BitwiseCopyable {
    /// Flag of the frame that holds the trailers.
    public static let trailerFlag: UInt8 = 0x80
    /// Bytes of a frame before what it holds.
    public static let frameHeaderBytes = 5

    private let isText: Bool
    private var base64 = Base64Encoder()

    /// - Parameter kind: `.web` or `.webText`.
    public init(_ kind: GRPCKind) { isText = kind == .webText }

    /// The room `encode` needs at most for a block, in bytes.
    public static func room(for count: Int) -> Int { Base64Encoder.room(for: count) }

    /// Encodes a block of messages.
    ///
    /// - Parameters:
    ///   - output: room for `room(for: count)` bytes, apart from the input; used for text only.
    ///   - flush: nothing more is there at the moment: everything given so far has to be readable.
    /// - Returns: the client's bytes, in the input or the output.
    public mutating func encode(
        _ input: UnsafePointer<UInt8>, _ count: Int, into output: UnsafeMutablePointer<UInt8>, flush: Bool
    ) -> UnsafeBufferPointer<UInt8> {
        guard isText else { return UnsafeBufferPointer(start: input, count: count) }
        var produced = base64.encode(input, count, into: output)
        if flush { produced += base64.flush(into: output + produced) }
        return UnsafeBufferPointer(start: output, count: produced)
    }

    /// Writes the frame that ends a response, from the trailers of the endpoint.
    ///
    /// - Parameter lines: `name: value` CR LF each, names in lower case, as HTTP/2 has them.
    public mutating func writeTrailers(_ lines: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) {
        writeFrame(&writer) { $0.append(lines) }
    }

    /// Writes the frame that ends a response of which the endpoint left no trailers.
    public mutating func writeStatus(
        _ status: GRPCStatus, message: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter
    ) {
        writeFrame(&writer) { GRPCFields.writeStatus(status, message: message, &$0) }
    }

    private mutating func writeFrame(_ writer: inout ByteWriter, _ fill: (inout ByteWriter) -> Void) {
        let start = writer.count
        let frame = writer.base + start
        writer.skip(Self.frameHeaderBytes)
        fill(&writer)
        if writer.overflowed { return }
        let count = writer.count - start
        frame[0] = Self.trailerFlag
        for i in 0..<4 {
            frame[1 + i] = UInt8(truncatingIfNeeded: (count - Self.frameHeaderBytes) >> (24 - 8 * i))
        }
        guard isText else { return }
        // The frame moves to the end of the room its text needs, and the text is written from the start:
        // it is a third longer, so it reaches no byte that was not read.
        let room = Self.room(for: count)
        let shift = room - count
        writer.skip(shift)
        if writer.overflowed { return }
        (frame + shift).update(from: frame, count: count)
        var produced = base64.encode(frame + shift, count, into: frame)
        produced += base64.flush(into: frame + produced)
        writer.drop(room - produced)
    }
}
