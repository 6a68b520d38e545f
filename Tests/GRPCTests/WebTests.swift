// gRPC-Web: base64 as a stream, request bodies held to their framing, trailer frames.

import WeirGRPC
import WeirHTTPModel
import Testing

/// A message with its prefix.
func message(_ payload: [UInt8], flag: UInt8 = 0) -> [UInt8] {
    let count = payload.count
    return [flag] + (0..<4).map { UInt8(truncatingIfNeeded: count >> (24 - 8 * $0)) } + payload
}

private func encode(_ bytes: [UInt8]) -> String {
    var encoder = Base64Encoder()
    var room = [UInt8](repeating: 0, count: Base64Encoder.room(for: bytes.count))
    let capacity = room.count
    var count = encoder.encode(bytes, bytes.count, into: &room)
    count += room.withUnsafeMutableBufferPointer { to in
        to.baseAddress.map { encoder.flush(into: $0 + count) } ?? 0
    }
    #expect(count <= capacity)
    return String(decoding: room.prefix(count), as: UTF8.self)
}

/// Decodes in blocks; nil when it is refused or ends in the middle.
private func decode(_ text: String, blocks: Int) -> [UInt8]? {
    var decoder = Base64Decoder()
    let bytes = Array(text.utf8)
    var output: [UInt8] = []
    var start = 0
    while start < bytes.count {
        let size = min(blocks, bytes.count - start)
        let block = Array(bytes[start..<start + size])
        var room = [UInt8](repeating: 0, count: Base64Decoder.room(for: size))
        guard let produced = decoder.decode(block, size, into: &room) else { return nil }
        output += room.prefix(produced)
        start += size
    }
    return decoder.isAtBoundary ? output : nil
}

