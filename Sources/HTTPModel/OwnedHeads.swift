// Heads that own their bytes: for programs that do not count every copy.
//
// The data plane works with ranges into memory that somebody else keeps. These are values: what is asked of them is
// text or arrays, and nothing of them can be used after it is gone.

/// A field line as it came: the name's case and the value's bytes are kept.
public struct HeadField: Sendable, Equatable {
    public var name: String
    public var value: [UInt8]
    /// The value as text; bytes that are no UTF-8 are replaced.
    public var text: String { String(decoding: value, as: UTF8.self) }

    public init(name: String, value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// The bytes of a head and where its parts are.
struct OwnedBytes: Sendable {
    var bytes: [UInt8]
    var table: [Field]

    /// Empty for a range that is not within the bytes.
    func array(_ range: ByteRange) -> [UInt8] {
        let end = Int(range.offset) + Int(range.count)
        return end <= bytes.count ? Array(bytes[Int(range.offset)..<end]) : []
    }

    func text(_ range: ByteRange) -> String { String(decoding: array(range), as: UTF8.self) }

    var fields: [HeadField] { table.map { HeadField(name: text($0.name), value: array($0.value)) } }

    /// All lines of one name, joined by ", " (RFC 9110 §5.3).
    func value(of name: String) -> String? {
        let wanted = name.lowercased()
        let lines = table.filter { text($0.name).lowercased() == wanted }.map { text($0.value) }
        return lines.isEmpty ? nil : lines.joined(separator: ", ")
    }
}

/// The head of a request.
public struct OwnedRequestHead: Sendable {
    /// Its plain data: version, framing, what the connection is to do. Ranges are of `withView`.
    public let head: RequestHead
    private let owned: OwnedBytes
    private let received: ByteRange

    /// - Parameters:
    ///   - bytes: the head's, from its first to its last.
    ///   - head: what a codec read there.
    ///   - fields: their table, of which the head's `fieldCount` count.
    public init(bytes: [UInt8], head: RequestHead, fields: [Field]) {
        var head = head
        var bytes = bytes
        received = head.path
        head.fieldCount = Int32(clamping: min(fields.count, Int(head.fieldCount)))
        if head.pathTraits.needWriting, Int(head.path.offset) + Int(head.path.count) <= bytes.count {
            // The normal form stands behind the head: what decides reads that.
            let count = Int(head.path.count)
            let form = [UInt8](unsafeUninitializedCapacity: count) { room, written in
                written = bytes.withUnsafeBufferPointer { bytes in
                    guard let base = bytes.baseAddress, let out = room.baseAddress else { return 0 }
                    return PathForm.write(base + Int(head.path.offset), count, into: out)
                }
            }
            head.path = ByteRange(bytes.count, form.count)
            bytes += form
        }
        self.head = head
        owned = OwnedBytes(bytes: bytes, table: Array(fields.prefix(Int(head.fieldCount))))
    }

    /// As on the wire: "GET".
    public var method: String { owned.text(head.methodName) }
    /// The target as received.
    public var target: String { owned.text(head.target) }
    /// In normal form (dot segments resolved, escapes of plain letters undone); "/" where a target had none.
    public var path: String { head.path.isEmpty ? "/" : owned.text(head.path) }
    /// As received.
    public var receivedPath: String { owned.text(received) }
    /// Without its question mark; nil: there is none.
    public var query: String? { head.hasQuery ? owned.text(head.query) : nil }
    /// Host, and port where one was written.
    public var authority: String { owned.text(head.authority) }
    public var host: String { owned.text(head.host) }
    public var version: Version { head.version }
    public var framing: BodyFraming { head.framing }
    /// Bytes of the head, its final empty line included: what follows is the body or the next request.
    public var byteCount: Int { Int(head.byteCount) }

    /// In the order they came.
    public var fields: [HeadField] { owned.fields }
    /// All lines of one name, whatever its case, joined by ", ".
    public subscript(name: String) -> String? { owned.value(of: name) }

    /// The view that routing and templates work with, valid within the call.
    public func withView<Result>(_ body: (RequestView) -> Result) -> Result {
        owned.bytes.withUnsafeBufferPointer { bytes in
            owned.table.withUnsafeBufferPointer { fields in
                withUnsafePointer(to: head) { head in
                    // Empty arrays have no address; a count of 0 keeps everybody from using this one.
                    let none = UnsafeRawPointer(head)
                    return body(
                        RequestView(
                            bytes: bytes.baseAddress ?? none.assumingMemoryBound(to: UInt8.self), head: head,
                            fields: fields.baseAddress ?? none.assumingMemoryBound(to: Field.self)))
                }
            }
        }
    }
}

/// The head of a response.
public struct OwnedResponseHead: Sendable {
    /// Its plain data: status, framing, what the connection is to do.
    public let head: ResponseHead
    private let owned: OwnedBytes

    /// - Parameters:
    ///   - bytes: the head's, from its first to its last.
    ///   - head: what a codec read there.
    ///   - fields: their table, of which the head's `fieldCount` count.
    public init(bytes: [UInt8], head: ResponseHead, fields: [Field]) {
        self.head = head
        owned = OwnedBytes(bytes: bytes, table: Array(fields.prefix(Int(head.fieldCount))))
    }

    public var status: UInt16 { head.status }
    public var reason: String { owned.text(head.reason) }
    public var version: Version { head.version }
    public var framing: BodyFraming { head.framing }
    /// Bytes of the head, its final empty line included.
    public var byteCount: Int { Int(head.byteCount) }

    /// In the order they came.
    public var fields: [HeadField] { owned.fields }
    /// All lines of one name, whatever its case, joined by ", ".
    public subscript(name: String) -> String? { owned.value(of: name) }
}

extension HTTPDate {
    /// The date as "Sun, 06 Nov 1994 08:49:37 GMT".
    public static func text(secondsSinceEpoch: Int64) -> String {
        let bytes = [UInt8](unsafeUninitializedCapacity: byteCount) { room, count in
            guard let base = room.baseAddress else { return }
            write(secondsSinceEpoch: secondsSinceEpoch, to: base)
            count = byteCount
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads a date in any of HTTP's three formats; nil: it is none.
    public static func parse(_ text: String, nowSecondsSinceEpoch: Int64) -> Int64? {
        Array(text.utf8).withUnsafeBufferPointer { bytes in
            bytes.baseAddress.flatMap {
                parse($0, count: bytes.count, nowSecondsSinceEpoch: nowSecondsSinceEpoch)
            }
        }
    }
}

extension AcceptedCodings {
    /// Of the lines of an `Accept-Encoding` field.
    public init(lines: [String]) {
        self.init()
        for line in lines { Array(line.utf8).withUnsafeBufferPointer { add($0) } }
    }
}
