// Accept-Encoding: whatever the bytes, a choice is one of the order's codings, and one the client gave weight.

import WeirHTTPModel

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    var accepted = AcceptedCodings()
    withExact(input, count) { accepted.add(UnsafeBufferPointer(start: $0, count: count)) }
    for order in [[.zstd, .br, .gzip], [.gzip], [.br, .gzip]] as [[ContentCoding]] {
        let chosen = accepted.choice(among: CodingOrder(order))
        if let chosen {
            require(order.contains(chosen), "\(chosen) was not offered")
            require(accepted.weight(of: chosen) > 0, "\(chosen) was refused")
            require(accepted.weight(of: chosen) >= accepted.identityWeight, "identity is liked better")
        }
        for coding in order {
            require((0...1000).contains(accepted.weight(of: coding)), "weight out of range")
            if let chosen {
                require(
                    accepted.weight(of: chosen) >= accepted.weight(of: coding), "\(coding) is liked better")
            }
        }
    }
    // Taken out one by one, they come from the most wanted to the least.
    var rest = CodingOrder.standard
    var last = 1000
    while let next = accepted.choice(among: rest) {
        require(accepted.weight(of: next) <= last, "\(next) out of order")
        last = accepted.weight(of: next)
        rest.remove(next)
    }
    require((0...1000).contains(accepted.identityWeight), "identity's weight out of range")
    // Two fields are the list of both.
    var twice = AcceptedCodings()
    var half = count / 2
    while half < count, input[half] != UInt8(ascii: ",") { half += 1 }
    if half < count {
        withExact(input, half) { twice.add(UnsafeBufferPointer(start: $0, count: half)) }
        withExact(input + half, count - half) {
            twice.add(UnsafeBufferPointer(start: $0, count: count - half))
        }
        require(
            twice.choice(among: .standard) == accepted.choice(among: .standard),
            "split at a comma, other choice")
    }
    return 0
}
