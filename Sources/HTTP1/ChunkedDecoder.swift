// The chunked transfer coding (RFC 9112 §7.1), decoded where the bytes lie.
//
// Strict in everything that has been used to make two readers see different ends of a body: sizes are
// 1 to 15 hexadecimal digits with nothing around them, line ends are CRLF, extensions follow the
// grammar without optional whitespace and are dropped, never forwarded. Blanks behind a size are taken
// from peers of which that is expected, and from no others. Bounded where a peer could
// make work out of nothing: extension length, the overhead of tiny chunks, the trailer section.
// Bytes may be split anywhere. A body without trailers allocates nothing.

import WeirHTTPModel

/// What a `ChunkedDecoder` found next.
public enum ChunkStep: Equatable, Sendable, BitwiseCopyable {
    /// Body data: `count` bytes at `offset` of the bytes given; the cursor is behind them.
    case data(offset: Int, count: Int)
    /// All bytes given are consumed and the body is not at its end.
    case needMore
    /// The body is at its end; the cursor is at the first byte behind it.
    case end
    /// The coding is malformed; nothing more can be read from the connection. `at` is the offset of
    /// the offending byte in the bytes given (0 when it lies in bytes given earlier).
    case malformed(Violation, at: Int)
}

/// Takes the chunked coding off a body, at whatever boundaries its bytes arrive.
///
/// Call `next` until it answers something else than `.data`; after `.needMore` go on with the bytes
/// that follow. After `.end` or `.malformed` the same answer is given again.
public struct ChunkedDecoder: Sendable {
    /// Most bytes of extensions in one chunk.
    public static var extensionBytesMax: Int { 256 }
    /// Most bytes of the trailer section, its final empty line included.
    public static var trailerBytesMax: Int { 8_192 }
    /// Most trailer fields.
    public static var trailerFieldsMax: Int { 50 }
    /// How far the bytes around the data may get ahead of 16 bytes plus twice the data per chunk.
    static var overheadBytesMax: Int { 16_384 }

    private enum State: UInt8 {
        case sizeStart, size, sizePadding, extensionName, extensionNameRest, extensionValue, extensionToken
        case extensionQuoted, extensionEscape, extensionEnd, sizeLF, data, dataCR, dataLF, trailerStart
        case trailers, end, malformed
    }

    private var state = State.sizeStart
    private var violation = Violation.none
    private var sizeDigits: UInt8 = 0
    /// Bytes of extensions in the current chunk.
    private var extensionBytes: UInt16 = 0
    private var overheadBytes: Int32 = 0
    private var size: UInt64 = 0
    /// Start of the trailer line that is being collected, in `trailerBytes`.
    private var trailerLineStart: Int32 = 0

    /// Data bytes of the current chunk that are still to come; 0 outside of data.
    public var remainingInChunk: UInt64 { state == .data ? size : 0 }

    /// The trailer section as received, its final empty line included; empty when there were no
    /// trailers. Ranges of `trailerFields` are relative to its first byte.
    public private(set) var trailerBytes: [UInt8] = []
    /// The trailer fields, valid from `.end` on. Those that a recipient must not merge into the head
    /// (authentication, routing, request modifiers, content format: RFC 9110 §6.5.1) are marked
    /// hop-by-hop, so that a forwarder drops them.
    public private(set) var trailerFields: [Field] = []

    /// Whether a trailer section with fields came with the end.
    public var hasTrailers: Bool { !trailerFields.isEmpty }

    /// What had to be overlooked so far.
    public private(set) var quirks: Quirks = []
    private let allowed: Quirks

    /// - Parameter quirks: of the peer, to be overlooked.
    public init(allowing quirks: Quirks = []) { allowed = quirks }

    /// The next step from `cursor` on, which is moved behind what was consumed.
    ///
    /// - Parameter count: number of bytes at `bytes`; the cursor is within 0…count.
    public mutating func next(
        _ bytes: UnsafePointer<UInt8>, count: Int, at cursor: inout Int
    ) -> ChunkStep {
        while cursor < count {
            let byte = bytes[cursor]
            switch state {
            case .data:
                let available = min(size, UInt64(count &- cursor))
                let step = ChunkStep.data(offset: cursor, count: Int(available))
                cursor &+= Int(available)
                size &-= available
                if size == 0 { state = .dataCR }
                return step
            case .sizePadding:
                guard paddingByte(byte) else { return malformed(at: cursor) }
            case .sizeStart, .size:
                guard sizeByte(byte) else { return malformed(at: cursor) }
            case .sizeLF:
                guard byte == UInt8(ascii: "\n") else { return malformed(.chunkLineEndMalformed, at: cursor) }
                guard endSizeLine() else { return malformed(at: cursor) }
            case .dataCR:
                guard byte == UInt8(ascii: "\r") else { return malformed(.chunkDataEndMalformed, at: cursor) }
                state = .dataLF
            case .dataLF:
                guard byte == UInt8(ascii: "\n") else { return malformed(.chunkDataEndMalformed, at: cursor) }
                state = .sizeStart
            case .extensionName, .extensionNameRest, .extensionValue, .extensionToken, .extensionQuoted,
                .extensionEscape, .extensionEnd:
                guard extensionByte(byte) else { return malformed(at: cursor) }
            case .trailerStart:
                if byte == UInt8(ascii: "\r"), cursor &+ 1 < count, bytes[cursor &+ 1] == UInt8(ascii: "\n") {
                    // No trailers, the usual case: nothing was collected.
                    cursor &+= 2
                    state = .end
                    return .end
                }
                state = .trailers
                continue
            case .trailers:
                return collectTrailers(bytes, count, &cursor)
            case .end:
                return .end
            case .malformed:
                return .malformed(violation, at: cursor)
            }
            cursor &+= 1
        }
        switch state {
        case .end: return .end
        case .malformed: return .malformed(violation, at: count)
        default: return .needMore
        }
    }

