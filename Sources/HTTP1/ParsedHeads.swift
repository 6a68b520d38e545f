// Parsing without pointers: bytes in, values out. Every result owns what it says.

import WeirHTTPModel

/// What the bytes received so far mean.
public enum ParsedHead<Head: Sendable>: Sendable {
    /// The beginning of a head that may become valid: call again with more.
    case incomplete
    case complete(Head)
    /// `at` is the offending byte.
    case malformed(Violation, at: Int)
    case tooLarge(HeadLimit)
}

extension RequestParser {
    /// Parses the head that begins at the first of these bytes; more than the head may be there.
    public func parse(_ bytes: borrowing Span<UInt8>) -> ParsedHead<OwnedRequestHead> {
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress, !bytes.isEmpty else { return .incomplete }
            var head = RequestHead()
            return limits.parsed(bytes) { fields in
                parse(base, count: bytes.count, fields: fields, into: &head)
            } complete: { fields in
                OwnedRequestHead(bytes: Array(bytes.prefix(Int(head.byteCount))), head: head, fields: fields)
            } fieldCount: {
                Int(head.fieldCount)
            }
        }
    }

    public func parse(_ bytes: [UInt8]) -> ParsedHead<OwnedRequestHead> { parse(bytes.span) }
}

extension ResponseParser {
    /// Parses the head that begins at the first of these bytes; more than the head may be there.
    /// - Parameter method: of the request that is answered: it decides whether there is a body.
    public func parse(_ bytes: borrowing Span<UInt8>, to method: Method) -> ParsedHead<OwnedResponseHead> {
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress, !bytes.isEmpty else { return .incomplete }
            var head = ResponseHead()
            return limits.parsed(bytes) { fields in
                parse(base, count: bytes.count, requestMethod: method, fields: fields, into: &head)
            } complete: { fields in
                OwnedResponseHead(bytes: Array(bytes.prefix(Int(head.byteCount))), head: head, fields: fields)
            } fieldCount: {
                Int(head.fieldCount)
            }
        }
    }

    public func parse(_ bytes: [UInt8], to method: Method) -> ParsedHead<OwnedResponseHead> {
        parse(bytes.span, to: method)
    }
}

extension HeadLimits {
    /// Parses with room for as many fields as there may be.
    fileprivate func parsed<Head>(
        _ bytes: UnsafeBufferPointer<UInt8>, _ parse: (UnsafeMutablePointer<Field>) -> HeadResult,
        complete: ([Field]) -> Head, fieldCount: () -> Int
    ) -> ParsedHead<Head> {
        withUnsafeTemporaryAllocation(of: Field.self, capacity: max(1, fieldsMax)) { room in
            guard let fields = room.baseAddress else { return .tooLarge(.fields) }
            switch parse(fields) {
            case .incomplete: return .incomplete
            case .complete: return .complete(complete(Array(room.prefix(fieldCount()))))
            case .malformed(let violation, let at): return .malformed(violation, at: at)
            case .tooLarge(let limit): return .tooLarge(limit)
            }
        }
    }
}

extension ChunkedDecoder {
    /// How far a body has come.
    public enum Progress: Equatable, Sendable {
        /// All bytes are taken; more have to come.
        case needMore
        /// The body has ended; so many of the bytes belonged to it.
        case end(consumed: Int)
        case malformed(Violation, at: Int)
    }

    /// Takes what has arrived, and appends what it holds of the body.
    public mutating func decode(_ bytes: borrowing Span<UInt8>, into body: inout [UInt8]) -> Progress {
        bytes.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return .needMore }
            var cursor = 0
            while true {
                switch next(base, count: bytes.count, at: &cursor) {
                case .data(let offset, let count):
                    body.append(contentsOf: UnsafeBufferPointer(start: base + offset, count: count))
                case .needMore: return .needMore
                case .end: return .end(consumed: cursor)
                case .malformed(let violation, let at): return .malformed(violation, at: at)
                }
            }
        }
    }

    public mutating func decode(_ bytes: [UInt8], into body: inout [UInt8]) -> Progress {
        decode(bytes.span, into: &body)
    }

    /// The trailer fields, from the end of the body on.
    public var trailers: [HeadField] {
        withTrailers { bytes, fields in
            fields.map { field in
                HeadField(
                    name: String(
                        decoding: bytes[Int(field.name.offset)..<Int(field.name.end)], as: UTF8.self),
                    value: Array(bytes[Int(field.value.offset)..<Int(field.value.end)]))
            }
        }
    }
}
