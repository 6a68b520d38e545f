// The health protocol's messages, against bytes made by protoc's rules.

import WeirGRPC
import WeirHTTPModel
import Testing

@Suite("Health")
struct HealthTests {
    static func make(_ body: (inout ByteWriter) -> Void) -> [UInt8] {
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 8192)
        defer { room.deallocate() }
        var writer = ByteWriter(room, capacity: 8192)
        body(&writer)
        return Array(UnsafeBufferPointer(start: room, count: writer.count))
    }

    static func status(_ payload: [UInt8]) -> GRPCHealth.ServingStatus? {
        message(payload).withUnsafeBufferPointer { GRPCHealth.readResponse($0) }
    }

    @Test("requests")
    func requests() throws {
        let whole = Self.make { writer in bytes("") { GRPCHealth.writeRequest(service: $0, &writer) } }
        #expect(whole == [0, 0, 0, 0, 0])
        let named = Self.make { writer in bytes("a.B") { GRPCHealth.writeRequest(service: $0, &writer) } }
        #expect(named == [0, 0, 0, 0, 5, 0x0A, 3] + Array("a.B".utf8))
        for count in [1, 127, 128, 1024] {
            let name = String(repeating: "n", count: count)
            let made = Self.make { writer in bytes(name) { GRPCHealth.writeRequest(service: $0, &writer) } }
            let text = try made.withUnsafeBufferPointer { body in
                let range = try #require(GRPCHealth.readRequest(body))
                return range.text(in: try #require(body.baseAddress))
            }
            #expect(text == name)
        }
    }

    @Test("responses", arguments: GRPCHealth.ServingStatus.allCases)
    func responses(status: GRPCHealth.ServingStatus) {
        let made = Self.make { GRPCHealth.writeResponse(status, &$0) }
        #expect(made.withUnsafeBufferPointer { GRPCHealth.readResponse($0) } == status)
    }

    @Test(
        "the bytes of grpcio-health-checking 1.51.1 with protobuf 4.25.9",
        arguments: [
            ("", [], [0x08, 1], .serving),
            (
                "shop.Orders",
                [0x0A, 0x0B, 0x73, 0x68, 0x6F, 0x70, 0x2E, 0x4F, 0x72, 0x64, 0x65, 0x72, 0x73],
                [0x08, 2], .notServing
            ),
            ("new", [0x0A, 0x03, 0x6E, 0x65, 0x77], [], .unknown),
            ("\u{FC}", [0x0A, 0x02, 0xC3, 0xBC], [0x08, 3], .serviceUnknown),
        ] as [(String, [UInt8], [UInt8], GRPCHealth.ServingStatus)])
    func library(name: String, request: [UInt8], response: [UInt8], status: GRPCHealth.ServingStatus) throws {
        let asked = Self.make { writer in bytes(name) { GRPCHealth.writeRequest(service: $0, &writer) } }
        #expect(asked == message(request))
        let read = try message(request).withUnsafeBufferPointer { body in
            let range = try #require(GRPCHealth.readRequest(body))
            return range.text(in: try #require(body.baseAddress))
        }
        #expect(read == name)
        #expect(Self.make { GRPCHealth.writeResponse(status, &$0) } == message(response))
        #expect(Self.status(response) == status)
    }

    @Test("what a peer may send")
    func tolerated() {
        #expect(Self.status([]) == .unknown)
        #expect(Self.status([0x08, 1]) == .serving)
        #expect(Self.status([0x08, 0x81, 0x00]) == .serving)
        // Unknown fields of each wire type around it, the last status of several.
        #expect(
            Self.status(
                [0x12, 2, 7, 7, 0x08, 1, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 5, 0x08, 2])
                == .notServing)
        #expect(Self.status([0x08, 9]) == .unknown)
        #expect(Self.status([0x08, 0x80, 0x02]) == .unknown)
    }

    @Test(
        "what is malformed",
        arguments: [
            [0x08], [0x08, 0x80], [0x0A, 5, 1], [0x0A, 0x80], [0x00, 1], [0x0B], [0x0F], [0x0D, 1, 2, 3],
            [0x09, 1, 2, 3, 4, 5, 6, 7], [0x0A, 0],
            [0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1],
            [0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2],
        ] as [[UInt8]])
    func malformed(payload: [UInt8]) {
        #expect(Self.status(payload) == nil)
    }

    @Test("the body is exactly one plain message within its bound")
    func framing() {
        func read(_ body: [UInt8]) -> GRPCHealth.ServingStatus? {
            body.withUnsafeBufferPointer { GRPCHealth.readResponse($0) }
        }
        #expect(read([]) == nil)
        #expect(read([0, 0, 0, 0]) == nil)
        #expect(read([1, 0, 0, 0, 0]) == nil)
        #expect(read([0, 0, 0, 0, 1]) == nil)
        #expect(read([0, 0, 0, 0, 0, 0]) == nil)
        #expect(read(message([0x08, 1]) + message([0x08, 1])) == nil)
        let padding = GRPCHealth.messageBytesMax - 3
        let big =
            [0x12, UInt8(padding & 127 | 128), UInt8(padding >> 7)] + [UInt8](repeating: 0, count: padding)
        #expect(big.count == GRPCHealth.messageBytesMax && Self.status(big) == .unknown)
        #expect(Self.status(big + [0x08, 1]) == nil)
    }
}
