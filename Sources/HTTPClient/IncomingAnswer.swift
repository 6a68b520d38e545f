// What has come of an answer: bounded, and stricter than libcurl where two readers could differ.

/// Head lines and body bytes in, fields and body out.
struct IncomingAnswer {
    private(set) var fields: [HTTPClient.Field] = []
    private(set) var body: [UInt8] = []
    private(set) var failure: HTTPClient.Failure?
    private let bounds: HTTPClient.Bounds
    private var headBytes = 0
    private var isInterim = false
    /// The final head is complete: what lines still come are trailers.
    private var isHeadOver = false

    init(bounds: HTTPClient.Bounds = .init()) { self.bounds = bounds }

    /// - Returns: whether to go on.
    mutating func take(body block: UnsafeRawBufferPointer) -> Bool {
        guard body.count + block.count <= bounds.bodyBytes else {
            failure = .tooLarge(.body, bytesMax: bounds.bodyBytes)
            return false
        }
        body.append(contentsOf: block)
        return true
    }

    /// One line of a head, or of the trailers, with its end.
    /// - Returns: whether to go on.
    mutating func take(line bytes: UnsafeRawBufferPointer) -> Bool {
        headBytes += bytes.count
        guard headBytes <= bounds.headBytes else {
            failure = .tooLarge(.head, bytesMax: bounds.headBytes)
            return false
        }
        if isHeadOver { return true }
        var line = bytes[...]
        while let last = line.last, last == 0x0a || last == 0x0d { line = line.dropLast() }
        if line.isEmpty { return endHead() }
        if fields.isEmpty, line.starts(with: "HTTP/".utf8) {
            let status = line.drop { $0 != 0x20 }.dropFirst()
            isInterim = status.first == UInt8(ascii: "1")
            return true
        }
        // Folded lines (RFC 9112 §5.2) have no name.
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else {
            return malformed("a line without a name")
        }
        let name = String(decoding: line[..<colon], as: UTF8.self)
        guard FieldText.isName(name) else { return malformed("a field's name") }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 0x09 { value = value.dropFirst() }
        while let last = value.last, last == 0x20 || last == 0x09 { value = value.dropLast() }
        let text = String(decoding: value, as: UTF8.self)
        guard FieldText.isValue(text) else { return malformed("a field's value") }
        fields.append(.init(name, text))
        return true
    }

    private mutating func endHead() -> Bool {
        if isInterim {
            fields = []
            return true
        }
        isHeadOver = true
        // RFC 9112 §6.3: a length that is said twice, or beside a coding, may be read in two ways.
        let lengths = fields.filter { $0.name.lowercased() == "content-length" }
        let isCoded = fields.contains { $0.name.lowercased() == "transfer-encoding" }
        if lengths.count > 1 || (isCoded && !lengths.isEmpty) { return malformed("two lengths of one body") }
        return true
    }

    private mutating func malformed(_ text: String) -> Bool {
        failure = .malformed(text)
        return false
    }
}

/// What may stand in a field, RFC 9110 §5.
enum FieldText {
    static func isName(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                    UInt8(ascii: "A")...UInt8(ascii: "Z"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }

    static func isValue(_ text: String) -> Bool {
        text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == 0x09 }
    }
}
