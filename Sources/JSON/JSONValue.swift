// A JSON text as a tree: for what is read once and looked at from many sides.
//
// A name that stands twice in an object is refused: one program takes the first, the next the last, and between two that
// disagree is where a token or a policy says one thing to each. `keepsLast` is for those who have to do as JavaScript does.
// Names and strings are compared byte for byte (RFC 8259 §8.3), not as Swift compares characters.

/// One JSON value.
public enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    /// What becomes of a name that stands twice in an object.
    public enum Duplicates: Sendable { case refused, keepsLast }

    /// Reads a text that is one value.
    public init(
        _ bytes: UnsafeBufferPointer<UInt8>, limits: JSONLimits = JSONLimits(),
        duplicates: Duplicates = .refused
    ) throws(JSONError) {
        var reader = JSONReader(bytes, limits: limits)
        self = try Self.value(try reader.next(), &reader, duplicates)
        _ = try reader.next()
    }

    /// Reads a text that is one value.
    public init(
        _ bytes: borrowing Span<UInt8>, limits: JSONLimits = JSONLimits(), duplicates: Duplicates = .refused
    ) throws(JSONError) {
        self = try bytes.withUnsafeBufferPointer { (bytes) throws(JSONError) in
            try JSONValue(bytes, limits: limits, duplicates: duplicates)
        }
    }

    /// Reads a text that is one value.
    public init(_ bytes: [UInt8], limits: JSONLimits = JSONLimits(), duplicates: Duplicates = .refused)
        throws(JSONError)
    {
        try self.init(bytes.span, limits: limits, duplicates: duplicates)
    }

    /// As deep as the limits let a text be.
    private static func value(
        _ token: JSONToken, _ reader: inout JSONReader, _ duplicates: Duplicates
    ) throws(JSONError) -> JSONValue {
        switch token {
        case .null: return .null
        case .bool(let flag): return .bool(flag)
        case .number(let number): return .number(JSONNumber(number))
        case .string(let text): return .string(text.string)
        case .arrayStart:
            var elements: [JSONValue] = []
            while true {
                let next = try reader.next()
                if case .arrayEnd = next { return .array(elements) }
                elements.append(try value(next, &reader, duplicates))
            }
        case .objectStart:
            var object = JSONObject()
            while case .name(let name) = try reader.next() {
                let offset = reader.tokenOffset
                let name = name.string
                let isNew = object.set(name, to: .null)
                if !isNew, duplicates == .refused { throw JSONError(.duplicateName, at: offset) }
                object.set(name, to: try value(try reader.next(), &reader, duplicates))
            }
            return .object(object)
        case .objectEnd, .arrayEnd, .name, .end:
            preconditionFailure("the reader gives a value where one has to stand")
        }
    }

    /// The member of that name; nil where there is none, and where this is no object.
    public subscript(name: String) -> JSONValue? {
        if case .object(let object) = self { object[name] } else { nil }
    }

    public var string: String? { if case .string(let text) = self { text } else { nil } }
    public var bool: Bool? { if case .bool(let flag) = self { flag } else { nil } }
    public var number: JSONNumber? { if case .number(let number) = self { number } else { nil } }
    /// Exactly this number; nil for numbers that are no such, and for other values.
    public var int64: Int64? { number?.int64 }
    public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    public var object: JSONObject? { if case .object(let object) = self { object } else { nil } }
}

extension JSONValue: Equatable {
    /// Numbers are equal when their texts are: 1 and 1.0 are not.
    public static func == (a: JSONValue, b: JSONValue) -> Bool {
        switch (a, b) {
        case (.null, .null): true
        case (.bool(let a), .bool(let b)): a == b
        case (.number(let a), .number(let b)): a == b
        case (.string(let a), .string(let b)): a.utf8.elementsEqual(b.utf8)
        case (.array(let a), .array(let b)): a == b
        case (.object(let a), .object(let b)): a == b
        default: false
        }
    }
}

/// The members of an object, in the order of the text. No name stands twice.
public struct JSONObject: Sendable {
    public private(set) var members: [(name: String, value: JSONValue)] = []
    /// Where names stand, once there are too many to walk: an object of a peer's must not cost the square of its size.
    private var index: [[UInt8]: Int] = [:]
    private static let walkedMax = 16

    public init() {}

    public subscript(name: String) -> JSONValue? { position(name).map { members[$0].value } }

    /// Sets a member, in its place where there is one of that name.
    ///
    /// - Returns: whether the name is new.
    @discardableResult
    public mutating func set(_ name: String, to value: JSONValue) -> Bool {
        if let position = position(name) {
            members[position].value = value
            return false
        }
        members.append((name, value))
        if members.count > Self.walkedMax {
            let isFirst = index.isEmpty
            for i in (isFirst ? 0 : members.count - 1)..<members.count {
                index[Array(members[i].name.utf8)] = i
            }
        }
        return true
    }

    private func position(_ name: String) -> Int? {
        if !index.isEmpty { return index[Array(name.utf8)] }
        return members.firstIndex { $0.name.utf8.elementsEqual(name.utf8) }
    }
}

extension JSONObject: Equatable {
    /// The order of members says nothing (RFC 8259 §4).
    public static func == (a: JSONObject, b: JSONObject) -> Bool {
        a.members.count == b.members.count && a.members.allSatisfy { b[$0.name] == $0.value }
    }
}
