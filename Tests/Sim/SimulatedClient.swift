// A client that asks for one thing after the other on one connection, in its own way, and compares what it gets.

import Glibc
import Reactor

final class SimulatedClient: Asking {
    /// Sends a request before the one before is answered.
    var pipelines = false
    private var wire: Wire?
    private var reader = MessageReader(isRequest: false)
    /// The next to be sent, and the next to be answered.
    private var sending = 0
    private var awaited = 0
    var isDeaf = false { didSet { wire?.isDeaf = isDeaf } }

    override func connect() {
        if hasLeft { return }
        let (socket, error) = Socket.connect(to: .unix(path: path))
        connectedNs = world.nowNs
        guard error == 0 else { return finish() }
        let wire = world.wire(socket)
        self.wire = wire
        wire.writes = writes
        wire.reads = reads
        wire.isDeaf = isDeaf
        wire.received = { [self] in received($0) }
        wire.ended = { [self] in ended($0) }
        wire.drained = { [self] in drained() }
        sendNext()
    }

    private func sendNext() {
        guard sending < asks.count, let wire, !wire.isClosed else { return }
        let number = sending
        sending += 1
        if asks[number].thinksMs == 0 { return send(number) }
        world.after(ms: asks[number].thinksMs) { [self] in send(number) }
    }

    private func send(_ i: Int) {
        guard let wire, !wire.isClosed else { return }
        let ask = asks[i]
        var head = "\(ask.method) /\(ask.number) HTTP/1.1\r\nhost: sim\r\nx-number: \(ask.number)\r\n"
        let hasBody = ask.size > 0 || ask.framing == .chunked
        if hasBody {
            head +=
                ask.framing == .chunked
                ? "transfer-encoding: chunked\r\n" : "content-length: \(ask.size)\r\n"
        }
        var bytes = Array((head + "\r\n").utf8)
        if hasBody {
            bytes += framed(
                Pattern.body(ask.number, isResponse: false, ask.size), ask.framing, &world.chance)
        }
        if let stallsAt = ask.stallsAt { bytes = Array(bytes.prefix(stallsAt)) }
        wire.send(bytes)
    }

    private func drained() {
        // In pipelines the next is put behind the last, so the queue is only empty when all are sent.
        for i in awaited..<sending where sentNs[i] == nil && asks[i].stallsAt == nil {
            sentNs[i] = world.nowNs
        }
        if pipelines { sendNext() }
    }

    private func received(_ bytes: UnsafeBufferPointer<UInt8>) {
        reader.take(bytes)
        while true {
            reader.isHeadOnly = awaited < asks.count && asks[awaited].method == "HEAD"
            guard let event = reader.next() else { break }
            switch event {
            case .head(let head):
                guard awaited < sending else {
                    world.violated("a response that nobody has asked for: \(head.status)")
                    return leave()
                }
                let ask = asks[awaited]
                if head.number >= 0, head.number != ask.number {
                    world.violated("request \(ask.number) got the answer to \(head.number)")
                }
            case .end:
                if answered() { return }
            }
        }
        if reader.isMalformed {
            world.violated("a response that is none")
            leave()
        }
    }

    /// True: that was the last.
    private func answered() -> Bool {
        let ask = asks[awaited]
        settle(.answered(reader.head.status))
        if reader.isCorrupt { world.violated("the body of the answer to \(ask.number) has changed") }
        world.note(.answer, UInt64(ask.number), UInt64(reader.head.status))
        if reader.head.closes {
            finish()
            return true
        }
        if awaited == asks.count {
            // Some stay for a while: the idle time-out is for them.
            if !staysOpen, world.chance.one(in: 2) { finish() }
            return true
        }
        if !pipelines { sendNext() }
        return false
    }

    private func settle(_ outcome: Outcome) {
        settle(awaited, outcome)
        awaited += 1
    }

    private func ended(_ error: Int32) {
        endedNs = world.nowNs
        if reader.takeEnd(), awaited < sending, !answered() {}
        if reader.isCorrupt { world.violated("the body of an answer has changed") }
        finish()
    }

    override func finish() {
        if awaited < asks.count {
            settle(reader.hasHead ? .cut(reader.head.status) : .nothing)
            while awaited < asks.count { settle(.nothing) }
        }
        isDone = true
        endedNs = endedNs ?? world.nowNs
        wire?.close()
    }
}
