// The ClientHello reader: whatever a stranger sends, positions lie in the input, the answer does not
// depend on how the bytes were cut into reads, and a name that is found is one a router can look up.

import TLS

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    let whole = withExact(bytes, count) { ClientHello.parse($0, count: count) }
    switch whole {
    case .needMore:
        require(count <= ClientHello.bytesMax + 16_389, "unbounded")
    case .malformed(let position):
        require(position >= 0 && position < count, "position \(position) of \(count)")
    case .found(let hello):
        if let name = hello.serverName {
            require((1...255).contains(name.utf8.count), "a name of \(name.utf8.count) bytes")
            let isClean = name.utf8.allSatisfy {
                $0 &- 97 < 26 || $0 &- 48 < 10 || $0 == 45 || $0 == 46 || $0 == 95
            }
            require(isClean, "a name with other bytes")
        }
        require(hello.alpn.count <= 32, "too many protocols")
    }
    var isDecided = false
    var length = 1
    while length <= count {
        let answer = withExact(bytes, length) { ClientHello.parse($0, count: length) }
        if isDecided || answer != .needMore {
            require(answer == whole, "the answer changed at \(length) bytes: \(answer), whole: \(whole)")
            isDecided = true
        }
        length += length < 100 ? 1 : 61
    }
    return 0
}
