// Response heads: as for requests. The first byte of the input chooses the request's method, and what a
// second, lenient reading may overlook: it takes nothing but what is well-formed without that.

import WeirHTTP1
import WeirHTTPModel

private func parse(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ method: WeirHTTPModel.Method, _ limits: HeadLimits,
    allowing quirks: Quirks = []
) -> (HeadResult, ResponseHead, [Field]) {
    let fields = UnsafeMutablePointer<Field>.allocate(capacity: limits.fieldsMax)
    defer { fields.deallocate() }
    var head = ResponseHead()
    let result = withExact(bytes, count) {
        let parser = ResponseParser(limits: limits)
        return quirks.isEmpty
            ? parser.parse($0, count: count, requestMethod: method, fields: fields, into: &head)
            : parser.parseLeniently(
                $0, count: count, requestMethod: method, fields: fields, into: &head, allowing: quirks)
    }
    let used = result == .complete ? Int(head.fieldCount) : 0
    return (result, head, Array(UnsafeBufferPointer(start: fields, count: used)))
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> CInt {
    guard inputCount > 0 else { return 0 }
    let methods: [WeirHTTPModel.Method] = [.get, .head, .connect, .post]
    let method = methods[Int(input[0]) % methods.count]
    let bytes = input + 1
    let count = inputCount - 1
    var limits = HeadLimits()
    limits.bytesMax = 2_048
    limits.fieldsMax = 20
    limits.fieldNameBytesMax = 64
    let (result, head, fields) = parse(bytes, count, method, limits)

    let cuts = count < 64 ? Array(0..<count) : [0, count / 4, count / 2, count - 2, count - 1]
    for cut in cuts {
        let (part, partHead, _) = parse(bytes, cut, method, limits)
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
        require(head.status >= 100 && head.status <= 999, "status")
        for range in [head.reason] + fields.map(\.name) + fields.map(\.value) {
            require(Int(range.end) <= Int(head.byteCount), "range \(range) outside of the head")
        }
        if head.framing == .untilClose { require(!head.allowsKeepAlive, "keep-alive without an end") }
        if head.framing == .length { require(head.hasContentLength, "length without a length") }
        repeatParse(bytes, method, head, fields, limits)
    }
    let quirks = Quirks(rawValue: input[0] >> 2 & 7)
    if !quirks.isEmpty { readLeniently(bytes, count, method, limits, quirks, strictly: result, head) }
    return 0
}

private func readLeniently(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ method: WeirHTTPModel.Method, _ limits: HeadLimits,
    _ quirks: Quirks, strictly strict: HeadResult, _ strictHead: ResponseHead
) {
    let (result, head, fields) = parse(bytes, count, method, limits, allowing: quirks)
    guard case .malformed = strict else {
        require(
            result == strict && head.quirks.isEmpty && head.framing == strictHead.framing
                && head.contentLength == strictHead.contentLength
                && head.allowsKeepAlive == strictHead.allowsKeepAlive, "leniently it is something else")
        return
    }
    if case .malformed(_, let at) = result { require(at >= 0 && at < count, "position \(at) of \(count)") }
    guard result == .complete else { return }
    require(!head.quirks.isEmpty && quirks.isSuperset(of: head.quirks), "taken without a name")
    // Without what was overlooked it is well-formed and says the same.
    var text = Array((head.version == .http11 ? "HTTP/1.1 " : "HTTP/1.0 ").utf8)
    text += Array("\(head.status) ".utf8) + [13, 10]
    var hasLength = false
    for field in fields {
        if field.id == .transferEncoding, head.quirks.contains(.teIdentity) { continue }
        if field.id == .contentLength {
            if hasLength { require(field.isHopByHop, "two lengths go on") }
            if hasLength { continue }
            hasLength = true
        }
        text +=
            Array(field.name.bytes(in: bytes)) + [58, 32] + Array(field.value.bytes(in: bytes)) + [13, 10]
    }
    text += [13, 10]
    var roomy = limits
    roomy.bytesMax = 8_192
    text.withUnsafeBufferPointer { again in
        guard let start = again.baseAddress else { return }
        let (second, secondHead, _) = parse(start, again.count, method, roomy)
        require(
            second == .complete && secondHead.framing == head.framing
                && secondHead.contentLength == head.contentLength
                && secondHead.hasContentLength == head.hasContentLength,
            "without what was overlooked: \(second)")
    }
}

private func repeatParse(
    _ bytes: UnsafePointer<UInt8>, _ method: WeirHTTPModel.Method, _ head: ResponseHead, _ fields: [Field],
    _ limits: HeadLimits
) {
    var text = Array((head.version == .http11 ? "HTTP/1.1 " : "HTTP/1.0 ").utf8)
    text += Array("\(head.status) ".utf8) + Array(head.reason.bytes(in: bytes)) + [13, 10]
    for field in fields {
        text +=
            Array(field.name.bytes(in: bytes)) + [58, 32] + Array(field.value.bytes(in: bytes)) + [13, 10]
    }
    text += [13, 10]
    var roomy = limits
    roomy.bytesMax = 8_192
    text.withUnsafeBufferPointer { again in
        guard let start = again.baseAddress else { return }
        let (result, second, secondFields) = parse(start, again.count, method, roomy)
        require(result == .complete, "written again: \(result)")
        require(
            second.status == head.status && second.version == head.version
                && second.framing == head.framing && second.contentLength == head.contentLength
                && second.hasContentLength == head.hasContentLength
                && second.allowsKeepAlive == head.allowsKeepAlive && second.hasDate == head.hasDate
                && second.keepAliveTimeoutSeconds == head.keepAliveTimeoutSeconds,
            "written again it says something else")
        require(secondFields.count == fields.count, "number of fields")
        for (a, b) in zip(fields, secondFields) {
            require(
                a.id == b.id && a.isHopByHop == b.isHopByHop
                    && Array(a.value.bytes(in: bytes)) == Array(b.value.bytes(in: start)), "field")
        }
    }
}
