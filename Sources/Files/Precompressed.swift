// Precompressed siblings of a file (app.js.br beside app.js), and which of them a client wants.
//
// Accept-Encoding by RFC 9110 §12.5.3: q-values, "*", names in any case. A field that is not
// well-formed asks for nothing. Of codings a client likes equally, the order of the configuration
// decides; a coding the client likes less than the file as it is, is not used.

/// A coding files may lie around in.
public enum Precompressed: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case zstd, br, gzip

    /// The content coding's registered name.
    public var name: StaticString {
        switch self {
        case .zstd: "zstd"
        case .br: "br"
        case .gzip: "gzip"
        }
    }

    /// What is added to the name of the file.
    public var suffix: StaticString {
        switch self {
        case .zstd: ".zst"
        case .br: ".br"
        case .gzip: ".gz"
        }
    }

    public init?(_ name: String) {
        switch name {
        case "zstd": self = .zstd
        case "br": self = .br
        case "gzip": self = .gzip
        default: return nil
        }
    }
}

/// How much a client wants each coding, in parts per thousand; 0: not at all.
public struct AcceptedCodings: Equatable, Sendable, BitwiseCopyable {
    private var zstd: UInt16 = 0
    private var br: UInt16 = 0
    private var gzip: UInt16 = 0
    /// The file as it is. Not listed, it is acceptable and the last choice.
    private var identity: UInt16 = 0

    /// Wants nothing but the file as it is.
    public init() {}

    public subscript(_ coding: Precompressed) -> UInt16 {
        switch coding {
        case .zstd: zstd
        case .br: br
        case .gzip: gzip
        }
    }

    /// The codings worth looking for, the most wanted first.
    ///
    /// - Parameters:
    ///   - offered: bits by `Precompressed.rawValue`, taken out as they are returned.
    ///   - order: the configuration's.
    public func best(of offered: inout UInt8, order: UnsafeBufferPointer<Precompressed>) -> Precompressed? {
        var found: Precompressed?
        for coding in order where offered & 1 << coding.rawValue != 0 {
            let wanted = self[coding]
            if wanted > 0, wanted >= identity, found.map({ self[$0] < wanted }) ?? true { found = coding }
        }
        if let found { offered &= ~(1 << found.rawValue) }
        return found
    }

    /// Adds the members of one Accept-Encoding field. False: it is not well-formed, and all is forgotten.
    public mutating func add(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        var at = 0
        var star: UInt16?
        var named: UInt8 = 0
        while true {
            skip(value, &at) { $0 == 0x20 || $0 == 0x09 || $0 == UInt8(ascii: ",") }
            guard at < value.count else { break }
            let start = at
            skip(value, &at, while: Self.isToken)
            let name = UnsafeBufferPointer(rebasing: value[start..<at])
            guard !name.isEmpty, let weight = Self.weight(value, &at) else {
                self = AcceptedCodings()
                return false
            }
            if Self.equal(name, "zstd") {
                zstd = weight
                named |= 1
            } else if Self.equal(name, "br") {
                br = weight
                named |= 2
            } else if Self.equal(name, "gzip") || Self.equal(name, "x-gzip") {
                gzip = weight
                named |= 4
            } else if Self.equal(name, "identity") {
                identity = weight
                named |= 8
            } else if name.count == 1, name[0] == UInt8(ascii: "*") {
                star = weight
            }
        }
        if let star {
            if named & 1 == 0 { zstd = star }
            if named & 2 == 0 { br = star }
            if named & 4 == 0 { gzip = star }
            if named & 8 == 0 { identity = star }
        }
        return true
    }

    /// `;q=0.5` behind a name, in thousandths; 1000 without one; nil when it is something else.
    private static func weight(_ value: UnsafeBufferPointer<UInt8>, _ at: inout Int) -> UInt16? {
        skip(value, &at, while: isSpace)
        if at == value.count || value[at] == UInt8(ascii: ",") { return 1000 }
        guard value[at] == UInt8(ascii: ";") else { return nil }
        at += 1
        skip(value, &at, while: isSpace)
        guard at + 2 < value.count, value[at] | 0x20 == UInt8(ascii: "q"), value[at + 1] == UInt8(ascii: "=")
        else { return nil }
        at += 2
        let whole = value[at]
        guard whole == UInt8(ascii: "0") || whole == UInt8(ascii: "1") else { return nil }
        at += 1
        var thousandths: UInt16 = whole == UInt8(ascii: "1") ? 1000 : 0
        if at < value.count, value[at] == UInt8(ascii: ".") {
            at += 1
            var place: UInt16 = 100
            while at < value.count, value[at] &- 48 < 10 {
                guard place > 0 else { return nil }
                thousandths += UInt16(value[at] &- 48) * place
                place /= 10
                at += 1
            }
        }
        guard thousandths <= 1000 else { return nil }
        skip(value, &at, while: isSpace)
        return at == value.count || value[at] == UInt8(ascii: ",") ? thousandths : nil
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isToken(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "*")
            || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "+")
    }

    private static func equal(_ name: UnsafeBufferPointer<UInt8>, _ literal: StaticString) -> Bool {
        guard name.count == literal.utf8CodeUnitCount else { return false }
        for i in 0..<name.count {
            let byte = name[i]
            if (byte &- 65 < 26 ? byte | 0x20 : byte) != literal.utf8Start[i] { return false }
        }
        return true
    }

    @inline(__always)
    private static func skip(
        _ value: UnsafeBufferPointer<UInt8>, _ at: inout Int, while condition: (UInt8) -> Bool
    ) {
        while at < value.count, condition(value[at]) { at += 1 }
    }

    @inline(__always)
    private func skip(
        _ value: UnsafeBufferPointer<UInt8>, _ at: inout Int, while condition: (UInt8) -> Bool
    ) { Self.skip(value, &at, while: condition) }
}
