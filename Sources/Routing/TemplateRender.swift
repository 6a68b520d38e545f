// Rendering templates into memory somebody else owns.
//
// Paths and their parts are inserted as they go on (percent-encoding stays, PathForm.swift), parameters of the
// query decoded, fields as they came. A value that has a control character (decoding can bring one in) is left
// out, so that no head can be split.

import WeirExpressions
import WeirHTTPModel

extension Template {
    /// Appends the text with its variables replaced. Allocates nothing.
    ///
    /// - Returns: false when a value held a control character and was left out.
    ///   Running out of room shows in `writer.overflowed`.
    @discardableResult
    public func render(into writer: inout ByteWriter, context: RequestContext) -> Bool {
        var isClean = true
        let start = writer.count
        var i = 0
        // What does not fit any more need not be looked up: a text of many variables and a long value is no work for
        // more than the room it is given.
        while i < pieces.count, !writer.overflowed {
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
        if isPathReference { Self.keepFromNamingAHost(from: start, &writer) }
        return isClean
    }

    /// "//a/b" as a reference names the host "a" (RFC 3986 §4.2), and so does "/\\a" to browsers; "/.//a/b" is
    /// the path "//a/b" (§5.2.4).
    static func keepFromNamingAHost(from start: Int, _ writer: inout ByteWriter) {
        let count = writer.count &- start
        guard count > 1, !writer.overflowed, writer.base[start] == 0x2f,
            writer.base[start &+ 1] == 0x2f || writer.base[start &+ 1] == 0x5c
        else { return }
        writer.append("/.")
        guard !writer.overflowed else { return }
        let base = writer.base + start
        (base + 2).update(from: base, count: count)
        base[1] = 0x2e
    }

    private static func append(
        _ variable: Property, _ piece: Piece, _ bytes: [UInt8], _ writer: inout ByteWriter,
        _ context: RequestContext
    ) -> Bool {
        let request = context.request
        let head = request.head
        let form = piece.form
        switch variable {
        case .method: return put(head.pointee.methodName.bytes(in: request.bytes), form, &writer)
        case .host: return put(context.origin.host.bytes(in: request.bytes), form, &writer)
        case .authority: return put(context.origin.authority.bytes(in: request.bytes), form, &writer)
        case .port:
            let written = context.origin.writtenPort
            if written.isEmpty {
                putNumber(context.origin.impliedPort, &writer)
                return true
            }
            return put(written.bytes(in: request.bytes), form, &writer)
        case .path: return putPath(request, form, &writer)
        case .query: return put(head.pointee.query.bytes(in: request.bytes), form, &writer)
        case .markedQuery: return putQuery(head.pointee, request, form, &writer)
        case .uri:
            return putPath(request, form, &writer) && putQuery(head.pointee, request, form, &writer)
        case .scheme:
            writer.append(context.origin.scheme)
            return true
        case .version:
            writer.append(head.pointee.version.name)
            return true
        case .requestID: return put(context.requestID, form, &writer)
        case .listener: return put(context.listener, form, &writer)
        case .clientIP: return put(context.clientIP, form, &writer)
        case .clientPort:
            // A decimal wants room for 20 digits in the writer; a port has at most five.
            if context.clientPort > 0 { putNumber(context.clientPort, &writer) }
            return true
        case .route: return put(context.route, form, &writer)
        case .service: return put(context.service, form, &writer)
        case .endpoint: return put(context.endpoint, form, &writer)
        case .timeISO: return put(context.timeISO, form, &writer)
        case .certificateVerified:
            writer.append(context.certificate == nil ? "false" : "true")
            return true
        case .certificateSubject, .certificateIssuer, .certificateSAN, .certificateFingerprint,
            .certificateSerial:
            guard let certificate = context.certificate, let part = variable.certificatePart else {
                return true
            }
            return put(certificate.pointee[part], form, &writer)
        case .errorStatus:
            if let error = context.error { putNumber(error.pointee.status, &writer) }
            return true
        case .errorPhrase, .errorReason:
            guard let error = context.error?.pointee else { return true }
            let text = variable == .errorPhrase ? error.phrase : error.reason
            return put(
                UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount), form, &writer)
        // Templates are for what is sent; these are known when all of it is.
        case .attempts, .duration, .bytesIn, .bytesOut, .status: return true
        case .group:
            guard let groups = context.groups else { return true }
            return put(groups.pointee[Int(piece.number)], form, &writer)
        case .header, .queryParameter, .cookie, .capture:
            return bytes.withUnsafeBufferPointer { all in
                guard let base = all.baseAddress else { return true }
                let name = piece.text.bytes(in: base)
                switch variable {
                case .header: return putField(request, piece.id, name, form, &writer)
                case .queryParameter:
                    return put(request.queryParameter(name) ?? empty, form, isEncoded: true, &writer)
                case .cookie: return put(request.cookie(name) ?? empty, form, &writer)
                default: return put(context.capture(name) ?? empty, form, &writer)
                }
            }
        }
    }

