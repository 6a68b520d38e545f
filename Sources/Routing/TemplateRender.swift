// Rendering templates into memory somebody else owns.
//
// Values from the wire are inserted as received (percent-encoding stays). The codec lets no CR, LF or
// NUL pass; a value that has one all the same is left out, so that no header can be split.

import HTTPModel

/// Everything a template can read for one request. Plain pointers, valid as long as the exchange;
/// what is not set renders as nothing.
public struct TemplateContext {
    public var request: RequestView
    public var match: UnsafePointer<RouteMatch>?
    public var captureNames: CaptureNames?
    /// "https" when set, else "http".
    public var isSecure = false
    /// 0 renders as nothing.
    public var clientPort: UInt16 = 0
    public var clientIP = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    public var route = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    public var service = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    public var endpoint = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    public var requestID = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    /// For example 2026-01-31T12:00:00Z.
    public var timeISO = UnsafeBufferPointer<UInt8>(start: nil, count: 0)

    /// nil: the client showed none.
    public var certificate: UnsafePointer<CertificateView>?

    public init(request: RequestView) { self.request = request }
}

extension Template {
    /// Appends the text with its variables replaced. Allocates nothing.
    ///
    /// - Returns: false when a value held CR, LF or NUL and was left out; the result should not be used.
    ///   Running out of room shows in `writer.overflowed`.
    @discardableResult
    public func render(into writer: inout ByteWriter, context: TemplateContext) -> Bool {
        var isClean = true
        var i = 0
        while i < pieces.count {
            let piece = pieces[i]
            i &+= 1
            guard let variable = piece.variable else {
                bytes.withUnsafeBufferPointer { all in
                    if let base = all.baseAddress { writer.append(piece.text.bytes(in: base)) }
                }
                continue
            }
            if !Self.append(variable, piece, bytes, &writer, context) { isClean = false }
        }
        return isClean
    }

    private static func append(
        _ variable: TemplateVariable, _ piece: Piece, _ bytes: [UInt8], _ writer: inout ByteWriter,
        _ context: TemplateContext
    ) -> Bool {
        let request = context.request
        let head = request.head
        switch variable {
        case .method: return put(head.pointee.methodName.bytes(in: request.bytes), &writer)
        case .host: return put(head.pointee.host.bytes(in: request.bytes), &writer)
        case .path: return putPath(request, &writer)
        case .query: return put(head.pointee.query.bytes(in: request.bytes), &writer)
        case .uri:
            guard putPath(request, &writer) else { return false }
            guard head.pointee.hasQuery else { return true }
            writer.append(0x3f)
            return put(head.pointee.query.bytes(in: request.bytes), &writer)
        case .scheme:
            writer.append(context.isSecure ? "https" : "http")
            return true
        case .requestID: return put(context.requestID, &writer)
        case .clientIP: return put(context.clientIP, &writer)
        case .clientPort:
            // A decimal wants room for 20 digits in the writer; a port has at most five.
            if context.clientPort > 0 { putPort(context.clientPort, &writer) }
            return true
        case .route: return put(context.route, &writer)
        case .service: return put(context.service, &writer)
        case .endpoint: return put(context.endpoint, &writer)
        case .timeISO: return put(context.timeISO, &writer)
        case .certificateVerified:
            writer.append(context.certificate == nil ? "false" : "true")
            return true
        case .certificateSubject, .certificateIssuer, .certificateSAN, .certificateFingerprint,
            .certificateSerial:
            guard let certificate = context.certificate, let part = variable.certificatePart else {
                return true
            }
            return put(certificate.pointee[part], &writer)
        case .header, .queryParameter, .cookie, .capture:
            return bytes.withUnsafeBufferPointer { all in
                guard let base = all.baseAddress else { return true }
                let name = piece.text.bytes(in: base)
                switch variable {
                case .header: return put(field(request, piece.id, name), &writer)
                case .queryParameter:
                    return put(request.queryParameter(name) ?? empty, &writer)
                case .cookie: return put(request.cookie(name) ?? empty, &writer)
                default: return put(capture(context, name), &writer)
                }
            }
        }
    }

    private static var empty: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: nil, count: 0) }

    /// The path; "/" for an absolute-form target without one (RFC 9112 §3.2.2).
    private static func putPath(_ request: RequestView, _ writer: inout ByteWriter) -> Bool {
        let head = request.head
        if head.pointee.path.isEmpty, head.pointee.targetForm == .absolute {
            writer.append(0x2f)
            return true
        }
        return put(head.pointee.path.bytes(in: request.bytes), &writer)
    }

    private static func putPort(_ port: UInt16, _ writer: inout ByteWriter) {
        var divisor: UInt16 = 10_000
        while divisor > port { divisor /= 10 }
        while divisor > 0 {
            writer.append(0x30 &+ UInt8(truncatingIfNeeded: port / divisor % 10))
            divisor /= 10
        }
    }

    private static func put(_ value: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) -> Bool {
        var i = 0
        while i < value.count {
            let byte = value[i]
            if byte == 0x0d || byte == 0x0a || byte == 0 { return false }
            i &+= 1
        }
        writer.append(value)
        return true
    }

    private static func field(
        _ request: RequestView, _ id: FieldID, _ name: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8> {
        guard let wanted = name.baseAddress else { return empty }
        var i = 0
        while i < Int(request.head.pointee.fieldCount) {
            let field = request.fields[i]
            i &+= 1
            guard field.id == id else { continue }
            if id != .other
                || Int(field.nameCount) == name.count
                    && isEqual(request.bytes + Int(field.nameOffset), wanted, name.count, folding: true)
            {
                return field.value.bytes(in: request.bytes)
            }
        }
        return empty
    }

    private static func capture(
        _ context: TemplateContext, _ name: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8> {
        guard let match = context.match, let names = context.captureNames else { return empty }
        var i = 0
        while i < Int(match.pointee.captureCount) {
            let capture = match.pointee.captures[i]
            if bytesEqual(names.ranges[Int(capture.name)].bytes(in: names.base), name) {
                return capture.range.bytes(in: context.request.bytes)
            }
            i &+= 1
        }
        return empty
    }
}
