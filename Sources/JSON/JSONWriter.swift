// Writes JSON (RFC 8259): commas are put by the writer, members stand in the order they are given, and the same calls
// give the same bytes.
//
// The access log does not use it: its lines go into memory that never grows and hold bytes that need not be UTF-8; it
// shares `JSONEscape`. Nor do bodies of error pages (Routing/TemplateMarkup.swift), which escape what HTML and JavaScript
// would act on as well.

/// Builds one JSON text.
public struct JSONWriter {
    /// Objects and arrays within each other. Who writes deeper has lost the end: a programmer's error. A tree that was
    /// read is never that deep (`JSONLimits.depthCeiling`), with as many levels around it.
    public static let depthMax = 2 * JSONLimits.depthCeiling

    public private(set) var bytes: [UInt8] = []
    private var needsComma = false
    private var depth = 0

    public init() {}

    /// Writes an object; `body` writes its members.
    public mutating func object(_ body: (inout JSONWriter) -> Void) {
        nest(UInt8(ascii: "{"), UInt8(ascii: "}"), body)
    }

    /// Writes an array; `body` writes its elements.
    public mutating func array(_ body: (inout JSONWriter) -> Void) {
        nest(UInt8(ascii: "["), UInt8(ascii: "]"), body)
    }

    /// Writes an array of what `each` writes for every element.
    public mutating func array<Element>(_ elements: [Element], _ each: (inout JSONWriter, Element) -> Void) {
        array { for element in elements { each(&$0, element) } }
    }

    private mutating func nest(_ open: UInt8, _ close: UInt8, _ body: (inout JSONWriter) -> Void) {
        precondition(depth < Self.depthMax, "JSON nested without end")
        comma()
        bytes.append(open)
        depth += 1
        needsComma = false
        body(&self)
        depth -= 1
        bytes.append(close)
        needsComma = true
    }

    /// A member's name; its value must follow.
    public mutating func key(_ name: String) {
        comma()
        quoted(name)
        bytes.append(UInt8(ascii: ":"))
        needsComma = false
    }

    public mutating func value(_ text: String) {
        comma()
        quoted(text)
        needsComma = true
    }

    public mutating func value(_ number: some BinaryInteger) { raw(number.description) }

    /// The shortest text that is read as this number; null for what JSON has no number for.
    public mutating func value(_ number: Double) { raw(JSONNumber(number)?.text ?? "null") }

    public mutating func value(_ flag: Bool) { raw(flag ? "true" : "false") }

    public mutating func null() { raw("null") }

    /// A tree; numbers as they were read.
    public mutating func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let flag): self.value(flag)
        case .number(let number): raw(number.text)
        case .string(let text): self.value(text)
        case .array(let elements): array(elements) { $0.value($1) }
        case .object(let object):
            self.object { for (name, value) in object.members { $0.member(name, value) } }
        }
    }

    public mutating func member(_ name: String, _ text: String) {
        key(name)
        value(text)
    }

    public mutating func member(_ name: String, _ number: some BinaryInteger) {
        key(name)
        value(number)
    }

    public mutating func member(_ name: String, _ number: Double) {
        key(name)
        value(number)
    }

    public mutating func member(_ name: String, _ flag: Bool) {
        key(name)
        value(flag)
    }

    public mutating func member(_ name: String, _ value: JSONValue) {
        key(name)
        self.value(value)
    }

    public mutating func member<Element>(
        _ name: String, _ elements: [Element], _ each: (inout JSONWriter, Element) -> Void
    ) {
        key(name)
        array(elements, each)
    }

    /// A string as JSON writes it, with its quotes.
    public static func quoted(_ text: String) -> String {
        var writer = JSONWriter()
        writer.value(text)
        return String(decoding: writer.bytes, as: UTF8.self)
    }

    private mutating func comma() {
        if needsComma { bytes.append(UInt8(ascii: ",")) }
    }

    private mutating func raw(_ text: String) {
        comma()
        bytes.append(contentsOf: text.utf8)
        needsComma = true
    }

    private mutating func quoted(_ text: String) {
        bytes.append(UInt8(ascii: "\""))
        var text = text
        text.withUTF8 { text in
            guard let base = text.baseAddress else { return }
            var start = 0
            while start < text.count {
                var end = start
                // Of the bytes that are not plain, those from 0x80 on are UTF-8 already.
                repeat {
                    end = JSONEscape.plainEnd(base, end, text.count)
                    guard end < text.count, base[end] >= 0x80 else { break }
                    end += 1
                } while true
                bytes.append(contentsOf: UnsafeBufferPointer(start: base + start, count: end - start))
                if end == text.count { break }
                withUnsafeTemporaryAllocation(of: UInt8.self, capacity: JSONEscape.bytesMax) { room in
                    guard let escape = room.baseAddress else { return }
                    bytes.append(
                        contentsOf: room.prefix(JSONEscape.write(base[end], to: escape)))
                }
                start = end + 1
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }
}
