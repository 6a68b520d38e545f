// Query parameters and cookies of a request, found without copying.
// RFC 6265 §4.2.1 (Cookie), application/x-www-form-urlencoded for queries.

import WeirHTTPModel

/// Walks `key=value` pairs between separators. No allocation.
struct PairIterator {
    private var at: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    private let separator: UInt8
    private(set) var name = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
    private(set) var value = UnsafeBufferPointer<UInt8>(start: nil, count: 0)

    init(_ bytes: UnsafePointer<UInt8>, _ count: Int, separator: UInt8) {
        at = bytes
        end = bytes + count
        self.separator = separator
    }

    mutating func next() -> Bool {
        while at < end {
            // Cookies are separated by "; ".
            if separator == 0x3b, at.pointee == 0x20 || at.pointee == 0x09 {
                at += 1
                continue
            }
            let start = at
            var equals: UnsafePointer<UInt8>?
            while at < end, at.pointee != separator {
                if at.pointee == 0x3d, equals == nil { equals = at }
                at += 1
            }
            let stop = at
            if at < end { at += 1 }
            if start == stop { continue }
            let middle = equals ?? stop
            name = UnsafeBufferPointer(start: start, count: middle - start)
            let valueStart = equals == nil ? stop : middle + 1
            value = UnsafeBufferPointer(start: valueStart, count: stop - valueStart)
            return true
        }
        return false
    }
}

/// Whether a raw parameter name equals decoded bytes.
func parameterEquals(_ raw: UnsafeBufferPointer<UInt8>, _ wanted: UnsafeBufferPointer<UInt8>) -> Bool {
    guard raw.count >= wanted.count else { return false }
    var at = 0
    var i = 0
    while at < raw.count {
        guard i < wanted.count else { return false }
        var byte = raw[at]
        if byte == 0x25, raw.count - at >= 3, let high = hexValue(raw[at + 1]),
            let low = hexValue(raw[at + 2])
        {
            byte = high << 4 | low
            at += 2
        } else if byte == 0x2b {
            byte = 0x20
        }
        if byte != wanted[i] { return false }
        at += 1
        i += 1
    }
    return i == wanted.count
}

func bytesEqual(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
    guard a.count == b.count, let x = a.baseAddress, let y = b.baseAddress else { return a.count == b.count }
    return isEqual(x, y, a.count, folding: false)
}

extension RequestView {
    /// The first query parameter of this name as received (not decoded), or nil.
    public func queryParameter(_ name: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        let query = head.pointee.query
        var pairs = PairIterator(bytes + Int(query.offset), Int(query.count), separator: 0x26)
        while pairs.next() {
            if parameterEquals(pairs.name, name) { return pairs.value }
        }
        return nil
    }

    /// The first cookie of this name as received, or nil.
    public func cookie(_ name: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        var i = 0
        while i < Int(head.pointee.fieldCount) {
            let field = fields[i]
            if field.id == .cookie {
                var pairs = PairIterator(
                    bytes + Int(field.valueOffset), Int(field.valueCount), separator: 0x3b)
                while pairs.next() {
                    if bytesEqual(pairs.name, name) { return pairs.value }
                }
            }
            i += 1
        }
        return nil
    }
}
