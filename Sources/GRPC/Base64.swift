// base64 (RFC 4648 §4) as a stream, for gRPC-Web's text form.
//
// Both directions flush in the middle: a sender that has a message and no more may end it with padding
// and go on with a new quantum ("gRPC Web", text-encoded streams), so padding is allowed at the end of any
// quantum. All else is strict: other alphabets, line breaks, padding in other places and bits behind the
// last byte are refused.

/// Decodes in blocks of any size. Plain data.
public struct Base64Decoder: Equatable, Sendable, BitwiseCopyable {
    private var bits: UInt32 = 0
    private var sextets: UInt8 = 0
    private var padding: UInt8 = 0
    private var isBroken = false

    public init() {}

    /// The room a block needs at most, in bytes.
    public static func room(for count: Int) -> Int { (count + 3) / 4 * 3 }

    /// Decodes a block.
    ///
    /// - Parameter output: room for `room(for: count)` bytes, apart from the input.
    /// - Returns: decoded bytes; nil when the input is not base64, from then on always.
    public mutating func decode(
        _ input: UnsafePointer<UInt8>, _ count: Int, into output: UnsafeMutablePointer<UInt8>
    ) -> Int? {
        var produced = 0
        for i in 0..<count {
            guard !isBroken, take(input[i], output, &produced) else {
                isBroken = true
                return nil
            }
        }
        return produced
    }

    /// Whether the input may end here: at the end of a quantum.
    public var isAtBoundary: Bool { !isBroken && sextets == 0 && padding == 0 }

    @inline(__always)
    private mutating func take(
        _ byte: UInt8, _ output: UnsafeMutablePointer<UInt8>, _ produced: inout Int
    ) -> Bool {
        if byte == UInt8(ascii: "=") {
            padding += 1
            guard sextets >= 2 else { return false }
            if sextets + padding < 4 { return true }
            // Two sextets carry one byte and four bits of nothing, three carry two and two.
            let unused: UInt32 = sextets == 2 ? 4 : 2
            guard bits & (1 << unused - 1) == 0 else { return false }
            bits >>= unused
            let bytes = Int(sextets) - 1
            for i in 0..<bytes {
                output[produced + i] = UInt8(truncatingIfNeeded: bits >> UInt32(8 * (bytes - 1 - i)))
            }
            produced += bytes
            reset()
            return true
        }
        guard padding == 0, let value = Self.value(byte) else { return false }
        bits = bits << 6 | value
        sextets += 1
        if sextets == 4 {
            output[produced] = UInt8(truncatingIfNeeded: bits >> 16)
            output[produced + 1] = UInt8(truncatingIfNeeded: bits >> 8)
            output[produced + 2] = UInt8(truncatingIfNeeded: bits)
            produced += 3
            reset()
        }
        return true
    }

    private mutating func reset() {
        bits = 0
        sextets = 0
        padding = 0
    }

    @inline(__always)
    private static func value(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte) - 65
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte) - 71
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte) + 4
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

/// Encodes in blocks of any size; up to two bytes wait for the next block or a flush. Plain data.
public struct Base64Encoder: Equatable, Sendable, BitwiseCopyable {
    private var carry: (UInt8, UInt8) = (0, 0)
    private var carryCount: UInt8 = 0

    public init() {}

    public static func == (a: Base64Encoder, b: Base64Encoder) -> Bool {
        a.carryCount == b.carryCount && a.carry == b.carry
    }

    /// The room a block needs at most, what is carried and a flush included, in bytes.
    public static func room(for count: Int) -> Int { (count + 4) / 3 * 4 }

    /// Whether bytes wait for a flush.
    public var hasCarry: Bool { carryCount > 0 }

    /// Encodes a block.
    ///
    /// - Parameter output: room for `room(for: count)` bytes, apart from the input.
    /// - Returns: bytes written.
    public mutating func encode(
        _ input: UnsafePointer<UInt8>, _ count: Int, into output: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var taken = 0
        var produced = 0
        while Int(carryCount) + count - taken >= 3 {
            let first: UInt8
            let second: UInt8
            switch carryCount {
            case 0:
                first = input[taken]
                second = input[taken + 1]
                taken += 2
            case 1:
                first = carry.0
                second = input[taken]
                taken += 1
            default:
                first = carry.0
                second = carry.1
            }
            carryCount = 0
            write(first, second, input[taken], output + produced)
            taken += 1
            produced += 4
        }
        while taken < count {
            if carryCount == 0 { carry.0 = input[taken] } else { carry.1 = input[taken] }
            carryCount += 1
            taken += 1
        }
        return produced
    }

    /// Ends the quantum with padding, so that everything given can be decoded.
    ///
    /// - Parameter output: room for 4 bytes.
    /// - Returns: bytes written: 4, or 0 when nothing waited.
    public mutating func flush(into output: UnsafeMutablePointer<UInt8>) -> Int {
        guard carryCount > 0 else { return 0 }
        write(carry.0, carryCount == 2 ? carry.1 : 0, 0, output)
        output[3] = UInt8(ascii: "=")
        if carryCount == 1 { output[2] = UInt8(ascii: "=") }
        carryCount = 0
        return 4
    }

    @inline(__always)
    private func write(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ output: UnsafeMutablePointer<UInt8>) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        let letters = alphabet.utf8Start
        output[0] = letters[Int(a >> 2)]
        output[1] = letters[Int((a & 3) << 4 | b >> 4)]
        output[2] = letters[Int((b & 15) << 2 | c >> 6)]
        output[3] = letters[Int(c & 63)]
    }
}
