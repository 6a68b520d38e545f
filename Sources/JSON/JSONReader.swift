// Reads JSON (RFC 8259), strictly, one token at a time and without allocating.
//
// For whatever a peer may send: one way to read a text or none, and bounded work. Nothing is repaired: no comments, no
// trailing commas, no other quotes, no leading zeros, no byte order mark. Strings are UTF-8 (§8.1), checked. A lone
// surrogate escape (§8.2 calls what follows unpredictable) is refused: it is no character, so no reader behind us
// could be shown the same string. U+0000 is a character like others. Numbers keep their text (§6).
//
// A name that stands twice in an object (§4: "unpredictable") passes here, where nothing is kept of the first;
// the tree (JSONValue) refuses it.

/// What comes next in a text.
public enum JSONToken: BitwiseCopyable {
    case objectStart, objectEnd, arrayStart, arrayEnd
    /// Of a member; its value follows.
    case name(JSONText)
    case string(JSONText)
    case number(JSONNumberText)
    case bool(Bool)
    case null
    /// The text is over, and it was one value.
    case end
}

/// Pulls tokens out of a text. After an error there is nothing but that error.
public struct JSONReader {
    private enum State { case value, valueOrEnd, name, nameOrEnd, afterValue }

    private let base: UnsafePointer<UInt8>
    private let count: Int
    private let limits: JSONLimits
    private var state = State.value
    private var failure: JSONError?
    private var values = 0
    /// Where the last token starts.
    public private(set) var tokenOffset = 0
    private var at = 0
    /// How deep it stands: objects and arrays that are open.
    public private(set) var depth = 0
    /// One bit per level: it is an object.
    private var objects = InlineArray<8, UInt64>(repeating: 0)

    /// Reads memory that has to stay as it is until the last token was looked at.
    public init(_ bytes: UnsafeBufferPointer<UInt8>, limits: JSONLimits = JSONLimits()) {
        // A place to point to where there is nothing to read.
        let nothing: StaticString = ""
        base = bytes.baseAddress ?? nothing.utf8Start
        count = bytes.count
        self.limits = limits
        if count > limits.bytes { failure = JSONError(.tooLong, at: limits.bytes) }
    }

    /// Reads bytes within a call; tokens must not leave it.
    public static func read<Result, Failure: Error>(
        _ bytes: borrowing Span<UInt8>, limits: JSONLimits = JSONLimits(),
        _ body: (inout JSONReader) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try bytes.withUnsafeBufferPointer { (buffer) throws(Failure) -> Result in
            var reader = JSONReader(buffer, limits: limits)
            return try body(&reader)
        }
    }

    /// The next token; behind the value, `end`, again and again.
    public mutating func next() throws(JSONError) -> JSONToken {
        if let failure { throw failure }
        do throws(JSONError) {
            return try token()
        } catch {
            failure = error
            throw error
        }
    }

    /// Passes over the value that comes next, with all that is in it.
    public mutating func skipValue() throws(JSONError) {
        let outside = depth
        repeat { _ = try next() } while depth > outside || state == .value
    }

    private mutating func token() throws(JSONError) -> JSONToken {
        while true {
            skipBlanks()
            tokenOffset = at
            guard at < count else {
                guard state == .afterValue, depth == 0 else { throw early() }
                return .end
            }
            let byte = base[at]
            switch state {
            case .afterValue:
                if depth == 0 { throw JSONError(.trailingBytes, at: at) }
                let isObject = isInObject
                if byte == UInt8(ascii: ",") {
                    at &+= 1
                    state = isObject ? .name : .value
                    continue
                }
                guard byte == UInt8(ascii: isObject ? "}" : "]") else {
                    throw JSONError(.expectedCommaOrEnd, at: at)
                }
                return close()
            case .valueOrEnd where byte == UInt8(ascii: "]"), .nameOrEnd where byte == UInt8(ascii: "}"):
                return close()
            case .value, .valueOrEnd: return try value(byte)
            case .name, .nameOrEnd:
                guard byte == UInt8(ascii: "\"") else { throw JSONError(.expectedName, at: at) }
                let name = try string()
                skipBlanks()
                guard at < count else { throw early() }
                guard base[at] == UInt8(ascii: ":") else { throw JSONError(.expectedColon, at: at) }
                at &+= 1
                state = .value
                return .name(name)
            }
        }
    }

    private func early() -> JSONError {
        JSONError(values == 0 ? .empty : .unexpectedEnd, at: count)
    }

    private mutating func skipBlanks() {
        while at < count {
            switch base[at] {
            case 0x20, 0x0a, 0x0d, 0x09: at &+= 1
            default: return
            }
        }
    }

    private var isInObject: Bool { objects[(depth &- 1) >> 6] >> UInt64((depth &- 1) & 63) & 1 == 1 }

