// Fuzz target of the PROXY protocol parser and writer.
//
// The input is what a peer sends. Beyond not crashing: positions lie in the input, the answer does
// not depend on how the bytes were cut into reads, and what the writer writes the parser reads back.

import WeirProxyProtocol
import WeirAddresses

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzProxyProtocol(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data, count > 0 else { return 0 }
    let whole = ProxyHeader.parse(data, count: count)
    switch whole {
    case .needMore:
        require(count < ProxyHeader.bytesMax, "more wanted than can be")
        checkPrefixes(data, count, decided: count)
    case .malformed(let position):
        require(position >= 0 && position < count, "position \(position) of \(count)")
        checkPrefixes(data, count, decided: nil)
    case .complete(let header, let consumed):
        require(consumed > 0 && consumed <= count && consumed <= ProxyHeader.bytesMax, "consumed \(consumed)")
        require(ProxyHeader.parse(data, count: consumed) == whole, "what follows matters")
        checkPrefixes(data, count, decided: consumed)
        if header.command == .proxy, header.family == .ip { checkWriter(header) }
    }
    return 0
}

/// Asks again with fewer bytes: nothing but "need more" before the answer, the same answer after it.
private func checkPrefixes(_ data: UnsafePointer<UInt8>, _ count: Int, decided: Int?) {
    let whole = ProxyHeader.parse(data, count: count)
    var isDecided = false
    // Every prefix of short inputs, the interesting lengths of long ones.
    var length = 1
    while length <= count {
        let answer = withExact(data, length) { ProxyHeader.parse($0, count: length) }
        if isDecided || answer != .needMore {
            require(answer == whole, "the answer changed at \(length) bytes")
            isDecided = true
        } else if let decided {
            require(length < decided || whole == .needMore, "late answer")
        }
        length += length < 300 ? 1 : 257
    }
}

private func checkWriter(_ header: ProxyHeader) {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: ProxyHeader.writtenBytesMax) { room in
        guard let base = room.baseAddress else { return }
        for version: UInt8 in [1, 2] {
            if version == 1, header.isDatagram { continue }
            var wanted = header
            wanted.version = version
            guard let count = wanted.write(to: base, capacity: room.count) else {
                return require(false, "\(header) does not fit \(room.count) bytes")
            }
            require(
                ProxyHeader.parse(base, count: count) == .complete(wanted, consumed: count),
                "\(wanted) is not read back")
        }
    }
}
