// Normal forms of paths: total, never longer, written twice the same, without dot segments, and what
// decides is UTF-8 whose places lead back into the path.

import WeirHTTPModel

private typealias Write = (UnsafePointer<UInt8>, Int, UnsafeMutablePointer<UInt8>) -> Int

private func run(_ bytes: [UInt8], _ write: Write) -> [UInt8] {
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { out.deallocate() }
    return (bytes + [0]).withUnsafeBufferPointer { padded in
        guard let start = padded.baseAddress else { return [] }
        return withExact(start, bytes.count) { exact in
            let count = write(exact, bytes.count, out)
            require(count >= 0 && count <= bytes.count, "longer than the path")
            return Array(UnsafeBufferPointer(start: out, count: count))
        }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    // Codecs let no other byte pass, and no "%" without two digits.
    let visible = UnsafeBufferPointer(start: bytes, count: count).filter { $0 > 0x20 && $0 < 0x7f }
    var raw = [UInt8(ascii: "/")]
    for (at, byte) in visible.enumerated() {
        let isBroken =
            byte == UInt8(ascii: "%")
            && (at + 2 >= visible.count || PathForm.hexadecimal(visible[at + 1]) == nil
                || PathForm.hexadecimal(visible[at + 2]) == nil)
        raw.append(isBroken ? UInt8(ascii: "_") : byte)
    }
    let path = run(raw) { PathForm.write($0, $1, into: $2) }
    require(path.first == UInt8(ascii: "/"), "does not begin with a slash")
    let isEscapedDot = String(decoding: raw, as: UTF8.self).lowercased().contains("%2e")
    if !isEscapedDot {
        require(run(path) { PathForm.write($0, $1, into: $2) } == path, "written again it is something else")
        for segment in path.split(separator: UInt8(ascii: "/")) {
            require(!segment.elementsEqual(".".utf8) && !segment.elementsEqual("..".utf8), "a dot segment")
        }
    }
    let deciding = run(path) { PathForm.writeDeciding($0, $1, into: $2) }
    require(String(validating: deciding, as: UTF8.self) != nil, "not UTF-8")
    path.withUnsafeBufferPointer { path in
        deciding.withUnsafeBufferPointer { deciding in
            guard let start = path.baseAddress else { return }
            require(PathForm.prefixCount(of: path, deciding) == path.count, "not its own prefix")
            require(
                PathForm.offset(of: deciding.count, in: start, path.count) == path.count, "the end is lost")
        }
    }
    for reading in PathForm.Reading.allCases {
        let other = run(deciding) { PathForm.write(reading, of: $0, $1, into: $2) }
        require(
            !zip(other, other.dropFirst()).contains { $0 == UInt8(ascii: "/") && $1 == UInt8(ascii: "/") },
            "two slashes")
    }
    return 0
}
