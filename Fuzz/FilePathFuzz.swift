// Paths of files: whatever the encoding, what comes out stays below the root and names what it says.

import WeirFiles

private func resolve(_ path: UnsafeBufferPointer<UInt8>, _ hidden: Bool, _ capacity: Int) -> (
    FilePath.Verdict, [UInt8]
) {
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { out.deallocate() }
    let verdict = FilePath.resolve(path, allowsHidden: hidden, into: out, capacity: capacity)
    switch verdict {
    case .refused: return (verdict, [])
    case .file(let count), .folder(let count):
        require(count >= 0 && count < capacity && out[count] == 0, "no NUL behind the path")
        return (verdict, Array(UnsafeBufferPointer(start: out, count: count)))
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    withExact(bytes, count) { exact in
        let path = UnsafeBufferPointer(start: exact, count: count)
        for hidden in [false, true] {
            let (verdict, result) = resolve(path, hidden, count + 1)
            let (small, _) = resolve(path, hidden, count / 2 + 1)
            if small != verdict {
                require(small == .refused(.tooLong), "with less room: \(small), else: \(verdict)")
            }
            if case .refused = verdict { continue }
            check(verdict, result, hidden)
        }
    }
    return 0
}

private func check(_ verdict: FilePath.Verdict, _ result: [UInt8], _ hidden: Bool) {
    let dot = UInt8(ascii: ".")
    require(!result.contains { $0 < 32 || $0 == 127 || $0 == UInt8(ascii: "\\") }, "a byte no name has")
    var segments = result.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    if case .folder = verdict {
        require(segments.popLast()?.isEmpty ?? true, "a folder's path ends in a slash, or is empty")
    }
    for (i, segment) in segments.enumerated() {
        require(!segment.isEmpty, "an empty segment")
        require(segment != [dot] && segment != [dot, dot], "a dot segment")
        let isWellKnown = i == 0 && segment.elementsEqual(".well-known".utf8)
        require(hidden || segment.first != dot || isWellKnown, "a hidden name")
    }
    // Encoded whole and resolved again it is the same.
    let digits = Array("0123456789abcdef".utf8)
    let encoded = result.reduce(into: [UInt8(ascii: "/")]) { text, byte in
        if byte == UInt8(ascii: "/") {
            text.append(byte)
        } else {
            text += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    encoded.withUnsafeBufferPointer {
        let (again, second) = resolve($0, hidden, encoded.count + 1)
        require(again == verdict && second == result, "encoded again it is something else")
    }
}
