// A client of HTTP/2, with prior knowledge: several requests at once on one connection. The codec is Weir's own, in the other
// role: that it says what the standard says is for other tests; here it is about what becomes of it.

import Reactor
import WeirHTTP2
import WeirHTTPModel

final class StreamsClient: Asking {
    private let context: HTTP2Context
    private let session: HTTP2Session
    private var wire: Wire?
    /// By ask: its stream, how much of its body is queued, whether its end is, and what has come.
    private var streams: [Int32]
    private var queued: [Int]
    private var hasEnd: [Bool]
    private var statuses: [Int]
    private var received: [Int]
    private var isWithin = false
    /// One in so many requests is withdrawn at some moment; 0: none.
    var withdrawsOneIn = 0

    override init(_ world: Simulation, at path: String, _ asks: [Ask]) {
        guard let context = HTTP2Context(),
            let session = HTTP2Session(
                context, role: .client, configuration: HTTP2Configuration(), nowMs: world.nowMs)
        else { preconditionFailure("no memory for a session") }
        self.context = context
        self.session = session
        streams = asks.map { _ in 0 }
        queued = asks.map { _ in 0 }
        hasEnd = asks.map { _ in false }
        statuses = asks.map { _ in 0 }
        received = asks.map { _ in 0 }
        super.init(world, at: path, asks)
    }

    deinit {
        session.destroy()
        context.destroy()
    }

    override func connect() {
        if hasLeft { return }
        let (socket, error) = Socket.connect(to: .unix(path: path))
        connectedNs = world.nowNs
        guard error == 0 else { return finish() }
        let wire = world.wire(socket)
        self.wire = wire
        wire.writes = writes
        wire.reads = reads
        wire.received = { [self] in take($0) }
        wire.ended = { [self] _ in finish() }
        wire.drained = { [self] in drained() }
        flush()
        for (i, ask) in asks.enumerated() { world.after(ms: ask.thinksMs) { [self] in send(i) } }
    }

    private func send(_ i: Int) {
        guard let wire, !wire.isClosed, outcomes[i] == .open else { return }
        let ask = asks[i]
        let hasBody = ask.size > 0 || ask.framing == .chunked
        let number = Array("\(ask.number)".utf8)
        let length = Array("\(ask.size)".utf8)
        let stream = number.withUnsafeBufferPointer { number in
            length.withUnsafeBufferPointer { length in
                let fields = [
                    HTTP2Field("x-number", value: number.baseAddress!, valueCount: number.count),
                    HTTP2Field("content-length", value: length.baseAddress!, valueCount: length.count),
                ]
                return submit(
                    ask, fields, hasBody ? ask.framing == .length ? 2 : 1 : 1, endStream: !hasBody, i)
            }
        }
        // The connection takes no more.
        guard let stream else { return done(i, .nothing) }
        streams[i] = stream
        hasEnd[i] = !hasBody
        if hasBody { queue(i) }
        flush()
        if withdrawsOneIn > 0, world.chance.one(in: withdrawsOneIn) {
            world.after(ms: world.chance.below(500)) { [self] in withdraw(i) }
        }
    }

    private func submit(_ ask: Ask, _ fields: [HTTP2Field], _ count: Int, endStream: Bool, _ i: Int) -> Int32?
    {
        func bytes<R>(_ text: String, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
            Array(text.utf8).withUnsafeBufferPointer(body)
        }
        return bytes(ask.method) { method in
            bytes("sim") { authority in
                bytes("/\(ask.number)") { path in
                    fields.withUnsafeBufferPointer {
                        session.submitRequest(
                            method: method, scheme: "http", authority: authority, path: path,
                            fields: $0.baseAddress!, count: count, endStream: endStream, userData: UInt(i + 1)
                        )
                    }
                }
            }
        }
    }

    /// As much of a body as the stream takes.
    private func queue(_ i: Int) {
        guard streams[i] > 0, !hasEnd[i] else { return }
        let body = Pattern.body(asks[i].number, isResponse: false, asks[i].size)
        while queued[i] < asks[i].size {
            let taken = body.dropFirst(queued[i]).withUnsafeBufferPointer {
                session.submitData(streams[i], $0.baseAddress!, count: $0.count)
            }
            if taken == 0 { return }
            queued[i] += taken
        }
        hasEnd[i] = session.submitEnd(streams[i])
    }

    /// Takes one request back; the connection stays.
    private func withdraw(_ i: Int) {
        guard outcomes[i] == .open, streams[i] > 0, let wire, !wire.isClosed else { return }
        withdrawn.insert(asks[i].number)
        session.reset(streams[i], .cancel)
        done(i, statuses[i] == 0 ? .nothing : .cut(statuses[i]))
        flush()
    }

    private func take(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let start = bytes.baseAddress else { return }
        session.receive(start, count: bytes.count, nowMs: world.nowMs)
        events()
        flush()
    }

    private func events() {
        while let event = session.nextEvent() {
            let i = Int(event.userData) - 1
            switch event.kind {
            case .head where event.response.status >= 200:
                statuses[i] = Int(event.response.status)
                let number = (0..<Int(event.response.fieldCount)).lazy.map { event.fields[$0] }.first {
                    $0.name.text(in: event.bytes) == "x-number"
                }
                if let number, Int(number.value.text(in: event.bytes)) != asks[i].number {
                    world.violated("request \(asks[i].number) got the answer to another")
                }
            case .data:
                if !Pattern.matches(
                    event.bytes, event.count, asks[i].number, isResponse: true, at: received[i]),
                    statuses[i] == 200
                {
                    world.violated("the body of the answer to \(asks[i].number) has changed")
                }
                received[i] += event.count
                session.consumed(event.stream, event.count)
            case .writable: queue(i)
            case .closed where i >= 0:
                done(i, statuses[i] == 0 ? .nothing : .cut(statuses[i]))
            case .violation, .malformed: world.violated("what Weir says is no HTTP/2: \(event.violation)")
            default: break
            }
            if event.endsStream, i >= 0 {
                world.note(.answer, UInt64(asks[i].number), UInt64(statuses[i]))
                done(i, .answered(statuses[i]))
            }
        }
    }

    private func done(_ i: Int, _ outcome: Outcome) {
        guard outcomes[i] == .open else { return }
        settle(i, outcome)
        if outcomes.contains(.open) || isDone { return }
        if staysOpen || world.chance.one(in: 2) { return }
        // Not from within: the connection may still have something to say.
        world.after(ms: 1) { [self] in finish() }
    }

    private func flush() {
        guard let wire, !wire.isClosed, !isWithin else { return }
        isWithin = true
        defer { isWithin = false }
        let room = 65_536
        var out: [UInt8] = []
        while true {
            let bytes = [UInt8](unsafeUninitializedCapacity: room) { start, count in
                count = session.output(into: start.baseAddress!, capacity: room, nowMs: world.nowMs)
            }
            events()
            if bytes.isEmpty { break }
            out += bytes
        }
        if !out.isEmpty { wire.send(out) }
        if session.isFinished { finish() }
    }

    private func drained() {
        for i in asks.indices
        where hasEnd[i] && sentNs[i] == nil && session.queuedBytes(streams[i]) == 0 {
            sentNs[i] = world.nowNs
        }
    }

    override func finish() {
        if isDone { return }
        isDone = true
        for i in asks.indices where outcomes[i] == .open {
            settle(i, statuses[i] == 0 ? .nothing : .cut(statuses[i]))
        }
        endedNs = endedNs ?? world.nowNs
        wire?.close()
    }
}
