// Query parameters decoded, and words for hashing and comparing bytes. (Paths: HTTPModel/PathForm.swift.)

import WeirHTTPModel

@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8? { PathForm.hexadecimal(byte) }

/// Decodes every percent-encoded byte and `+` (query parameters); returns the length.
func decodeParameter(_ raw: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>) -> Int
{
    var at = 0
    var written = 0
    while at < count {
        if raw[at] == 0x25, count &- at >= 3, let high = hexValue(raw[at + 1]),
            let low = hexValue(raw[at + 2])
        {
            out[written] = high << 4 | low
            at &+= 3
        } else {
            out[written] = raw[at] == 0x2b ? 0x20 : raw[at]
            at &+= 1
        }
        written &+= 1
    }
    return written
}

@inline(__always)
private func foldedWord(_ word: UInt64) -> UInt64 {
    let heptets = word & 0x7f7f_7f7f_7f7f_7f7f
    let aboveZ = heptets &+ 0x2525_2525_2525_2525
    let fromA = heptets &+ 0x3f3f_3f3f_3f3f_3f3f
    let isUpper = ~word & 0x8080_8080_8080_8080 & (fromA ^ aboveZ)
    return word | (isUpper >> 2)
}

/// Up to eight bytes as a word; never reads outside the run.
@inline(__always)
private func word(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
    if count >= 8 { return UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self) }
    var result: UInt64 = 0
    var i = 0
    while i < count {
        result |= UInt64(bytes[i]) << UInt64(i &* 8)
        i &+= 1
    }
    return result
}

@inline(__always)
func hash(_ bytes: UnsafePointer<UInt8>, _ count: Int, seed: UInt64, folding: Bool) -> UInt32 {
    var h = seed ^ UInt64(truncatingIfNeeded: count)
    var at = 0
    while at < count {
        let value = word(bytes + at, count &- at)
        h = (h ^ (folding ? foldedWord(value) : value)) &* 0x9e37_79b9_7f4a_7c15
        h ^= h >> 29
        at &+= 8
    }
    return UInt32(truncatingIfNeeded: h ^ (h >> 32))
}

/// Whether `a` equals `b`; with `folding`, ASCII case of both is ignored.
@inline(__always)
func isEqual(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, _ count: Int, folding: Bool) -> Bool {
    var at = 0
    while at < count {
        let x = word(a + at, count &- at)
        let y = word(b + at, count &- at)
        if folding ? foldedWord(x) != foldedWord(y) : x != y { return false }
        at &+= 8
    }
    return true
}
