// Hand-made frames, and sessions whose events can be kept.

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel
import Testing

typealias Pairs = [(String, String)]

/// Frames as bytes. Field sections are literals without indexing (RFC 7541 §6.2.2), names and values as
/// they stand, so that any nonsense can be written.
enum Frame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: Int, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        return [
            UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags,
            UInt8(stream >> 24 & 255), UInt8(stream >> 16 & 255), UInt8(stream >> 8 & 255),
            UInt8(stream & 255),
        ] + payload
    }

    static func section(_ fields: Pairs) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes.append(0)
            bytes += string(Array(name.utf8))
            bytes += string(Array(value.utf8))
        }
        return bytes
    }

    static func string(_ text: [UInt8]) -> [UInt8] {
        if text.count < 127 { return [UInt8(text.count)] + text }
        var bytes: [UInt8] = [127]
        var rest = text.count - 127
        while rest >= 128 {
            bytes.append(UInt8(rest & 127) | 128)
            rest >>= 7
        }
        return bytes + [UInt8(rest)] + text
    }

    static func headers(_ stream: Int, _ fields: Pairs, end: Bool = true) -> [UInt8] {
        block(stream, section(fields), end: end)
    }

    /// A field section in as many frames as it takes.
    static func block(_ stream: Int, _ section: [UInt8], end: Bool = true, piece: Int = 16_384) -> [UInt8] {
        if section.count <= piece { return frame(1, 4 | (end ? 1 : 0), stream, section) }
        var bytes = frame(1, end ? 1 : 0, stream, Array(section[0..<piece]))
        var at = piece
        while at < section.count {
            let next = min(at + piece, section.count)
            bytes += frame(9, next == section.count ? 4 : 0, stream, Array(section[at..<next]))
            at = next
        }
        return bytes
    }

    static func data(_ stream: Int, _ text: String, end: Bool = false) -> [UInt8] {
        frame(0, end ? 1 : 0, stream, Array(text.utf8))
    }

    static func number(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    static func reset(_ stream: Int, _ code: UInt32 = 8) -> [UInt8] { frame(3, 0, stream, number(code)) }
    static func window(_ stream: Int, _ increment: UInt32) -> [UInt8] {
        frame(8, 0, stream, number(increment))
    }
    static func settings(_ entries: [(UInt16, UInt32)] = []) -> [UInt8] {
        frame(4, 0, 0, entries.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + number($0.1) })
    }
    static let settingsAck = frame(4, 1, 0, [])
    static let ping = frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8])
    static func goaway(_ last: UInt32, _ code: UInt32 = 0) -> [UInt8] {
        frame(7, 0, 0, number(last) + number(code))
    }
    static func priorityUpdate(_ stream: UInt32, _ text: String) -> [UInt8] {
        frame(0x10, 0, 0, number(stream) + Array(text.utf8))
    }
}

/// One frame of what a session wrote.
struct Written: Equatable, CustomStringConvertible {
    var type: UInt8
    var flags: UInt8
    var stream: Int
    var payload: [UInt8]

    var code: UInt32 {
        let at = type == 7 ? 4 : 0
        return payload[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) }
    }
    var description: String { "type \(type) flags \(flags) stream \(stream) \(payload.count) bytes" }

    static func parse(_ bytes: [UInt8]) -> [Written] {
        var frames: [Written] = []
        var at = bytes.starts(with: Frame.preface) ? Frame.preface.count : 0
        while at + 9 <= bytes.count {
            let count = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            let stream = bytes[at + 5..<at + 9].reduce(0) { $0 << 8 | Int($1) }
            let end = min(at + 9 + count, bytes.count)
            frames.append(
                Written(
                    type: bytes[at + 3], flags: bytes[at + 4], stream: stream,
                    payload: Array(bytes[at + 9..<end])))
            at = end
        }
        return frames
    }
}

/// An event with copies of what it pointed at.
struct Seen {
    var event: HTTP2Event
    var text: String
    var fields: Pairs
    var table: [Field]

    var kind: HTTP2Event.Kind { event.kind }
    var stream: Int32 { event.stream }

    init(_ event: HTTP2Event) {
        self.event = event
        text = String(decoding: UnsafeBufferPointer(start: event.bytes, count: event.count), as: UTF8.self)
        table = Array(UnsafeBufferPointer(start: event.fields, count: Int(event.fieldCount)))
        fields = table.map { ($0.name.text(in: event.bytes), $0.value.text(in: event.bytes)) }
        for field in table {
            precondition(Int(field.name.end) <= event.count && Int(field.value.end) <= event.count)
        }
    }

    /// A part of the head's block.
    func part(_ range: ByteRange) -> String {
        String(decoding: Array(text.utf8)[Int(range.offset)..<Int(range.end)], as: UTF8.self)
    }

    func value(_ name: String) -> String? { fields.first { $0.0 == name }?.1 }
}

/// A session with its context, fed and drained by hand.
final class Peer {
    let context: HTTP2Context
    let session: HTTP2Session
    var nowMs: UInt64 = 1_000_000
    /// Says `consumed` for all data as it comes.
    var consumes = true

