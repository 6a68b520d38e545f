// An endpoint that answers as it is told for each request: at once, late, in pieces, wrongly, twice, or not at all.

import Glibc
import Reactor

/// A request as it came to an endpoint.
struct Arrival {
    var number: Int
    var method: String
    var endpoint: Int
    /// The first on its connection.
    var isFirst: Bool
    var atNs: UInt64
    /// Whether all of it came, and as it was sent.
    var isWhole = false
    var bodyBytes = 0
    /// A byte of an answer has left.
    var isAnswered = false
}

/// What becomes of a request.
struct Behaviour {
    enum Fault: CaseIterable {
        /// The connection ends: before an answer, with what has come unread, within the head, within the body.
        case close, reset, withinHead, withinBody
        /// Nothing happens.
        case silence
        /// There are bytes behind the answer.
        case twice
        /// The connection ends right behind the answer, which does not say so.
        case closeBehind
        /// The answer stops half way, and the connection stays.
        case stall
    }

    var fault: Fault?
    var status = 200
    var size = 0
    var framing = Framing.length
    var thinksMs = 0
    var isInterim = false
    /// How long it says it keeps the connection.
    var keepsSeconds: Int?
    /// Answers before it has the body.
    var isEarly = false
    var writes = Wire.Pace.atOnce
    /// Takes nothing more from here on.
    var isDeaf = false

    /// Whether a client must get this answer as it is.
    var isHealthy: Bool { fault == nil || fault == .twice || fault == .closeBehind }
}

final class SimulatedEndpoint {
    let index: Int
    private unowned let world: Simulation
    private let path: String
    private var listener: Socket?
    private var connections: [EndpointConnection] = []
    /// What to do with each.
    var behaves: (Arrival) -> Behaviour = { _ in Behaviour() }
    var reads = Wire.Pace.atOnce
    /// Takes connections that are not for HTTP.
    var accepts: ((Wire) -> Void)?

    init(_ world: Simulation, _ path: String) {
        self.world = world
        self.path = path
        index = world.endpoints.count
        world.endpoints.append(self)
    }

    func up() {
        if listener != nil { return }
        switch Socket.listenUnix(path, access: UnixSocketAccess()) {
        case .success(let made):
            listener = made.socket
            world.watchListener(made.socket, ofEndpoint: index)
        case .failure(let why): world.violated("\(path): \(why)")
        }
    }

    /// Refuses connections from here on; those there are stay.
    func down() {
        listener?.close()
        listener = nil
    }

    /// And ends those there are.
    func crash() {
        down()
        for connection in connections { connection.wire.close() }
    }

    func connectionsWait() {
        while let listener {
            let (socket, _, _) = listener.accept()
            if socket.fd < 0 { return }
            let wire = world.wire(socket)
            if let accepts {
                accepts(wire)
            } else {
                connections.append(EndpointConnection(world, wire, self))
            }
        }
    }
}

private final class EndpointConnection {
    let wire: Wire
    private unowned let world: Simulation
    private unowned let endpoint: SimulatedEndpoint
    private var reader = MessageReader(isRequest: true)
    private var requests = 0
    /// Into the arrivals.
    private var arrival = -1
    private var behaviour = Behaviour()
    private var hasAnswered = false
    private var isRead = false

    init(_ world: Simulation, _ wire: Wire, _ endpoint: SimulatedEndpoint) {
        self.world = world
        self.wire = wire
        self.endpoint = endpoint
        wire.reads = endpoint.reads
        wire.received = { [self] in received($0) }
        wire.ended = { _ in wire.close() }
        wire.drained = { [self] in drained() }
    }

    private func received(_ bytes: UnsafeBufferPointer<UInt8>) {
        reader.take(bytes)
        while !wire.isClosed, let event = reader.next() {
            switch event {
            case .head(let head): came(head)
            case .end:
                isRead = true
                world.arrivals[arrival].isWhole = true
                world.arrivals[arrival].bodyBytes = reader.bodyBytes
                if !behaviour.isEarly { think() }
            }
        }
        if reader.isMalformed { world.violated("endpoint \(endpoint.index) got what is no request") }
        if reader.isCorrupt {
            world.violated("the body of \(reader.head.number) has changed on its way to an endpoint")
        }
    }

    private func came(_ head: MessageReader.Head) {
        if arrival >= 0, !hasAnswered {
            world.violated("endpoint \(endpoint.index) got \(head.number) before it has answered the last")
        }
        requests += 1
        arrival = world.arrivals.count
        world.note(.arrival, UInt64(max(head.number, 0)), UInt64(endpoint.index))
        world.arrivals.append(
            Arrival(
                number: head.number, method: head.method, endpoint: endpoint.index, isFirst: requests == 1,
                atNs: world.nowNs))
        behaviour = endpoint.behaves(world.arrivals[arrival])
        hasAnswered = false
        isRead = false
        if behaviour.isDeaf { wire.isDeaf = true }
        if behaviour.fault == .reset {
            // What has not been read makes a reset of the end.
            wire.isDeaf = true
            return world.after(ms: behaviour.thinksMs) { [self] in wire.close() }
        }
        if behaviour.isEarly || behaviour.isDeaf { think() }
    }

    private func think() {
        switch behaviour.fault {
        case .silence: return
        case .close: return world.after(ms: behaviour.thinksMs) { [self] in wire.close() }
        default: world.after(ms: behaviour.thinksMs) { [self] in answer() }
        }
    }

    private func answer() {
        if wire.isClosed { return }
        let number = world.arrivals[arrival].number
        world.arrivals[arrival].isAnswered = true
        var text = behaviour.isInterim ? "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" : ""
        text += "HTTP/1.1 \(behaviour.status) Said\r\nx-number: \(number)\r\n"
        if let seconds = behaviour.keepsSeconds { text += "keep-alive: timeout=\(seconds)\r\n" }
        switch behaviour.framing {
        case .length: text += "content-length: \(behaviour.size)\r\n"
        case .chunked: text += "transfer-encoding: chunked\r\n"
        case .untilEnd: text += "connection: close\r\n"
        }
        var bytes = Array((text + "\r\n").utf8)
        let headBytes = bytes.count
        if world.arrivals[arrival].method != "HEAD" {
            bytes += framed(
                Pattern.body(number, isResponse: true, behaviour.size), behaviour.framing, &world.chance)
        }
        switch behaviour.fault {
        case .withinHead: bytes = Array(bytes.prefix(1 + world.chance.below(headBytes - 1)))
        case .withinBody, .stall:
            bytes = Array(bytes.prefix(headBytes + world.chance.below(max(1, bytes.count - headBytes))))
        case .twice: bytes += Array("HTTP/1.1 200 Again\r\ncontent-length: 0\r\n\r\n".utf8)
        default: break
        }
        hasAnswered = true
        // What comes behind an answer when the next request has gone is an answer to that: nobody could tell.
        wire.writes = behaviour.fault == .twice ? .atOnce : behaviour.writes
        wire.send(bytes)
    }

    private func drained() {
        guard hasAnswered else { return }
        switch behaviour.fault {
        case .withinHead, .withinBody, .closeBehind: wire.close()
        default: if behaviour.framing == .untilEnd { wire.close() }
        }
    }
}
