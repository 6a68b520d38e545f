// The normal form of a path, in which every spelling of one path is one.
//
// It has two faces. The *path itself* is what goes on: to templates, to the file system, to the endpoint.
// It is the target's path with "." and ".." resolved (RFC 3986 §5.2.4), the digits of escapes in upper case
// and unreserved characters decoded (§6.2.2): nothing in it means anything else to an endpoint than what the
// client wrote. Reserved characters stay as they came ("%2B" and "+" are not the same to everybody).
//
// What *decides* (routes, rewrites of prefixes) is that path with every octet decoded that cannot change its
// structure: "/%40admin" is compared as "/@admin". Encoded stay "%", "/" and the backslash, control
// characters, and octets that are not part of UTF-8: so the text is always UTF-8, and one octet sequence has
// one spelling.
//
// Written once per request (Head.path then points at it); paths without any trait (`PathTraits`) are their
// own normal form and cost nothing.

/// What a codec saw in a path while it read it.
public struct PathTraits: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8

    @inlinable
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// An octet is percent-encoded.
    public static var escapes: PathTraits { PathTraits(rawValue: 1) }
    /// "." or ".." is a segment. Never above the root, and never beside `emptySegments` when it is "..":
    /// codecs refuse such paths.
    public static var dotSegments: PathTraits { PathTraits(rawValue: 2) }
    /// Two slashes in a row: some servers read them as one.
    public static var emptySegments: PathTraits { PathTraits(rawValue: 4) }
    /// A slash or backslash is percent-encoded: some servers read it as a slash.
    public static var encodedSeparators: PathTraits { PathTraits(rawValue: 8) }

    /// The path has to be written afresh.
    @inlinable public var needWriting: Bool { rawValue & 3 != 0 }
    /// There are other readings (`PathForm.Reading`).
    @inlinable public var haveOtherReadings: Bool { rawValue & 12 != 0 }
}

/// The normal form, as functions from bytes to bytes. None of them allocates; none writes more than it reads.
public enum PathForm {
    /// How another server may read a path that has the traits for it.
    public enum Reading: CaseIterable, Sendable {
        /// Runs of slashes are one.
        case merged
        /// Encoded slashes and backslashes are slashes, and runs of slashes are one.
        case separated
    }

    // MARK: the path itself

    /// Writes the path itself for a path that a codec has accepted; returns its length, at most `count`.
    ///
    /// - Parameter raw: begins with a slash, unless it is empty.
    public static func write(
        _ raw: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var at = 0
        var written = 0
        while at < count {
            // At a slash (or, before the first of a path without one, at a segment).
            let start = raw[at] == slash ? at &+ 1 : at
            var end = start
            while end < count, raw[end] != slash { end &+= 1 }
            if let dots = dotCount(raw + start, end &- start) {
                if dots == 2 {
                    while written > 0, out[written - 1] != slash { written &-= 1 }
                    if written > 0 { written &-= 1 }
                }
                if end == count {
                    out[written] = slash
                    written &+= 1
                }
                at = end
                continue
            }
            if start > at {
                out[written] = slash
                written &+= 1
            }
            at = start
            while at < end {
                if let escape = escape(raw, at, end) {
                    if isUnreserved(escape) {
                        out[written] = escape
                        written &+= 1
                    } else {
                        written &+= writeEscape(escape, to: out + written)
                    }
                    at &+= 3
                } else {
                    out[written] = raw[at]
                    written &+= 1
                    at &+= 1
                }
            }
        }
        return written
    }

    /// 1 or 2 when a segment is "." or "..".
    @inline(__always)
    private static func dotCount(_ segment: UnsafePointer<UInt8>, _ count: Int) -> Int? {
        guard count == 1 || count == 2, segment[0] == dot, segment[count - 1] == dot else { return nil }
        return count
    }

    // MARK: what decides

    /// Writes what decides for a path; returns its length, at most `count`.
    public static func writeDeciding(
        _ path: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var written = 0
        _ = walk(path, count) { step, at in
            write(step, path, at, to: out + written)
            written &+= step.written
            return true
        }
        return written
    }

    /// The place in a path that stands at `offset` of what decides for it.
    public static func offset(
        of offset: Int, in path: UnsafePointer<UInt8>, _ count: Int
    ) -> Int {
        var written = 0
        return walk(path, count) { step, _ in
            if written >= offset { return false }
            written &+= step.written
            return true
        }
    }

    /// Goes over a path character by character while `body` goes on; returns where it stopped.
    @inline(__always)
    private static func walk(
        _ path: UnsafePointer<UInt8>, _ count: Int, _ body: (Step, Int) -> Bool
    ) -> Int {
        var at = 0
        while at < count {
            let step = step(path, at, count)
            if !body(step, at) { break }
            at &+= step.read
        }
        return at
    }

