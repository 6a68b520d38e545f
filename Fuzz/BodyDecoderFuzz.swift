// Decoders of request bodies: never more out than allowed, the same bytes and the same verdict however the
// input is split. The first byte picks the coding.

import WeirCompression
import WeirHTTPModel

private func decode(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ coding: DecodedCoding, piece: Int, room: Int
) -> (bytes: [UInt8], error: DecodeError?) {
    let bytesMax = 1 << 16
    let memory = DecoderMemory()
    guard
        let decoder = Decoder.make(
            coding, limits: DecoderLimits(bytesMax: UInt64(bytesMax)), memory: memory)
    else { return ([], .noMemory) }
    defer {
        decoder.destroy()
        require(memory.lentBytes == 0, "memory left behind")
    }
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: room)
    var start = 0
    while start < count {
        let length = min(piece, count - start)
        var taken = 0
        while true {
            let step = decoder.read(bytes + start + taken, length - taken, into: &buffer, capacity: room)
            require(step.consumed <= length - taken && step.produced <= room, "more than there is")
            output += buffer.prefix(step.produced)
            taken += step.consumed
            require(output.count <= bytesMax, "more than allowed")
            if let error = step.error { return (output, error) }
            if !step.hasMore { break }
            require(step.produced > 0 || step.consumed > 0, "no progress")
        }
        require(taken == length, "bytes left behind")
        start += length
    }
    return (output, decoder.finish())
}

/// The same bytes as the value of Content-Encoding: a coding that was found stands there.
private func checkNames(_ input: UnsafePointer<UInt8>, _ count: Int) {
    var coding = RequestCoding.none
    withExact(input, count) { coding.add(UnsafeBufferPointer(start: $0, count: count)) }
    guard case .coded(let found) = coding else { return }
    let text = String(decoding: UnsafeBufferPointer(start: input, count: count), as: UTF8.self).lowercased()
    require(text.contains("\(found.name)"), "\(found.name) is not there")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> CInt {
    checkNames(input, inputCount)
    guard inputCount > 0, let coding = DecodedCoding(rawValue: input[0] % 4 + 1) else { return 0 }
    let count = inputCount - 1
    let whole = decode(input + 1, count, coding, piece: max(1, count), room: 4096)
    let split = decode(input + 1, count, coding, piece: 7, room: 100)
    // Libraries look at the whole input before they give up on it, so the bytes before an error differ.
    require(
        (whole.error == nil) == (split.error == nil),
        "\(coding.name): \(whole.error as Any), \(split.error as Any)")
    if whole.error == nil { require(whole.bytes == split.bytes, "\(coding.name): other bytes when split") }
    return 0
}
