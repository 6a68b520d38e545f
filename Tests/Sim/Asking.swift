// What all clients have: what they ask for, and what became of it.

/// One request.
struct Ask {
    var number: Int
    var method = "GET"
    var size = 0
    var framing = Framing.length
    /// Bytes of the request after which nothing more is sent.
    var stallsAt: Int?
    /// Before it is sent.
    var thinksMs = 0

    var isIdempotent: Bool { method != "POST" }
}

class Asking {
    enum Outcome: Equatable {
        /// Nothing is known yet.
        case open
        /// The response, from its first byte to its last.
        case answered(Int)
        /// The connection, or the stream, ended within the response.
        case cut(Int)
        /// It ended before a response began.
        case nothing
    }

    unowned let world: Simulation
    let path: String
    let asks: [Ask]
    var outcomes: [Outcome]
    /// When each was sent in full, and its outcome known.
    var sentNs: [UInt64?]
    var knownNs: [UInt64?]
    /// Left before it had its answers.
    var hasLeft = false
    /// Requests it has taken back, by number.
    var withdrawn: Set<Int> = []
    var isDone = false
    /// Does not go when it has all its answers.
    var staysOpen = false
    var connectedNs: UInt64 = 0
    /// When the connection ended.
    var endedNs: UInt64?
    var writes = Wire.Pace.atOnce
    var reads = Wire.Pace.atOnce

    init(_ world: Simulation, at path: String, _ asks: [Ask]) {
        self.world = world
        self.path = path
        self.asks = asks
        outcomes = asks.map { _ in .open }
        sentNs = asks.map { _ in nil }
        knownNs = asks.map { _ in nil }
        world.clients.append(self)
    }

    func start(afterMs: Int = 0) { world.after(ms: afterMs) { [self] in connect() } }

    func connect() {}

    /// Goes, whatever it waits for.
    func leave() {
        if isDone { return }
        hasLeft = true
        finish()
    }

    func finish() {}

    func settle(_ i: Int, _ outcome: Outcome) {
        outcomes[i] = outcome
        knownNs[i] = world.nowNs
    }
}
