// The messages of the gRPC health protocol (grpc.health.v1.Health), for a checker.
//
// Weir asks nobody yet: its own probes of endpoints will (TODO(#9)). Until then these are for other programs.
//
//     message HealthCheckRequest  { string service = 1; }
//     message HealthCheckResponse { ServingStatus status = 1; }
//
// Two messages with one field each need no protobuf library: a field is a key (number and wire type) and
// a value, and what is not known is skipped. Limits: names of 1 KiB, messages of 4 KiB.

import WeirHTTPModel

/// Reading and writing health checks.
public enum GRPCHealth {
    /// The path of the unary call, for POST.
    public static let path: StaticString = "/grpc.health.v1.Health/Check"
    public static let serviceBytesMax = 1024
    public static let messageBytesMax = 4096

    /// What a server says about a service. A status this version does not know is `unknown`.
    public enum ServingStatus: UInt8, Sendable, CaseIterable, BitwiseCopyable {
        case unknown = 0
        case serving, notServing, serviceUnknown
    }

    /// Writes the body of a check: one message with its prefix.
    ///
    /// - Parameter service: at most `serviceBytesMax` bytes; empty asks for the server as a whole.
    public static func writeRequest(service: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) {
        precondition(service.count <= serviceBytesMax)
        let lengthBytes = service.count < 128 ? 1 : 2
        writePrefix(service.isEmpty ? 0 : 1 + lengthBytes + service.count, &writer)
        guard !service.isEmpty else { return }
        writer.append(0x0A)
        writeVarint(UInt64(service.count), &writer)
        writer.append(service)
    }

    /// Writes the body of an answer: one message with its prefix.
    public static func writeResponse(_ status: ServingStatus, _ writer: inout ByteWriter) {
        // Proto 3 leaves out what has its default.
        writePrefix(status == .unknown ? 0 : 2, &writer)
        guard status != .unknown else { return }
        writer.append(0x08)
        writer.append(status.rawValue)
    }

    /// The status in the body of an answer: exactly one message, not compressed. Nil when it is malformed.
    public static func readResponse(_ body: UnsafeBufferPointer<UInt8>) -> ServingStatus? {
        guard var message = ProtobufReader(body: body) else { return nil }
        var status = ServingStatus.unknown
        while let field = message.next() {
            // The last of several counts; a value out of the enum is kept as unknown.
            if field.number == 1 {
                guard field.isVarint else { return nil }
                status = ServingStatus(rawValue: UInt8(clamping: field.value)) ?? .unknown
            }
        }
        return message.isMalformed ? nil : status
    }

    /// The service named in the body of a check, relative to its first byte: empty for the server as a
    /// whole. Nil when the body is malformed.
    public static func readRequest(_ body: UnsafeBufferPointer<UInt8>) -> ByteRange? {
        guard var message = ProtobufReader(body: body) else { return nil }
        var service = ByteRange.empty
        while let field = message.next() {
            if field.number == 1 {
                guard !field.isVarint, field.range.count <= UInt32(serviceBytesMax) else { return nil }
                service = field.range
            }
        }
        return message.isMalformed ? nil : service
    }

    private static func writePrefix(_ count: Int, _ writer: inout ByteWriter) {
        writer.append(0)
        for i in 0..<4 { writer.append(UInt8(truncatingIfNeeded: count >> (24 - 8 * i))) }
    }

    private static func writeVarint(_ value: UInt64, _ writer: inout ByteWriter) {
        var rest = value
        while rest >= 128 {
            writer.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        writer.append(UInt8(truncatingIfNeeded: rest))
    }
}

/// Reads the fields of one protobuf message that stands alone in a gRPC body.
private struct ProtobufReader {
    struct Field {
        var number: UInt64
        var isVarint: Bool
        /// Of a varint.
        var value: UInt64 = 0
        /// Of a length-delimited or fixed field, relative to the body.
        var range = ByteRange.empty
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private var cursor = 5
    private(set) var isMalformed = false

    /// Nil unless the body is one uncompressed message of at most `messageBytesMax`.
    init?(body: UnsafeBufferPointer<UInt8>) {
        guard body.count >= 5, body.count <= 5 + GRPCHealth.messageBytesMax, body[0] == 0 else { return nil }
        var count = 0
        for i in 1...4 { count = count << 8 | Int(body[i]) }
        guard count == body.count - 5 else { return nil }
        bytes = body
    }

    /// The next field; nil at the end and when it is malformed.
    mutating func next() -> Field? {
        guard cursor < bytes.count, !isMalformed else { return nil }
        guard let key = varint(), key >> 3 > 0, key >> 3 < 1 << 29 else { return fail() }
        switch key & 7 {
        case 0:
            guard let value = varint() else { return fail() }
            return Field(number: key >> 3, isVarint: true, value: value)
        case 1: return run(key, 8)
        case 2:
            guard let count = varint() else { return fail() }
            return run(key, count)
        case 5: return run(key, 4)
        default: return fail()
        }
    }

    private mutating func run(_ key: UInt64, _ count: UInt64) -> Field? {
        guard count <= UInt64(bytes.count - cursor) else { return fail() }
        let range = ByteRange(cursor, Int(count))
        cursor += Int(count)
        return Field(number: key >> 3, isVarint: false, range: range)
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while cursor < bytes.count, shift < 64 {
            let byte = bytes[cursor]
            cursor += 1
            if shift == 63, byte > 1 { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 128 { return value }
            shift += 7
        }
        return nil
    }

    private mutating func fail() -> Field? {
        isMalformed = true
        return nil
    }
}