    private mutating func open(isObject: Bool) throws(JSONError) -> JSONToken {
        guard depth < limits.depth else { throw JSONError(.tooDeep, at: at) }
        let bit: UInt64 = 1 << UInt64(depth & 63)
        if isObject { objects[depth >> 6] |= bit } else { objects[depth >> 6] &= ~bit }
        depth &+= 1
        at &+= 1
        state = isObject ? .nameOrEnd : .valueOrEnd
        return isObject ? .objectStart : .arrayStart
    }

    private mutating func close() -> JSONToken {
        let token: JSONToken = isInObject ? .objectEnd : .arrayEnd
        depth &-= 1
        at &+= 1
        state = .afterValue
        return token
    }

    private mutating func value(_ byte: UInt8) throws(JSONError) -> JSONToken {
        guard values < limits.values else { throw JSONError(.tooManyValues, at: at) }
        values &+= 1
        switch byte {
        case UInt8(ascii: "{"): return try open(isObject: true)
        case UInt8(ascii: "["): return try open(isObject: false)
        default: state = .afterValue
        }
        switch byte {
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), 0x30...0x39: return .number(try number())
        case UInt8(ascii: "t"):
            try word("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try word("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try word("null")
            return .null
        case 0xef where at == 0 && count >= 3 && base[1] == 0xbb && base[2] == 0xbf:
            throw JSONError(.byteOrderMark, at: 0)
        default: throw JSONError(.expectedValue, at: at)
        }
    }

    private mutating func word(_ word: StaticString) throws(JSONError) {
        var i = 0
        while i < word.utf8CodeUnitCount {
            guard at &+ i < count else { throw JSONError(.unexpectedEnd, at: count) }
            guard base[at &+ i] == word.utf8Start[i] else { throw JSONError(.expectedValue, at: at) }
            i &+= 1
        }
        at &+= i
    }

    /// number = [ "-" ] int [ frac ] [ exp ]
    private mutating func number() throws(JSONError) -> JSONNumberText {
        let start = at
        var isInteger = true
        if base[at] == UInt8(ascii: "-") { at &+= 1 }
        if at < count, base[at] == 0x30 {
            at &+= 1
            if at < count, 0x30...0x39 ~= base[at] { throw JSONError(.badNumber, at: at) }
        } else {
            try digits()
        }
        if at < count, base[at] == UInt8(ascii: ".") {
            isInteger = false
            at &+= 1
            try digits()
        }
        if at < count, base[at] | 0x20 == UInt8(ascii: "e") {
            isInteger = false
            at &+= 1
            if at < count, base[at] == UInt8(ascii: "+") || base[at] == UInt8(ascii: "-") { at &+= 1 }
            try digits()
        }
        return JSONNumberText(
            raw: UnsafeBufferPointer(start: base + start, count: at &- start), isInteger: isInteger)
    }

    /// At least one.
    private mutating func digits() throws(JSONError) {
        guard at < count else { throw JSONError(.unexpectedEnd, at: count) }
        guard 0x30...0x39 ~= base[at] else { throw JSONError(.badNumber, at: at) }
        while at < count, 0x30...0x39 ~= base[at] { at &+= 1 }
    }

    private mutating func string() throws(JSONError) -> JSONText {
        at &+= 1
        let start = at
        var hasEscapes = false
        while true {
            at = JSONEscape.plainEnd(base, at, count)
            guard at < count else { throw JSONError(.unexpectedEnd, at: count) }
            switch base[at] {
            case UInt8(ascii: "\""):
                let raw = UnsafeBufferPointer(start: base + start, count: at &- start)
                at &+= 1
                return JSONText(raw: raw, hasEscapes: hasEscapes)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try escape()
            case 0x7f: at &+= 1
            case 0..<0x20: throw JSONError(.controlCharacter, at: at)
            default:
                let length = JSONEscape.utf8Length(base + at, count &- at)
                guard length > 0 else { throw JSONError(.notUTF8, at: at) }
                at &+= length
            }
        }
    }

    private mutating func escape() throws(JSONError) {
        let start = at
        guard at &+ 1 < count else { throw JSONError(.unexpectedEnd, at: count) }
        at &+= 2
        switch base[at &- 1] {
        case 0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74: return
        case UInt8(ascii: "u"): break
        default: throw JSONError(.badEscape, at: start)
        }
        let unit = try self.unit(of: start)
        switch unit {
        case 0xdc00...0xdfff: throw JSONError(.loneSurrogate, at: start)
        case 0xd800...0xdbff:
            guard at &+ 1 < count, base[at] == 0x5c, base[at &+ 1] == UInt8(ascii: "u") else {
                throw JSONError(.loneSurrogate, at: start)
            }
            let second = at
            at &+= 2
            guard 0xdc00...0xdfff ~= (try self.unit(of: second)) else {
                throw JSONError(.loneSurrogate, at: start)
            }
        default: return
        }
    }

    private mutating func unit(of start: Int) throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard at < count else { throw JSONError(.unexpectedEnd, at: count) }
            guard let digit = JSONText.hexDigit(base[at]) else { throw JSONError(.badEscape, at: start) }
            code = code << 4 | UInt32(digit)
            at &+= 1
        }
        return code
    }
}