    /// Accounts for data of the current chunk that was moved without passing through `next`.
    ///
    /// - Parameter count: at most `remainingInChunk`.
    public mutating func consumedDirectly(_ count: Int) {
        precondition(state == .data && count >= 0 && UInt64(count) <= size)
        size &-= UInt64(count)
        if size == 0 { state = .dataCR }
    }

    /// Gives the trailer section to `body` without copying it.
    public func withTrailers<Result>(
        _ body: (UnsafeBufferPointer<UInt8>, UnsafeBufferPointer<Field>) -> Result
    ) -> Result {
        trailerBytes.withUnsafeBufferPointer { bytes in
            trailerFields.withUnsafeBufferPointer { body(bytes, $0) }
        }
    }

    // MARK: - Size line

    /// Takes one byte of the size or the byte that ends it; false when it is wrong.
    @inline(__always)
    private mutating func sizeByte(_ byte: UInt8) -> Bool {
        if ByteClass.contains(byte, ByteClass.hexadecimal) {
            if state == .sizeStart {
                state = .size
                size = 0
                sizeDigits = 0
                extensionBytes = 0
            }
            if sizeDigits == 15 { return fails(.chunkSizeTooLarge) }
            sizeDigits &+= 1
            size = size &<< 4 | UInt64(hexadecimalValue(byte))
            return true
        }
        if state == .sizeStart {
            let isLineEnd = byte == UInt8(ascii: "\r") || byte == UInt8(ascii: "\n")
            return fails(isLineEnd || byte == UInt8(ascii: ";") ? .chunkSizeMissing : .chunkSizeInvalid)
        }
        switch byte {
        case UInt8(ascii: "\r"): state = .sizeLF
        case UInt8(ascii: ";"): state = .extensionName
        case UInt8(ascii: "\n"): return fails(.chunkLineEndMalformed)
        default: return paddingByte(byte)
        }
        return true
    }

    /// Takes a byte behind the size that is neither a digit nor its end: padding, where that is allowed, or
    /// what may stand behind padding. It is counted as extensions are.
    @inline(never)
    private mutating func paddingByte(_ byte: UInt8) -> Bool {
        guard allowed.contains(.paddedChunkSize) else { return fails(.chunkSizeInvalid) }
        switch byte {
        case UInt8(ascii: " "), UInt8(ascii: "\t"):
            extensionBytes &+= 1
            if Int(extensionBytes) >= ChunkedDecoder.extensionBytesMax {
                return fails(.chunkExtensionTooLong)
            }
            quirks.insert(.paddedChunkSize)
            state = .sizePadding
        case UInt8(ascii: "\r"): state = .sizeLF
        case UInt8(ascii: ";"): state = .extensionName
        case UInt8(ascii: "\n"): return fails(.chunkLineEndMalformed)
        default: return fails(.chunkSizeInvalid)
        }
        return true
    }

    /// chunk-ext = *( ";" token [ "=" ( token / quoted-string ) ] ), without the whitespace that
    /// RFC 9112 §7.1.1 lets a recipient tolerate.
    private mutating func extensionByte(_ byte: UInt8) -> Bool {
        // The semicolon that led here is counted by ">=", the byte that ends the line is not counted.
        if byte != UInt8(ascii: "\r") {
            extensionBytes &+= 1
            if Int(extensionBytes) >= ChunkedDecoder.extensionBytesMax {
                return fails(.chunkExtensionTooLong)
            }
        }
        let isToken = ByteClass.contains(byte, ByteClass.token)
        switch state {
        case .extensionName where isToken:
            state = .extensionNameRest
        case .extensionValue where isToken:
            state = .extensionToken
        case .extensionNameRest where isToken, .extensionToken where isToken:
            break
        case .extensionNameRest where byte == UInt8(ascii: "="):
            state = .extensionValue
        case .extensionValue where byte == UInt8(ascii: "\""):
            state = .extensionQuoted
        case .extensionQuoted where byte == UInt8(ascii: "\""):
            state = .extensionEnd
        case .extensionQuoted where byte == UInt8(ascii: "\\"):
            state = .extensionEscape
        case .extensionQuoted where ByteClass.contains(byte, ByteClass.quoted):
            break
        case .extensionEscape where byte >= 0x20 && byte != 0x7F || byte == UInt8(ascii: "\t"):
            state = .extensionQuoted
        case .extensionNameRest, .extensionToken, .extensionEnd:
            switch byte {
            case UInt8(ascii: ";"): state = .extensionName
            case UInt8(ascii: "\r"): state = .sizeLF
            case UInt8(ascii: "\n"): return fails(.chunkLineEndMalformed)
            default: return fails(.chunkExtensionMalformed)
            }
        default:
            return fails(.chunkExtensionMalformed)
        }
        return true
    }

