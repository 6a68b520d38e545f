// An HTTP/2 session fed with whatever a peer may send. The first byte of the input chooses the role, how
// the bytes are cut, and what the owner does with what it is told; the rest follows the preface.
//
// Whatever comes, ranges lie in their blocks, a stream's events keep their order, memory stays bounded,
// and a connection that is over says nothing more.

import WeirHTTP1
import WeirHTTP2
import WeirHTTPModel

private let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
private let serverSettings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]

/// What the owner knows of a stream.
private struct Known {
    var hasHead = false
    var ended = false
    var closed = false
}

private final class Owner {
    let session: HTTP2Session
    let isServer: Bool
    let answers: Bool
    var streams: [Int32: Known] = [:]
    var isOver = false
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: 20_000)

    init(_ session: HTTP2Session, isServer: Bool, answers: Bool) {
        self.session = session
        self.isServer = isServer
        self.answers = answers
    }

    deinit { room.deallocate() }

    func drain() {
        while let event = session.nextEvent() { take(event) }
    }

    func pump() {
        while true {
            let count = session.output(into: room, capacity: 20_000, nowMs: 0)
            if count == 0 { break }
            require(count <= 20_000, "output over its room")
        }
        drain()
    }

    private func check(_ event: HTTP2Event) {
        for index in 0..<Int(event.fieldCount) {
            let field = event.fields[index]
            require(
                Int(field.name.end) <= event.count && Int(field.value.end) <= event.count, "field range")
            require(field.nameCount > 0, "field without a name")
            for byte in field.value.bytes(in: event.bytes) {
                require(byte >= 0x20 && byte != 0x7F || byte == 9, "control in a value")
            }
            for byte in field.name.bytes(in: event.bytes) {
                require(byte > 0x20 && byte < 0x7F && !(65...90).contains(byte), "byte in a name")
            }
        }
        guard event.kind == .head, isServer else { return }
        let request = event.request
        require(request.fieldCount == event.fieldCount && event.fieldCount > 0, "number of fields")
        require(event.fields[0].id == .host, "Host is not first")
        for range in [
            request.methodName, request.target, request.authority, request.host, request.path,
            request.query, event.scheme, event.protocolName,
        ] { require(Int(range.end) <= event.count, "range of the head") }
        for byte in request.target.bytes(in: event.bytes) { require(byte > 0x20 && byte < 0x7F, "target") }
        require(!request.authority.isEmpty, "no authority")
    }

    private func take(_ event: HTTP2Event) {
        require(!isOver || event.kind == .closed, "\(event.kind) after the end")
        if event.kind == .violation {
            require(event.violation.endsConnection, "violation of a stream")
            isOver = true
            return
        }
        if event.kind == .goaway || event.kind == .settings || event.kind == .pingAck { return }
        var known = streams[event.stream] ?? Known()
        require(!known.closed, "\(event.kind) after closed")
        switch event.kind {
        case .head:
            require(!known.ended, "head after the end")
            known.hasHead = true
        case .data, .trailers, .end:
            require(known.hasHead && !known.ended, "\(event.kind) out of order")
        case .closed:
            known.closed = true
        default:
            break
        }
        check(event)
        if event.kind == .data { session.consumed(event.stream, event.count / 2) }
        if event.endsStream { known.ended = true }
        streams[event.stream] = known
        require(session.streamsOpen <= 300, "streams")
        if answers, isServer, event.kind == .head { answer(event) }
    }

    private func answer(_ event: HTTP2Event) {
        var field = HTTP2Field("server", "weir")
        _ = session.submitResponseHead(
            event.stream, status: 200, fields: &field, count: 1, endStream: event.count % 3 == 0)
        _ = session.submitData(event.stream, event.bytes, count: event.count)
        if event.count % 2 == 0 {
            _ = session.submitEnd(event.stream, trailers: &field, count: 1)
        } else if event.count % 5 == 0 {
            session.reset(event.stream, .cancel)
        }
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ input: UnsafePointer<UInt8>, _ inputCount: Int) -> CInt {
    guard inputCount > 0, let context = HTTP2Context() else { return 0 }
    let choice = input[0]
    let isServer = choice & 1 == 0
    var configuration = HTTP2Configuration()
    configuration.head.bytesMax = 4_096
    configuration.head.fieldsMax = 30
    configuration.head.targetBytesMax = 512
    guard
        let session = HTTP2Session(
            context, role: isServer ? .server : .client, configuration: configuration, nowMs: 0)
    else { return 0 }
    let owner = Owner(session, isServer: isServer, answers: choice & 2 != 0)
    if !isServer {
        var field = HTTP2Field("te", "trailers")
        for method in ["GET", "HEAD", "CONNECT"] as [StaticString] {
            let name = UnsafeBufferPointer(start: method.utf8Start, count: method.utf8CodeUnitCount)
            let stream = session.submitRequest(
                method: name, scheme: "https", authority: name, path: name, fields: &field, count: 1,
                endStream: choice & 4 == 0, userData: 1)
            require(stream != nil, "no stream")
        }
    }
    owner.pump()

    let bytes =
        (isServer ? preface : serverSettings)
        + Array(UnsafeBufferPointer(start: input + 1, count: inputCount - 1))
    let piece = choice & 8 != 0 ? 1 + Int(choice >> 4) : bytes.count
    var at = 0
    while at < bytes.count {
        let count = min(piece, bytes.count - at)
        bytes.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            withExact(start + at, count) {
                session.receive($0, count: count, nowMs: 0)
                owner.drain()
            }
        }
        at += count
        if choice & 4 != 0 || at >= bytes.count { owner.pump() }
    }
    owner.pump()
    if owner.isOver {
        require(session.violation != .none && !session.wantsInput && session.isFinished, "the end")
    }
    session.destroy()
    context.destroy()
    return 0
}
