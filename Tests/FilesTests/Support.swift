// Texts as the byte runs the module takes, in memory of exactly their length.

import WeirHTTP1
import WeirHTTPModel

@testable import WeirFiles

func withBytes<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    defer { memory.deallocate() }
    _ = memory.initialize(from: text.utf8)
    return body(UnsafeBufferPointer(memory))
}

func text(_ bytes: UnsafeBufferPointer<UInt8>?) -> String? {
    bytes.map { String(decoding: $0, as: UTF8.self) }
}

/// A tag as it is sent.
func tag(_ size: UInt64, _ modifiedNs: Int64, _ coding: ContentCoding? = nil) -> String {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: EntityTag.bytesMax) { room in
        guard let start = room.baseAddress else { return "" }
        var writer = ByteWriter(start, capacity: room.count)
        EntityTag.write(size: size, modifiedNs: modifiedNs, coding: coding, into: &writer)
        return writer.overflowed
            ? "" : String(decoding: UnsafeBufferPointer(start: start, count: writer.count), as: UTF8.self)
    }
}

/// What a request with these fields is answered with; the spans come with it.
func decide(
    _ fields: [String], method: String = "GET", size: UInt64 = 1000, modifiedNs: Int64 = modified,
    now: Int64 = now
) -> (FileDecision, [ByteSpan]) {
    let request = ("\(method) / HTTP/1.1\r\nhost: x\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n")
    let table = UnsafeMutablePointer<Field>.allocate(capacity: 64)
    let spans = UnsafeMutablePointer<ByteSpan>.allocate(capacity: ByteRanges.partsMax)
    defer {
        table.deallocate()
        spans.deallocate()
    }
    var head = RequestHead()
    return withBytes(request) { bytes in
        guard let base = bytes.baseAddress,
            RequestParser(limits: HeadLimits()).parse(base, count: bytes.count, fields: table, into: &head)
                == .complete
        else { return (.whole, [ByteSpan(first: .max, count: 0)]) }
        return withBytes(tag(size, modifiedNs)) { tag in
            let decision = withUnsafePointer(to: head) {
                FileDecision.make(
                    RequestView(bytes: base, head: $0, fields: table),
                    FileFacts(size: size, modifiedNs: modifiedNs), tag: tag, now: now, spans: spans)
            }
            guard case .spans(let count) = decision else { return (decision, []) }
            return (decision, (0..<count).map { spans[$0] })
        }
    }
}

/// Sun, 06 Nov 1994 08:49:37 GMT and a bit.
let modified: Int64 = 784_111_777_123_456_789
/// An hour later.
let now: Int64 = 784_115_377
