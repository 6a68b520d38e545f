// Serialising heads into memory somebody else owns.

/// Appends bytes to a fixed region. Running out of room is remembered, not trapped: the caller
/// checks `overflowed` once at the end and repeats with a larger region.
public struct ByteWriter {
    public let base: UnsafeMutablePointer<UInt8>
    public let capacity: Int
    public private(set) var count = 0
    public private(set) var overflowed = false

    @inlinable
    public init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.init(base: base, capacity: capacity)
    }

    @usableFromInline
    init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    @inline(__always)
    private mutating func room(_ wanted: Int) -> Bool {
        if wanted <= capacity &- count { return true }
        overflowed = true
        return false
    }

    @inline(__always)
    public mutating func append(_ bytes: UnsafePointer<UInt8>, _ byteCount: Int) {
        guard room(byteCount) else { return }
        UnsafeMutableRawPointer(base + count).copyMemory(from: bytes, byteCount: byteCount)
        count &+= byteCount
    }

    /// Appends a field line, "name: value" CR LF, from a head's bytes.
    public mutating func appendField(_ field: Field, _ base: UnsafePointer<UInt8>) {
        let nameCount = Int(field.nameCount)
        let valueCount = Int(field.valueCount)
        guard room(nameCount &+ valueCount &+ 4) else { return }
        let to = UnsafeMutableRawPointer(self.base + count)
        to.copyMemory(from: base + Int(field.nameOffset), byteCount: nameCount)
        to.storeBytes(of: 0x203a, toByteOffset: nameCount, as: UInt16.self)
        (to + nameCount + 2).copyMemory(from: base + Int(field.valueOffset), byteCount: valueCount)
        to.storeBytes(of: 0x0a0d, toByteOffset: nameCount &+ 2 &+ valueCount, as: UInt16.self)
        count &+= nameCount &+ valueCount &+ 4
    }

    /// Leaves bytes that already stand in the region as they are.
    public mutating func skip(_ byteCount: Int) {
        guard room(byteCount) else { return }
        count &+= byteCount
    }

    /// Takes back the last bytes; at most `count`.
    public mutating func drop(_ byteCount: Int) {
        precondition(byteCount >= 0 && byteCount <= count)
        count &-= byteCount
    }

    public mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let start = bytes.baseAddress else { return }
        append(start, bytes.count)
    }

    public mutating func append(_ literal: StaticString) {
        append(literal.utf8Start, literal.utf8CodeUnitCount)
    }

    public mutating func append(_ byte: UInt8) {
        guard room(1) else { return }
        base[count] = byte
        count &+= 1
    }

    public mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBufferPointer { append($0) }
    }

    // Disfavoured, or every literal would be taken for a String and copied through one.
    @_disfavoredOverload
    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { append($0) }
    }

    public mutating func append(decimal value: UInt64) {
        guard room(20) else { return }
        var rest = value
        var digits = 1
        var probe = value
        while probe >= 10 {
            probe /= 10
            digits &+= 1
        }
        var at = count &+ digits
        repeat {
            at &-= 1
            base[at] = 48 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        count &+= digits
    }

    /// Lower-case hexadecimal without leading zeros.
    public mutating func append(hexadecimal value: UInt64) {
        guard room(16) else { return }
        let digits = value == 0 ? 1 : (67 &- value.leadingZeroBitCount) / 4
        var shift = (digits &- 1) &* 4
        while shift >= 0 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(shift)) & 15
            base[count] = nibble < 10 ? 48 &+ nibble : 87 &+ nibble
            count &+= 1
            shift &-= 4
        }
    }
}
