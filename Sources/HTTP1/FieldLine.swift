// One field line: name ":" OWS value OWS CRLF (RFC 9112 §5), as found in heads and trailers.
//
// Everything that lets two readers of the same bytes see different fields is refused here: bare CR
// and LF, folded lines, whitespace before the colon or before the first line, control characters.
// What a field means is decided elsewhere.

import WeirHTTPModel

/// Reads one field line at `cursor`, or the empty line that ends the section.
///
/// - Parameters:
///   - end: one past the last byte that may be looked at.
///   - isFirst: whether no field line precedes this one (whitespace at its start is then not folding).
/// - Returns: whether there was a field; false when the empty line was read. The cursor is behind what
///   was read.
@inline(__always)
func readFieldLine(
    _ bytes: UnsafePointer<UInt8>, _ cursor: inout Int, end: Int, isFirst: Bool, limits: HeadLimits,
    _ field: inout Field
) throws(HeadStop) -> Bool {
    let nameStart = cursor
    var at = endOfCommonName(bytes, nameStart, end)
    while at < end, ByteClass.contains(bytes[at], ByteClass.token) { at &+= 1 }
    guard at < end else {
        throw at &- nameStart > limits.fieldNameBytesMax ? .tooLarge(.fieldName) : .incomplete
    }
    if bytes[at] != UInt8(ascii: ":") || at == nameStart {
        if at == nameStart, bytes[at] == UInt8(ascii: "\r") {
            cursor = try lineEnd(bytes, at, end: end)
            return false
        }
        // First what the same bytes, had they ended here, would have been refused for.
        if at &- nameStart > limits.fieldNameBytesMax { throw .tooLarge(.fieldName) }
        throw fieldNameStop(bytes, at, end: end, nameStart: nameStart, isFirst: isFirst)
    }
    let nameCount = at &- nameStart
    if nameCount > limits.fieldNameBytesMax { throw .tooLarge(.fieldName) }
    at &+= 1
    while at < end, bytes[at] == UInt8(ascii: " ") || bytes[at] == UInt8(ascii: "\t") { at &+= 1 }
    let valueStart = at
    at = endOfText(bytes, at, end)
    cursor = try lineEnd(bytes, at, end: end, otherwise: .fieldValueByteInvalid)
    // Whitespace alone was skipped above, so this ends at the value's start at the latest.
    while at > valueStart, bytes[at &- 1] == UInt8(ascii: " ") || bytes[at &- 1] == UInt8(ascii: "\t") {
        at &-= 1
    }
    field = Field(
        nameOffset: UInt32(truncatingIfNeeded: nameStart),
        nameCount: UInt16(truncatingIfNeeded: nameCount),
        valueOffset: UInt32(truncatingIfNeeded: valueStart),
        valueCount: UInt32(truncatingIfNeeded: at &- valueStart),
        id: FieldID.identify(bytes + nameStart, count: nameCount))
    return true
}

/// The offset behind the CRLF expected at `at`.
///
/// - Parameter otherwise: what is wrong when there is neither CR nor LF at `at`.
@inline(__always)
func lineEnd(
    _ bytes: UnsafePointer<UInt8>, _ at: Int, end: Int, otherwise: Violation = .bareCR
) throws(HeadStop) -> Int {
    if at &+ 1 < end, bytes[at] == UInt8(ascii: "\r"), bytes[at &+ 1] == UInt8(ascii: "\n") {
        return at &+ 2
    }
    throw lineEndStop(bytes, at, end: end, otherwise: otherwise)
}

/// Why there is no CRLF at `at`.
@inline(never)
func lineEndStop(
    _ bytes: UnsafePointer<UInt8>, _ at: Int, end: Int, otherwise: Violation
) -> HeadStop {
    guard at < end else { return .incomplete }
    switch bytes[at] {
    case UInt8(ascii: "\r"): return at &+ 1 < end ? .malformed(.bareCR, at) : .incomplete
    case UInt8(ascii: "\n"): return .malformed(.bareLF, at)
    default: return .malformed(otherwise, at)
    }
}

/// Why a field name does not end with a colon at `at`.
@inline(never)
private func fieldNameStop(
    _ bytes: UnsafePointer<UInt8>, _ at: Int, end: Int, nameStart: Int, isFirst: Bool
) -> HeadStop {
    switch bytes[at] {
    case UInt8(ascii: ":"):
        return .malformed(.fieldNameMissing, at)
    case UInt8(ascii: " "), UInt8(ascii: "\t"):
        if at > nameStart { return .malformed(.whitespaceBeforeColon, at) }
        return .malformed(isFirst ? .leadingWhitespace : .lineFolding, at)
    case UInt8(ascii: "\r"):
        guard at &+ 1 < end else { return .incomplete }
        return .malformed(bytes[at &+ 1] == UInt8(ascii: "\n") ? .colonMissing : .bareCR, at)
    case UInt8(ascii: "\n"):
        return .malformed(.bareLF, at)
    default:
        return .malformed(.fieldNameInvalid, at)
    }
}

/// The offset of the first byte in the next sixteen that is no letter, digit or hyphen: the colon, for
/// nearly every field name. `start` when fewer than sixteen bytes are left.
@inline(__always)
private func endOfCommonName(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
    guard start &+ 16 <= end else { return start }
    let block = UnsafeRawPointer(bytes + start).loadUnaligned(as: SIMD16<UInt8>.self)
    let letters = ((block | every(0x20)) &- every(UInt8(ascii: "a"))) .< every(26)
    let digits = (block &- every(UInt8(ascii: "0"))) .< every(10)
    let hyphens = block .== every(UInt8(ascii: "-"))
    return start &+ firstSet(.!(letters .| digits .| hyphens))
}

@inline(__always)
private func every(_ byte: UInt8) -> SIMD16<UInt8> { SIMD16(repeating: byte) }

/// The index of the first lane that is set, or 16.
@inline(__always)
private func firstSet(_ mask: SIMDMask<SIMD16<Int8>>) -> Int {
    // A lane of a mask is 0 or 0xFF.
    let halves = unsafeBitCast(mask, to: SIMD2<UInt64>.self)
    let low = UInt64(littleEndian: halves[0])
    if low != 0 { return low.trailingZeroBitCount &>> 3 }
    let high = UInt64(littleEndian: halves[1])
    return 8 &+ high.trailingZeroBitCount &>> 3
}

/// The offset of the first control character other than HTAB (DEL included), or `end`. Bytes from 0x80
/// (obs-text) pass.
@inline(__always)
func endOfText(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Int {
    var at = start
    while at &+ 16 <= end {
        let block = UnsafeRawPointer(bytes + at).loadUnaligned(as: SIMD16<UInt8>.self)
        let index = firstSet((block .< every(0x20)) .| (block .== every(0x7F)))
        at &+= index
        if index == 16 { continue }
        if bytes[at] != UInt8(ascii: "\t") { return at }
        at &+= 1
    }
    while at < end {
        let byte = bytes[at]
        if byte < 0x20 && byte != UInt8(ascii: "\t") || byte == 0x7F { return at }
        at &+= 1
    }
    return at
}
