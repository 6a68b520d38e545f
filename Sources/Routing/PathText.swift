// Percent-encoding in paths, and words for hashing and comparing bytes.
//
// Defends against `/%61dmin` going round a route for /admin: before matching, percent-encoded
// *unreserved* characters are decoded and the digits of what stays encoded are upper-cased
// (RFC 3986 §6.2.2). Reserved characters stay encoded: %2F is never a separator.
// It does not remove dot segments; `hasDotSegments` finds them, the caller decides.

@inline(__always)
func hexValue(_ byte: UInt8) -> UInt8? {
    switch byte {
    case 0x30...0x39: byte &- 0x30
    case 0x41...0x46: byte &- 0x37
    case 0x61...0x66: byte &- 0x57
    default: nil
    }
}

@inline(__always)
func isUnreserved(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: true
    default: false
    }
}

@inline(__always)
private func upper(_ byte: UInt8) -> UInt8 { byte &- 0x61 < 26 ? byte & 0xdf : byte }

/// One step of the normal form: how many raw bytes it reads, how many bytes it stands for.
@inline(__always)
private func step(_ raw: UnsafePointer<UInt8>, _ at: Int, _ count: Int) -> (read: Int, decoded: UInt8?) {
    guard raw[at] == 0x25, count &- at >= 3, let high = hexValue(raw[at + 1]), let low = hexValue(raw[at + 2])
    else { return (1, raw[at]) }
    let byte = high << 4 | low
    return (3, isUnreserved(byte) ? byte : nil)
}

/// Writes the normal form of a path; returns its length, which is at most `count`.
func normalizePath(_ raw: UnsafePointer<UInt8>, _ count: Int, into out: UnsafeMutablePointer<UInt8>) -> Int {
    var at = 0
    var written = 0
    while at < count {
        let (read, decoded) = step(raw, at, count)
        if let decoded {
            out[written] = decoded
            written &+= 1
        } else {
            out[written] = 0x25
            out[written + 1] = upper(raw[at + 1])
            out[written + 2] = upper(raw[at + 2])
            written &+= 3
        }
        at &+= read
    }
    return written
}

/// The raw offset that stands at `offset` of the normal form.
func rawOffset(of offset: Int, in raw: UnsafePointer<UInt8>, _ count: Int) -> Int {
    var at = 0
    var written = 0
    while at < count, written < offset {
        let (read, decoded) = step(raw, at, count)
        written &+= decoded == nil ? 3 : 1
        at &+= read
    }
    return at
}

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

/// Whether a path in normal form has a `.` or `..` segment (RFC 3986 §3.3).
func hasDotSegments(_ path: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var at = 1
    while at < count {
        if path[at] == 0x2e, path[at - 1] == 0x2f {
            var end = at &+ 1
            if end < count, path[end] == 0x2e { end &+= 1 }
            if end == count || path[end] == 0x2f { return true }
        }
        at &+= 1
    }
    return false
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
