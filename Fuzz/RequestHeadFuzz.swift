// Request heads: the answer points inside the bytes, does not depend on how they arrive, and what is
// accepted says the same when it is written again and read again.

import WeirHTTP1
import WeirHTTPModel

private func parse(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ limits: HeadLimits
) -> (HeadResult, RequestHead, [Field]) {
    let fields = UnsafeMutablePointer<Field>.allocate(capacity: limits.fieldsMax)
    defer { fields.deallocate() }
    var head = RequestHead()
    let result = withExact(bytes, count) {
        RequestParser(limits: limits).parse($0, count: count, fields: fields, into: &head)
    }
    let used = result == .complete ? Int(head.fieldCount) : 0
    return (result, head, Array(UnsafeBufferPointer(start: fields, count: used)))
}

private func slice(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange) -> [UInt8] {
    Array(range.bytes(in: bytes))
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    var limits = HeadLimits()
    // Small inputs should reach the limits too.
    limits.bytesMax = 2_048
    limits.targetBytesMax = 256
    limits.fieldsMax = 20
    limits.fieldNameBytesMax = 64
    let (result, head, fields) = parse(bytes, count, limits)

    // Cutting anywhere gives the same verdict or none.
    let cuts = count < 64 ? Array(0..<count) : [0, count / 4, count / 2, count - 2, count - 1]
    for cut in cuts {
        let (part, partHead, _) = parse(bytes, cut, limits)
        if part == .incomplete { continue }
        require(part == result, "cut at \(cut): \(part), whole: \(result)")
        if part == .complete { require(Int(partHead.byteCount) <= cut, "more bytes than given") }
    }

    switch result {
    case .incomplete:
        require(count < limits.bytesMax, "unbounded")
    case .malformed(let violation, let at):
        require(violation != .none && at >= 0 && at < count, "\(violation) at \(at) of \(count)")
    case .tooLarge:
        break
    case .complete:
        require(Int(head.byteCount) <= min(count, limits.bytesMax), "byteCount")
        for range in [head.methodName, head.target, head.authority, head.host, head.path, head.query]
            + fields.map(\.name) + fields.map(\.value)
        {
            require(Int(range.end) <= Int(head.byteCount), "range \(range) outside of the head")
        }
        repeatParse(bytes, head, fields, limits)
    }
    return 0
}

private func repeatParse(
    _ bytes: UnsafePointer<UInt8>, _ head: RequestHead, _ fields: [Field], _ limits: HeadLimits
) {
    var text = slice(bytes, head.methodName) + [32] + slice(bytes, head.target)
    text += Array(head.version == .http11 ? " HTTP/1.1\r\n".utf8 : " HTTP/1.0\r\n".utf8)
    for field in fields {
        let value = slice(bytes, field.value)
        require(!value.contains { $0 < 32 && $0 != 9 || $0 == 127 }, "control character in a value")
        require(value.first.map { $0 != 32 && $0 != 9 } ?? true, "value begins with whitespace")
        require(value.last.map { $0 != 32 && $0 != 9 } ?? true, "value ends with whitespace")
        text += slice(bytes, field.name) + [58, 32] + value + [13, 10]
    }
    text += [13, 10]
    var roomy = limits
    roomy.bytesMax = 8_192
    text.withUnsafeBufferPointer { again in
        guard let start = again.baseAddress else { return }
        let (result, second, secondFields) = parse(start, again.count, roomy)
        require(result == .complete, "written again: \(result)")
        require(Int(second.byteCount) == again.count, "written again: \(second.byteCount) bytes")
        require(
            second.method == head.method && second.version == head.version
                && second.targetForm == head.targetForm && second.framing == head.framing
                && second.contentLength == head.contentLength
                && second.wantsKeepAlive == head.wantsKeepAlive
                && second.expectsContinue == head.expectsContinue
                && second.wantsUpgrade == head.wantsUpgrade
                && second.acceptsTrailers == head.acceptsTrailers && second.hasQuery == head.hasQuery,
            "written again it says something else")
        require(slice(start, second.authority) == slice(bytes, head.authority), "authority")
        require(slice(start, second.host) == slice(bytes, head.host), "host")
        require(slice(start, second.path) == slice(bytes, head.path), "path")
        require(slice(start, second.query) == slice(bytes, head.query), "query")
        require(secondFields.count == fields.count, "number of fields")
        for (a, b) in zip(fields, secondFields) {
            require(
                a.id == b.id && a.isHopByHop == b.isHopByHop
                    && slice(bytes, a.name) == slice(start, b.name)
                    && slice(bytes, a.value) == slice(start, b.value), "field")
        }
    }
}
