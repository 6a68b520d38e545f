// A route's word on compression, and the judgement on one response.
//
// A response is compressed when nobody asked that it be left alone (no-transform, RFC 9111 §5.2.2.6), when
// it has no coding yet, is whole (not a range), is large enough to gain, and is of a type that shrinks.
// A response that carries a digest of its bytes is left alone too: re-coded, the digest would be wrong.
//
// text/event-stream is compressed only when a route names it in full. It could be flushed event by event
// (and then is), but each open stream would hold an encoder, hundreds of KiB for events of a hundred
// bytes; wildcards do not reach it.

import WeirHTTPModel

/// What a route wants compressed, and how. Immutable, shared by workers.
public final class CompressionRule: Sendable {
    /// What is compressed unless a route says otherwise.
    public static let standardTypes = [
        "text/*", "application/json", "application/*+json", "application/javascript", "application/xml",
        "application/*+xml", "application/x-ndjson", "application/wasm", "image/svg+xml", "image/x-icon",
        "font/ttf", "font/otf", "application/vnd.ms-fontobject",
    ]
    /// Below this much, coding costs more than it saves: one packet is one packet.
    public static let standardBytesMin: UInt64 = 1024

    public let order: CodingOrder
    /// Smallest `Content-Length` that is compressed; responses of unknown length always are.
    public let bytesMin: UInt64
    private let types: TypePatterns
    private let gzipLevel: Int
    private let brLevel: Int
    private let zstdLevel: Int

    /// - Parameters:
    ///   - types: `type/subtype`, `type/*`, `type/*+suffix` or `*/*`, any case.
    ///   - levels: by coding; what is missing has its default, what is out of range the nearest level.
    public init(
        order: CodingOrder = .standard, levels: [ContentCoding: Int] = [:],
        bytesMin: UInt64 = CompressionRule.standardBytesMin,
        types: [String] = CompressionRule.standardTypes
    ) {
        func level(_ coding: ContentCoding) -> Int {
            let wanted = levels[coding] ?? coding.defaultLevel
            return min(max(wanted, coding.levels.lowerBound), coding.levels.upperBound)
        }
        self.order = order
        self.bytesMin = bytesMin
        self.types = TypePatterns(types)
        gzipLevel = level(.gzip)
        brLevel = level(.br)
        zstdLevel = level(.zstd)
    }

    public func level(of coding: ContentCoding) -> Int {
        switch coding {
        case .gzip: gzipLevel
        case .br: brLevel
        case .zstd: zstdLevel
        }
    }

    /// What is to be done with a response. One pass over the fields of each head, no allocation.
    ///
    /// - Parameters:
    ///   - request: the request as the client sent it.
    ///   - head: the final response head as the endpoint sent it, framing included.
    ///   - fields: its field table; `base` is what the ranges are relative to.
    public func decide(
        request: RequestView, head: ResponseHead, fields: UnsafePointer<Field>, base: UnsafePointer<UInt8>
    ) -> CompressionDecision {
        if head.status == 304 { return revalidated(request, head, fields, base) }
        guard Self.hasWholeContent(head.status) else { return .pass }
        if head.hasContentLength && head.contentLength < bytesMin { return .pass }
        var type: UnsafeBufferPointer<UInt8>?
        for i in 0..<Int(head.fieldCount) {
            let field = fields[i]
            switch field.id {
            case .contentType:
                type = field.value.bytes(in: base)
            case .contentEncoding, .contentRange:
                return .pass
            case .cacheControl:
                if Self.isLeftAlone(by: field.value.bytes(in: base)) { return .pass }
            case .other:
                if isDigestField(base + Int(field.nameOffset), Int(field.nameCount)) { return .pass }
            default:
                break
            }
        }
        guard let type, types.match(type), let accepted = accepted(by: request) else { return .pass }
        // A body that is not sent is not compressed, and its fields stay those of the plain response.
        let isEmpty = head.framing == .none || (head.hasContentLength && head.contentLength == 0)
        guard request.head.pointee.method != .head, !isEmpty, let coding = accepted.choice(among: order)
        else {
            return CompressionDecision(varies: true)
        }
        return CompressionDecision(
            coding: coding,
            // Whoever sends without saying how much may be sending as things happen.
            flushesWhenIdle: head.framing != .length)
    }

    /// What is to be done with content of our own: a file, or a response from the configuration.
    ///
    /// HEAD is answered with what GET would say, and so is a 304 with `status` 200: the tag a client gets
    /// is the one of the content it would get (RFC 9110 §9.3.2, §15.4.5).
    ///
    /// - Parameters:
    ///   - type: the value of Content-Type.
    ///   - byteCount: bytes of the content.
    ///   - cacheControl: the value of Cache-Control, if it has one.
    public func decide(
        request: RequestView, status: UInt16, type: UnsafeBufferPointer<UInt8>, byteCount: UInt64,
        cacheControl: UnsafeBufferPointer<UInt8>? = nil
    ) -> CompressionDecision {
        guard Self.hasWholeContent(status), status != 304, byteCount >= bytesMin, types.match(type),
            !(cacheControl.map(Self.isLeftAlone) ?? false),
            let accepted = accepted(by: request)
        else { return .pass }
        return CompressionDecision(coding: byteCount == 0 ? nil : accepted.choice(among: order))
    }

    /// Whether a Cache-Control forbids to change the content (RFC 9111 §5.2.1.6, §5.2.2.6).
    public static func isLeftAlone(by cacheControl: UnsafeBufferPointer<UInt8>) -> Bool {
        ListValue(cacheControl).contains("no-transform")
    }

    /// What a client takes; nil when it wants nothing transformed (RFC 9111 §5.2.1.6).
    private func accepted(by request: RequestView) -> AcceptedCodings? {
        var accepted = AcceptedCodings()
        for i in 0..<Int(request.head.pointee.fieldCount) {
            let field = request.fields[i]
            switch field.id {
            case .acceptEncoding:
                accepted.add(field.value.bytes(in: request.bytes))
            case .cacheControl:
                if Self.isLeftAlone(by: field.value.bytes(in: request.bytes)) { return nil }
            default:
                break
            }
        }
        return accepted
    }

    /// A 304 says what the 200 it stands for would have said (RFC 9110 §15.4.5). What the client keeps
    /// may be our coding with its weak tag, so a strong tag goes back as the client knows it: a cache must
    /// not freshen a response with another strong tag (RFC 9111 §4.3.4).
    private func revalidated(
        _ request: RequestView, _ head: ResponseHead, _ fields: UnsafePointer<Field>,
        _ base: UnsafePointer<UInt8>
    ) -> CompressionDecision {
        var decision = CompressionDecision(varies: true)
        for i in 0..<Int(head.fieldCount) where fields[i].id == .etag {
            let tag = fields[i].value.bytes(in: base)
            guard EntityTag.isStrong(tag) else { break }
            for j in 0..<Int(request.head.pointee.fieldCount) where request.fields[j].id == .ifNoneMatch {
                let known = request.fields[j].value.bytes(in: request.bytes)
                if EntityTag.list(known, containsWeak: tag) { decision.weakensTag = true }
            }
        }
        return decision
    }

    /// Statuses whose content is the whole of something.
    private static func hasWholeContent(_ status: UInt16) -> Bool {
        status >= 200 && status != 204 && status != 205 && status != 206
    }
}