    /// How many bytes of a path are spelled in whatever way what `prefix`, which decides, says; nil when the
    /// path does not begin with it.
    public static func prefixCount(
        of path: UnsafeBufferPointer<UInt8>, _ prefix: UnsafeBufferPointer<UInt8>
    ) -> Int? {
        if prefix.isEmpty { return 0 }
        guard let start = path.baseAddress else { return nil }
        var matched = 0
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 4) { unit -> Int? in
            guard let unit = unit.baseAddress else { return nil }
            let end = walk(start, path.count) { step, at in
                guard prefix.count &- matched >= step.written, matched < prefix.count else { return false }
                write(step, start, at, to: unit)
                for i in 0..<step.written where unit[i] != prefix[matched &+ i] { return false }
                matched &+= step.written
                return true
            }
            return matched == prefix.count ? end : nil
        }
    }

    /// Writes another reading of what decides; returns its length, at most `count`.
    public static func write(
        _ reading: Reading, of deciding: UnsafePointer<UInt8>, _ count: Int,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var at = 0
        var written = 0
        while at < count {
            var byte = deciding[at]
            at &+= 1
            if reading == .separated, byte == percent, let escape = escape(deciding, at &- 1, count),
                escape == slash || escape == backslash
            {
                byte = slash
                at &+= 2
            }
            if byte == slash, written > 0, out[written - 1] == slash { continue }
            out[written] = byte
            written &+= 1
        }
        return written
    }

    // MARK: one character

    /// One character of a path: bytes of its spelling, and bytes of it in what decides.
    private struct Step {
        var read: Int
        var written: Int
        /// The spelling is decoded; else it stays an escape (in upper case), or is a byte as it is.
        var isDecoded: Bool
    }

    @inline(__always)
    private static func step(_ path: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> Step {
        guard path[at] == percent, let byte = escape(path, at, count) else {
            return Step(read: 1, written: 1, isDecoded: false)
        }
        return encodedStep(path, at, count, byte)
    }

    private static func encodedStep(
        _ path: UnsafePointer<UInt8>, _ at: Int, _ count: Int, _ byte: UInt8
    ) -> Step {
        switch byte {
        case percent, slash, backslash, 0..<0x20, 0x7f:
            return Step(read: 3, written: 3, isDecoded: false)
        case 0..<0x80:
            return Step(read: 3, written: 1, isDecoded: true)
        default:
            let length = characterLength(path, at, count, first: byte)
            if length == 0 { return Step(read: 3, written: 3, isDecoded: false) }
            return Step(read: 3 &* length, written: length, isDecoded: true)
        }
    }

    /// How many octets the UTF-8 character has whose escapes begin at a place; 0 when it is none
    /// (RFC 3629 §4: no overlong forms, no surrogates, nothing above U+10FFFF).
    private static func characterLength(
        _ path: UnsafePointer<UInt8>, _ at: Int, _ count: Int, first: UInt8
    ) -> Int {
        let length: Int
        switch first {
        case 0xc2...0xdf: length = 2
        case 0xe0...0xef: length = 3
        case 0xf0...0xf4: length = 4
        default: return 0
        }
        for i in 1..<length {
            guard let next = escape(path, at &+ 3 &* i, count), next & 0xc0 == 0x80 else { return 0 }
            if i > 1 { continue }
            switch first {
            case 0xe0: if next < 0xa0 { return 0 }
            case 0xed: if next > 0x9f { return 0 }
            case 0xf0: if next < 0x90 { return 0 }
            case 0xf4: if next > 0x8f { return 0 }
            default: break
            }
        }
        return length
    }

    @inline(__always)
    private static func write(
        _ step: Step, _ path: UnsafePointer<UInt8>, _ at: Int, to out: UnsafeMutablePointer<UInt8>
    ) {
        if step.read == 1 {
            out[0] = path[at]
        } else if step.isDecoded {
            for i in 0..<step.written { out[i] = escape(path, at &+ 3 &* i, at &+ step.read) ?? 0 }
        } else {
            out[0] = percent
            out[1] = upper(path[at &+ 1])
            out[2] = upper(path[at &+ 2])
        }
    }

    // MARK: octets

    /// The octet percent-encoded at a place; nil when none is.
    @inline(__always)
    public static func escape(_ bytes: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> UInt8? {
        guard count &- at >= 3, bytes[at] == percent, let high = hexadecimal(bytes[at &+ 1]),
            let low = hexadecimal(bytes[at &+ 2])
        else { return nil }
        return high << 4 | low
    }

    /// Writes an octet percent-encoded: three bytes.
    @inline(__always)
    @discardableResult
    public static func writeEscape(_ byte: UInt8, to out: UnsafeMutablePointer<UInt8>) -> Int {
        out[0] = percent
        out[1] = digit(byte >> 4)
        out[2] = digit(byte & 15)
        return 3
    }

    /// RFC 3986 §2.3.
    @inline(__always)
    public static func isUnreserved(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: true
        default: false
        }
    }

    /// The value of a hexadecimal digit.
    @inline(__always)
    public static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }

    @inline(__always)
    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 &+ value : 0x37 &+ value }
    @inline(__always)
    private static func upper(_ byte: UInt8) -> UInt8 { byte &- 0x61 < 26 ? byte & 0xdf : byte }

    private static var percent: UInt8 { 0x25 }
    private static var slash: UInt8 { 0x2f }
    private static var backslash: UInt8 { 0x5c }
    private static var dot: UInt8 { 0x2e }

    /// Whether a path has a segment "." or "..", in any spelling, behind any kind of separator (a slash, a
    /// backslash, or one of them encoded). For paths that were made of parts; those of clients are judged when
    /// they are parsed.
    public static func hasDotSegment(_ path: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        var dots = 0
        var isOnlyDots = true
        var at = 0
        while at < count {
            var byte = path[at]
            var step = 1
            if byte == UInt8(ascii: "%"), at &+ 2 < count, let high = hexadecimal(path[at &+ 1]),
                let low = hexadecimal(path[at &+ 2])
            {
                byte = high << 4 | low
                step = 3
            }
            at &+= step
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "\\"):
                if isOnlyDots, dots == 1 || dots == 2 { return true }
                dots = 0
                isOnlyDots = true
            case UInt8(ascii: "."): dots &+= 1
            // Some servers take what stands behind a semicolon for no part of the segment.
            case UInt8(ascii: ";") where isOnlyDots && (dots == 1 || dots == 2): return true
            default: isOnlyDots = false
            }
        }
        return isOnlyDots && (dots == 1 || dots == 2)
    }
}