    private static var empty: UnsafeBufferPointer<UInt8> { UnsafeBufferPointer(start: nil, count: 0) }

    /// The path; "/" for an absolute-form target without one (RFC 9112 §3.2.2).
    private static func putPath(
        _ request: RequestView, _ form: Form, _ writer: inout ByteWriter
    ) -> Bool {
        let head = request.head
        if head.pointee.path.isEmpty, head.pointee.targetForm == .absolute {
            writer.append(0x2f)
            return true
        }
        return put(head.pointee.path.bytes(in: request.bytes), form, &writer)
    }

    /// A number greater than 0.
    private static func putNumber(_ number: UInt16, _ writer: inout ByteWriter) {
        var divisor: UInt16 = 10_000
        while divisor > number { divisor /= 10 }
        while divisor > 0 {
            writer.append(0x30 &+ UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }

    private static func putQuery(
        _ head: RequestHead, _ request: RequestView, _ form: Form, _ writer: inout ByteWriter
    ) -> Bool {
        guard head.hasQuery else { return true }
        writer.append(0x3f)
        return put(head.query.bytes(in: request.bytes), form, &writer)
    }

    /// One byte of a value, and how many bytes it is spelled with.
    @inline(__always)
    static func octet(
        _ value: UnsafeBufferPointer<UInt8>, _ at: Int, _ isEncoded: Bool
    ) -> (byte: UInt8, read: Int) {
        let byte = value[at]
        guard isEncoded else { return (byte, 1) }
        if byte == 0x2b { return (0x20, 1) }
        guard byte == 0x25, let start = value.baseAddress,
            let decoded = PathForm.escape(start, at, value.count)
        else { return (byte, 1) }
        return (decoded, 3)
    }

    /// Appends a value in a form; all of it or, when it holds a control character, nothing.
    ///
    /// - Parameter isEncoded: it is a parameter of a query, compared (and inserted) decoded.
    private static func put(
        _ value: UnsafeBufferPointer<UInt8>, _ form: Form, isEncoded: Bool = false, _ writer: inout ByteWriter
    ) -> Bool {
        var at = 0
        var dots = 0
        var count = 0
        while at < value.count {
            let (byte, read) = octet(value, at, isEncoded)
            if byte < 0x20 && byte != 0x09 || byte == 0x7f { return false }
            if byte == 0x2e { dots &+= 1 }
            count &+= 1
            at &+= read
        }
        if form == .asItIs && !isEncoded {
            writer.append(value)
            return true
        }
        if form == .html || form == .json {
            putMarked(value, form, isEncoded: isEncoded, &writer)
            return true
        }
        // As a segment of a path it would not be data but a way.
        if form == .escaped, dots == count, count == 1 || count == 2 { return false }
        at = 0
        while at < value.count {
            let (byte, read) = octet(value, at, isEncoded)
            at &+= read
            if stays(byte, form) {
                writer.append(byte)
            } else {
                withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 3) { escape in
                    guard let start = escape.baseAddress else { return }
                    writer.append(start, PathForm.writeEscape(byte, to: start))
                }
            }
        }
        return true
    }

    private static func stays(_ byte: UInt8, _ form: Form) -> Bool {
        switch form {
        case .asItIs, .html, .json: return true
        case .host: return PathForm.isUnreserved(byte)
        case .escaped:
            if PathForm.isUnreserved(byte) { return true }
            switch byte {
            // Sub-delims that separate nothing in paths and queries, and ":" and "@" (RFC 3986 §3.3).
            case 0x21, 0x24, 0x27, 0x28, 0x29, 0x2a, 0x2c, 0x3a, 0x40: return true
            default: return false
            }
        }
    }

    /// All lines of a field, joined as one list (RFC 9110 §5.3); lines of Cookie by "; " (RFC 6265 §5.4).
    private static func putField(
        _ request: RequestView, _ id: FieldID, _ name: UnsafeBufferPointer<UInt8>, _ form: Form,
        _ writer: inout ByteWriter
    ) -> Bool {
        guard let wanted = name.baseAddress else { return true }
        var isClean = true
        var isFirst = true
        var i = 0
        while i < Int(request.head.pointee.fieldCount) {
            let field = request.fields[i]
            i &+= 1
            guard field.id == id else { continue }
            guard
                id != .other
                    || Int(field.nameCount) == name.count
                        && isEqual(request.bytes + Int(field.nameOffset), wanted, name.count, folding: true)
            else { continue }
            if !isFirst {
                let mark: StaticString = id == .cookie ? "; " : ", "
                let text = UnsafeBufferPointer(start: mark.utf8Start, count: mark.utf8CodeUnitCount)
                _ = put(text, form, &writer)
            }
            isFirst = false
            if !put(field.value.bytes(in: request.bytes), form, &writer) { isClean = false }
        }
        return isClean
    }

}