    /// Behind the LF of a size line.
    @inline(__always)
    private mutating func endSizeLine() -> Bool {
        if size == 0 {
            state = .trailerStart
            return true
        }
        // A body of one-byte chunks with long extensions costs far more to read than it carries.
        // 4 are the line ends of the size and of the data.
        let overhead = Int(sizeDigits) &+ Int(extensionBytes) &+ 4
        let allowed = 16 &+ Int(min(size, 1 &<< 20)) &* 2
        let sum = max(0, Int(overheadBytes) &+ overhead &- allowed)
        if sum > ChunkedDecoder.overheadBytesMax { return fails(.chunkOverheadExcessive) }
        overheadBytes = Int32(truncatingIfNeeded: sum)
        state = .data
        return true
    }

    // MARK: - Trailers

    /// Collects trailer lines and checks each as soon as it is whole.
    @inline(never)
    private mutating func collectTrailers(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int
    ) -> ChunkStep {
        var limits = HeadLimits()
        limits.fieldNameBytesMax = ChunkedDecoder.trailerBytesMax
        while cursor < count {
            if trailerBytes.count == ChunkedDecoder.trailerBytesMax {
                return malformed(.trailersTooLarge, at: cursor)
            }
            let byte = bytes[cursor]
            trailerBytes.append(byte)
            cursor &+= 1
            if byte != UInt8(ascii: "\n") { continue }
            switch readTrailerLine(limits) {
            case .complete:
                if trailerFields.isEmpty { trailerBytes = [] }
                state = .end
                return .end
            case .incomplete:
                trailerLineStart = Int32(truncatingIfNeeded: trailerBytes.count)
            case .malformed(let violation, let at):
                return malformed(violation, at: max(0, cursor &- (trailerBytes.count &- at)))
            case .tooLarge:
                return malformed(.trailersTooLarge, at: cursor &- 1)
            }
        }
        return .needMore
    }

    /// Reads the line that ends `trailerBytes`: `.complete` when it is the empty line, `.incomplete`
    /// when it is a field.
    private mutating func readTrailerLine(_ limits: HeadLimits) -> HeadResult {
        var cursor = Int(trailerLineStart)
        let isFirst = trailerFields.isEmpty
        var field = Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other)
        let answer: HeadResult = trailerBytes.withUnsafeBufferPointer { line in
            guard let start = line.baseAddress else { return .incomplete }
            do throws(HeadStop) {
                let isField = try readFieldLine(
                    start, &cursor, end: line.count, isFirst: isFirst, limits: limits, &field)
                return isField ? .incomplete : .complete
            } catch {
                // A line that ends with LF cannot be incomplete: it is malformed or too large.
                return error.result
            }
        }
        guard answer == .incomplete else { return answer }
        switch ChunkedDecoder.trailerRule(field.id) {
        case .keep: break
        case .drop: field.isHopByHop = true
        case .refuse: return .malformed(.trailerForbidden, at: Int(field.nameOffset))
        }
        if trailerFields.count == ChunkedDecoder.trailerFieldsMax { return .tooLarge(.fields) }
        trailerFields.append(field)
        return .incomplete
    }

    /// Of the fields known by number only those that make sense at the end of a message are kept;
    /// unknown ones (checksums, grpc-status) always are.
    static func trailerRule(_ id: FieldID) -> FieldFate {
        switch id {
        // Whoever merges these into the head changes the message's end or its destination.
        case .host, .contentLength, .transferEncoding: .refuse
        case .other, .etag, .lastModified, .proxyStatus, .server, .xRequestID: .keep
        default: .drop
        }
    }

    // MARK: - Errors

    @inline(__always)
    private mutating func fails(_ violation: Violation) -> Bool {
        self.violation = violation
        return false
    }

    private mutating func malformed(_ violation: Violation, at offset: Int) -> ChunkStep {
        self.violation = violation
        return malformed(at: offset)
    }

    private mutating func malformed(at offset: Int) -> ChunkStep {
        state = .malformed
        return .malformed(violation, at: offset)
    }
}