@Suite("Base64")
struct Base64Tests {
    @Test(
        "RFC 4648 §10",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
        ])
    func vectors(plain: String, text: String) {
        #expect(encode(Array(plain.utf8)) == text)
        for blocks in 1...4 { #expect(decode(text, blocks: blocks) == Array(plain.utf8)) }
    }

    @Test("every byte, in blocks of every size")
    func allBytes() {
        let plain = (0..<3).flatMap { _ in (0...255).map { UInt8($0) } }
        let text = encode(plain)
        for blocks in 1...20 { #expect(decode(text, blocks: blocks) == plain) }
    }

    @Test("padding in the middle, as after a flush")
    func concatenated() {
        for blocks in 1...9 {
            #expect(decode("Zg==Zm8=Zm9vZg==", blocks: blocks) == Array("ffofoof".utf8))
        }
    }

    @Test(
        "refused",
        arguments: [
            "Z", "Zg", "Zg=", "Zm9", "=", "====", "Z===", "A===", "Zg=a", "Zg=\n", "Zm9v\n", " Zm9v", "Zm9v=",
            "Zm9-", "Zm_v", "Zh==", "Zm9=", "Zg===", "Zm 9v", "Zm9v\u{0}",
        ])
    func refused(text: String) {
        for blocks in 1...5 { #expect(decode(text, blocks: blocks) == nil) }
    }

    @Test("what is refused stays refused")
    func staysBroken() {
        var decoder = Base64Decoder()
        var room = [UInt8](repeating: 0, count: 8)
        #expect(decoder.decode(Array("*".utf8), 1, into: &room) == nil)
        #expect(decoder.decode(Array("Zm9v".utf8), 4, into: &room) == nil)
        #expect(!decoder.isAtBoundary)
    }

    @Test("an encoder in blocks writes the same text; its room suffices")
    func encoderBlocks() {
        let plain = (0..<100).map { UInt8($0 * 7 & 255) }
        let whole = encode(plain)
        for blocks in 1...10 {
            var encoder = Base64Encoder()
            var text: [UInt8] = []
            var start = 0
            while start < plain.count {
                let size = min(blocks, plain.count - start)
                var room = [UInt8](repeating: 0, count: Base64Encoder.room(for: size))
                var count = encoder.encode(Array(plain[start..<start + size]), size, into: &room)
                start += size
                if start == plain.count {
                    #expect(count + (encoder.hasCarry ? 4 : 0) <= room.count)
                    count += room.withUnsafeMutableBufferPointer { to in
                        to.baseAddress.map { encoder.flush(into: $0 + count) } ?? 0
                    }
                }
                text += room.prefix(count)
            }
            #expect(String(decoding: text, as: UTF8.self) == whole)
        }
    }
}

@Suite("gRPC-Web requests")
struct WebRequestTests {
    /// What an endpoint gets of a body, and what was wrong with it.
    static func bridge(_ body: [UInt8], _ kind: GRPCKind, blocks: Int) -> ([UInt8], GRPCWebError?, UInt64) {
        var decoder = GRPCWebRequestDecoder(kind)
        var output: [UInt8] = []
        var start = 0
        while start < body.count {
            let size = min(blocks, body.count - start)
            let block = Array(body[start..<start + size])
            var room = [UInt8](repeating: 0, count: GRPCWebRequestDecoder.room(for: size))
            let isFine = block.withUnsafeBufferPointer { from in
                room.withUnsafeMutableBufferPointer { to in
                    guard let base = from.baseAddress, let target = to.baseAddress,
                        let made = decoder.decode(base, size, into: target)
                    else { return false }
                    output += made
                    return true
                }
            }
            if !isFine { return (output, decoder.error, decoder.messages) }
            start += size
        }
        let error = decoder.finish()
        return (output, error, decoder.messages)
    }

    static let body =
        message([]) + message(Array("hello".utf8), flag: 1) + message([UInt8](repeating: 9, count: 300))

    @Test("messages pass, in binary and in text, whatever the blocks", arguments: 1...9)
    func passes(blocks: Int) {
        let binary = Self.bridge(Self.body, .web, blocks: blocks)
        #expect(binary.0 == Self.body && binary.1 == nil && binary.2 == 3)
        let text = Self.bridge(Array(encode(Self.body).utf8), .webText, blocks: blocks)
        #expect(text.0 == Self.body && text.1 == nil && text.2 == 3)
        // Each message in base64 of its own.
        let parts = encode(message([1])) + encode(message([2, 3])) + encode(message([]))
        let row = Self.bridge(Array(parts.utf8), .webText, blocks: blocks)
        #expect(row.0 == message([1]) + message([2, 3]) + message([]) && row.1 == nil)
        let nothing = Self.bridge([], .webText, blocks: blocks)
        #expect(nothing.0.isEmpty && nothing.1 == nil)
    }

    @Test("a trailer frame or an unknown flag is no message", arguments: [UInt8(2), 0x80, 0x81, 0xFF])
    func flags(flag: UInt8) {
        let body = message([1]) + message([], flag: flag)
        #expect(Self.bridge(body, .web, blocks: 3).1 == .frameInvalid)
        #expect(Self.bridge(Array(encode(body).utf8), .webText, blocks: 3).1 == .frameInvalid)
    }

    @Test("every prefix that is no whole row of messages is refused")
    func truncation() {
        let ends = [0, 5, 15, 320]
        for count in 0...Self.body.count {
            let error: GRPCWebError? = ends.contains(count) ? nil : .truncated
            #expect(Self.bridge(Array(Self.body.prefix(count)), .web, blocks: 7).1 == error, "\(count)")
        }
        #expect(Self.bridge(Array("AAAA".utf8), .webText, blocks: 7).1 == .truncated)
        #expect(Self.bridge(Array("AAA".utf8), .webText, blocks: 7).1 == .base64Malformed)
    }

    @Test("binary where text was said")
    func wrongKind() {
        #expect(Self.bridge(Self.body, .webText, blocks: 9).1 == .base64Malformed)
        #expect(Self.bridge(Array(encode(Self.body).utf8), .web, blocks: 9).1 == .frameInvalid)
    }

    @Test("a length of 4 GiB is only counted")
    func hugeLength() {
        let result = Self.bridge([0, 255, 255, 255, 255, 1, 2], .web, blocks: 2)
        #expect(result.1 == .truncated && result.0.count == 7)
    }
}

@Suite("gRPC-Web responses")
struct WebResponseTests {
    @Test("messages pass, and the trailers follow in a frame")
    func binary() {
        var encoder = GRPCWebResponseEncoder(.web)
        let body = message(Array("hello".utf8))
        var room = [UInt8](repeating: 0, count: 64)
        let passed = body.withUnsafeBufferPointer { from in
            from.baseAddress.map { Array(encoder.encode($0, body.count, into: &room, flush: true)) }
        }
        #expect(passed == body)
        let lines = "grpc-status: 0\r\nx-a: b c\r\n"
        let made = written { writer in
            writer.append(">")
            bytes(lines) { encoder.writeTrailers($0, &writer) }
        }
        #expect(made == ">\u{FFFD}\0\0\0\u{1A}" + lines && lines.utf8.count == 0x1A)
    }

    @Test("in text it is the base64 of the same, however it is cut and flushed", arguments: 1...8)
    func text(blocks: Int) throws {
        let body = message(Array("hello, gRPC-Web".utf8)) + message([1]) + message([])
        for flushEvery in 1...4 {
            var encoder = GRPCWebResponseEncoder(.webText)
            var text: [UInt8] = []
            var start = 0
            var rounds = 0
            while start < body.count {
                rounds += 1
                let size = min(blocks, body.count - start)
                let block = Array(body[start..<start + size])
                var room = [UInt8](repeating: 0, count: GRPCWebResponseEncoder.room(for: size))
                text += block.withUnsafeBufferPointer { from in
                    room.withUnsafeMutableBufferPointer { to in
                        guard let base = from.baseAddress, let target = to.baseAddress else { return [] }
                        return Array(
                            encoder.encode(base, size, into: target, flush: rounds % flushEvery == 0))
                    }
                }
                if rounds % flushEvery == 0 {
                    // What was flushed can be read at once.
                    #expect(
                        decode(String(decoding: text, as: UTF8.self), blocks: 5)
                            == Array(body.prefix(start + size)))
                }
                start += size
            }
            let end = written { writer in
                bytes("all well") { encoder.writeStatus(.ok, message: $0, &writer) }
            }
            let whole = try #require(decode(String(decoding: text, as: UTF8.self) + end, blocks: 6))
            let lines = Array("grpc-status: 0\r\ngrpc-message: all well\r\n".utf8)
            #expect(whole == body + message(lines, flag: 0x80))
        }
    }

    @Test("a writer without room says so", arguments: [GRPCKind.web, .webText])
    func noRoom(kind: GRPCKind) {
        for capacity in 0..<60 {
            var encoder = GRPCWebResponseEncoder(kind)
            let made = written(capacity) { writer in
                bytes("x") { encoder.writeStatus(.unknown, message: $0, &writer) }
            }
            // 5 and 33 bytes; 52 in base64.
            #expect((made == "overflow") == (capacity < (kind == .web ? 38 : 56)), "\(capacity)")
        }
    }
}
