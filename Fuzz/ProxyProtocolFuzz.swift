// Fuzz target of the PROXY protocol parser and writer.
//
// The input is what a peer sends. Beyond not crashing: positions lie in the input, the answer does
// not depend on how the bytes were cut into reads, and what the writer writes the parser reads back.

import ProxyProtocol
import Reactor

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzProxyProtocol(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let data, count > 0 else { return 0 }
    let whole = ProxyHeader.parse(data, count: count)
    switch whole {
    case .needMore:
        precondition(count < ProxyHeader.bytesMax)
        checkPrefixes(data, count, decided: count)
    case .malformed(let position):
        precondition(position >= 0 && position < count)
        checkPrefixes(data, count, decided: nil)
    case .complete(let header, let consumed):
        precondition(consumed > 0 && consumed <= count && consumed <= ProxyHeader.bytesMax)
        precondition(ProxyHeader.parse(data, count: consumed) == whole)
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
        let answer = ProxyHeader.parse(data, count: length)
        if isDecided || answer != .needMore {
            precondition(answer == whole, "the answer changed at \(length) bytes")
            isDecided = true
        } else if let decided {
            precondition(length < decided || whole == .needMore)
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
                preconditionFailure("\(header) does not fit \(room.count) bytes")
            }
            precondition(ProxyHeader.parse(base, count: count) == .complete(wanted, consumed: count))
        }
    }
}
