// Which coding a request body is in, and which of its fields end with the coding.
//
// One coding is decoded. Several are as many expansions one behind the other, each of them harmless by
// itself: nobody sends that by accident, and it is refused like a coding nobody here knows (RFC 9110
// §15.5.16). A body that is decoded loses the fields that describe its coded bytes.

import WeirHTTPModel

/// What a request says about the coding of its body (RFC 9110 §8.4).
public enum RequestCoding: Equatable, Sendable, BitwiseCopyable {
    /// None, or `identity`, which is none.
    case none
    case coded(DecodedCoding)
    /// A coding that is not known, or more than one.
    case unsupported

    public init(of request: RequestView) {
        self = .none
        for i in 0..<Int(request.head.pointee.fieldCount) where request.fields[i].id == .contentEncoding {
            add(request.fields[i].value.bytes(in: request.bytes))
        }
    }

    /// What a `415` says in `Accept-Encoding` (RFC 9110 §15.5.16).
    public static let accepted: StaticString = "gzip, br, zstd, deflate"

    /// Adds one field value. Several fields are one list (RFC 9110 §5.3).
    public mutating func add(_ value: UnsafeBufferPointer<UInt8>) {
        guard let base = value.baseAddress else { return }
        var cursor = 0
        while cursor < value.count {
            let start = cursor
            while cursor < value.count, base[cursor] != UInt8(ascii: ",") { cursor += 1 }
            note(base + start, cursor - start)
            cursor += 1
        }
    }

    /// One element of the list, with the blanks around it.
    private mutating func note(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
        var start = bytes
        var count = byteCount
        while count > 0, start[0] == 0x20 || start[0] == 0x09 {
            start += 1
            count -= 1
        }
        while count > 0, start[count - 1] == 0x20 || start[count - 1] == 0x09 { count -= 1 }
        if count == 0 || equals(start, count, lowercase: "identity") { return }
        let coding = DecodedCoding(UnsafeBufferPointer(start: start, count: count))
        switch (self, coding) {
        case (.none, let coding?): self = .coded(coding)
        default: self = .unsupported
        }
    }

    /// Whether a field tells about the bytes of the body as they were coded, and so is wrong for what comes
    /// out: a digest (RFC 9530 and its predecessors).
    public static func describesCodedBytes(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        isDigestField(name, count)
    }
}
