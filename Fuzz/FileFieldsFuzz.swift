// The fields a request for a file may carry: ranges within the file that do not overlap, tags found only
// where they stand.

import WeirFiles

private func spans(_ value: UnsafeBufferPointer<UInt8>, _ size: UInt64) -> (ByteRanges.Verdict, [ByteSpan]) {
    let room = UnsafeMutablePointer<ByteSpan>.allocate(capacity: ByteRanges.partsMax)
    defer { room.deallocate() }
    let verdict = ByteRanges.read(value, size: size, into: room)
    guard case .spans(let count) = verdict else { return (verdict, []) }
    require((1...ByteRanges.partsMax).contains(count), "\(count) spans")
    return (verdict, Array(UnsafeBufferPointer(start: room, count: count)))
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    withExact(bytes, count) { exact in
        let value = UnsafeBufferPointer(start: exact, count: count)
        for size: UInt64 in [0, 1, 1000, 1 << 40, .max] { checkRanges(value, size) }
        checkTags(value)
    }
    return 0
}

private func checkRanges(_ value: UnsafeBufferPointer<UInt8>, _ size: UInt64) {
    let (_, spans) = spans(value, size)
    var total: UInt64 = 0
    for (i, span) in spans.enumerated() {
        require(span.count > 0 && span.first < size && span.count <= size - span.first, "\(span) of \(size)")
        total += span.count
        for other in spans[..<i] {
            require(span.first >= other.end || other.first >= span.end, "\(span) overlaps \(other)")
        }
    }
    require(total <= size && (spans.count < 2 || total < size), "\(total) bytes of \(size)")
}

private func checkTags(_ value: UnsafeBufferPointer<UInt8>) {
    let tag = Array("\"1-2\"".utf8)
    tag.withUnsafeBufferPointer { tag in
        let strong = EntityTag.list(value, contains: tag, isStrong: true)
        let weak = EntityTag.list(value, contains: tag, isStrong: false)
        require(weak || !strong, "a strong match that is no weak one")
        guard weak, value.first != UInt8(ascii: "*") else { return }
        let stands = value.indices.contains { value[$0...].starts(with: tag) }
        require(stands, "found where it does not stand")
    }
}