    init(_ role: HTTP2Role = .server, _ change: (inout HTTP2Configuration) -> Void = { _ in }) {
        var configuration = HTTP2Configuration()
        change(&configuration)
        guard let context = HTTP2Context() else { preconditionFailure("no memory") }
        guard let session = HTTP2Session(context, role: role, configuration: configuration, nowMs: 1_000_000)
        else { preconditionFailure("no memory") }
        self.context = context
        self.session = session
    }

    deinit {
        session.destroy()
        context.destroy()
    }

    /// Feeds bytes and takes all events.
    @discardableResult
    func feed(_ bytes: [UInt8], _ each: (HTTP2Event) -> Void = { _ in }) -> [Seen] {
        bytes.withUnsafeBufferPointer { buffer in
            if let start = buffer.baseAddress { session.receive(start, count: buffer.count, nowMs: nowMs) }
            return events(each)
        }
    }

    @discardableResult
    func events(_ each: (HTTP2Event) -> Void = { _ in }) -> [Seen] {
        var seen: [Seen] = []
        while let event = session.nextEvent() {
            each(event)
            if event.kind == .data, consumes { session.consumed(event.stream, event.count) }
            seen.append(Seen(event))
        }
        return seen
    }

    /// All that waits to be sent.
    func output(capacity: Int = 65_536) -> [UInt8] {
        var bytes: [UInt8] = []
        let room = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        defer { room.deallocate() }
        while true {
            let count = session.output(into: room, capacity: capacity, nowMs: nowMs)
            if count == 0 { return bytes }
            bytes += UnsafeBufferPointer(start: room, count: count)
        }
    }

    func frames() -> [Written] { Written.parse(output()) }

    /// A server that has seen the client's preface and settings.
    static func server(
        settings: [(UInt16, UInt32)] = [], _ change: (inout HTTP2Configuration) -> Void = { _ in }
    ) -> Peer {
        let peer = Peer(.server, change)
        peer.feed(Frame.preface + Frame.settings(settings))
        _ = peer.output()
        peer.feed(Frame.settingsAck)
        return peer
    }

    /// A client that has seen the server's settings.
    static func client(
        settings: [(UInt16, UInt32)] = [], _ change: (inout HTTP2Configuration) -> Void = { _ in }
    ) -> Peer {
        let peer = Peer(.client, change)
        _ = peer.output()
        peer.feed(Frame.settings(settings) + Frame.settingsAck)
        _ = peer.output()
        return peer
    }

    @discardableResult
    func respond(_ stream: Int32, _ status: UInt16, _ fields: Pairs = [], end: Bool = true) -> Bool {
        withFields(fields) {
            session.submitResponseHead(stream, status: status, fields: $0, count: $1, endStream: end)
        }
    }

    @discardableResult
    func send(_ stream: Int32, _ text: String) -> Int {
        let bytes = Array(text.utf8)
        return bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return 0 }
            return session.submitData(stream, start, count: buffer.count)
        }
    }

    func request(
        _ method: String = "GET", _ path: String = "/", authority: String = "a.example",
        protocolName: String? = nil, fields: Pairs = [], end: Bool = true, userData: UInt = 0
    ) -> Int32? {
        withBytes(method) { method in
            withBytes(path) { path in
                withBytes(authority) { authority in
                    withBytes(protocolName ?? "") { name in
                        withFields(fields) {
                            session.submitRequest(
                                method: method, scheme: "https", authority: authority, path: path,
                                protocolName: protocolName == nil ? nil : name, fields: $0, count: $1,
                                endStream: end, userData: userData)
                        }
                    }
                }
            }
        }
    }
}

func withBytes<Result>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
    var text = text
    return text.withUTF8(body)
}

/// Fields whose memory is gone after the call, as the interface allows.
func withFields<Result>(_ fields: Pairs, _ body: (UnsafePointer<HTTP2Field>, Int) -> Result) -> Result {
    let list = UnsafeMutablePointer<HTTP2Field>.allocate(capacity: max(fields.count, 1))
    var blocks: [UnsafeMutablePointer<UInt8>] = []
    for (index, field) in fields.enumerated() {
        let name = Array(field.0.utf8)
        let value = Array(field.1.utf8)
        let block = UnsafeMutablePointer<UInt8>.allocate(capacity: name.count + value.count + 1)
        for (at, byte) in (name + value).enumerated() { block[at] = byte }
        blocks.append(block)
        list[index] = HTTP2Field(
            name: UnsafePointer(block), nameCount: name.count, value: UnsafePointer(block + name.count),
            valueCount: value.count)
    }
    let result = body(list, fields.count)
    for (index, block) in blocks.enumerated() {
        block.update(repeating: 0x58, count: fields[index].0.utf8.count + fields[index].1.utf8.count)
        block.deallocate()
    }
    list.deallocate()
    return result
}

let get: Pairs = [(":method", "GET"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")]
let post: Pairs = [(":method", "POST"), (":scheme", "https"), (":authority", "a.example"), (":path", "/")]
let connect: Pairs = [(":method", "CONNECT"), (":authority", "a.example:443")]
let webSocket: Pairs = [
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":authority", "a.example"),
    (":path", "/chat"),
]
