// One worker: a thread with its own event loop, connections, pools and timers.
//
// The loop turns events into calls on the objects they are for. It shares nothing with other workers
// but immutable snapshots, relaxed counters and mailboxes, so nothing here takes a lock.

import Balancing
import Compression
import Glibc
import HTTP1
import HTTP2
import HTTPModel
import Reactor
import Resilience
import Routing
import Synchronization
import TLS
import Telemetry

/// What other threads may ask of a worker.
public enum WorkerMessage: Sendable {
    case publish(Snapshot)
    /// A connection accepted by another worker that has more than its share.
    case adopt(fd: Int32, peer: IPAddress, port: UInt16, listenerID: Int)
    /// Finish what is under way, take nothing new.
    case drain
    case stop
    /// Write to another access log from now on, or to none.
    case log(AccessLog?)
}

/// What a worker tells about itself; readable from any thread.
public final class WorkerGauges: Sendable {
    /// Client connections, HTTP and L4.
    public let connections = Atomic<Int>(0)
    public let exchanges = Atomic<Int>(0)
    public let tunnels = Atomic<Int>(0)
    /// UDP sessions.
    public let sessions = Atomic<Int>(0)
    public let upstreams = Atomic<Int>(0)
    public let pipes = Atomic<Int>(0)
    public let bufferBytes = Atomic<Int>(0)
    public let generation = Atomic<UInt64>(0)
    /// Old snapshots still held by exchanges.
    public let oldSnapshots = Atomic<Int>(0)
    public let isDraining = Atomic<Bool>(false)
    public let isStopped = Atomic<Bool>(false)
    public init() {}
}

/// Bounds on what one worker holds.
public struct WorkerLimits: Sendable {
    public var clientsMax = 1 << 20
    public var exchangesMax = 1 << 18
    public var upstreamsMax = 1 << 18
    public var tunnelsMax = 1 << 18
    public var sessionsMax = 1 << 18
    /// Pipes for splicing handed out at a time; beyond that bodies are copied.
    public var pipesMax = 1024
    public init() {}
}

/// Tokens' kinds.
enum TokenKind {
    static let client: UInt8 = 0
    static let upstream: UInt8 = 1
    static let tunnelClient: UInt8 = 2
    static let tunnelUpstream: UInt8 = 3
    static let listener: UInt8 = 4
    static let mailbox: UInt8 = 5
    static let exchange: UInt8 = 6
    static let acceptPause: UInt8 = 7
    static let tick: UInt8 = 8
    static let exchangeTotal: UInt8 = 9
    static let session: UInt8 = 10
    static let pipes: UInt8 = 11
    static let retirement: UInt8 = 12
    static let datagramListener: UInt8 = 14
    static let datagramSession: UInt8 = 15
}

public final class Worker: @unchecked Sendable {
    public let index: Int
    public let mailbox = Mailbox<WorkerMessage>()
    public let status = WorkerGauges()
    /// All workers, for handing connections over; set before the threads start.
    public private(set) var peers: [Worker] = []

    // Everything below belongs to the worker's thread.
    var poller = Poller()
    var timers: TimerWheel
    var buffers = BufferPool()
    var pipes: PipePool
    let encoders = EncoderPool()
    let decoderMemory = DecoderMemory()
    var clients: Slab<ClientConnection>
    var exchanges: Slab<Exchange>
    var upstreams: Slab<UpstreamConnection>
    var tunnels: Slab<Tunnel>
    var sessions: Slab<SessionRecord>
    var streams: Slab<StreamEnd>
    var datagrams: DatagramState
    var graveyard = Graveyard()
    var pools = Table<EndpointPool>()
    var serviceStates = Table<ServiceState>()
    /// By service id.
    var fileRoots = Table<FileRoot>()
    var listening: [Listening] = []

    var snapshot: Snapshot
    var lease: UnsafeMutablePointer<SnapshotLease>
    var oldLeases = 0
    var retired: [RetiredListener] = []

    var nowNs: UInt64
    var nowMs: UInt64
    var random: WorkerRandom
    var sequence: UInt64 = 0
    /// First half of request ids; the second is `sequence`.
    let identity: UInt64
    let date: DateCache

    /// Where bytes from sockets land first; valid within one call.
    let input: UnsafeMutablePointer<UInt8>
    static let inputBytes = 64 << 10
    /// First read of a request: enough for nearly every head, and little to copy when a body follows.
    static let headReadBytes = 16 << 10
    /// Where heads are written before they are sent.
    let output: UnsafeMutablePointer<UInt8>
    let outputBytes = 512 << 10
    let fieldScratch: UnsafeMutablePointer<Field>
    public static let fieldsMax = 2048
    /// Where bytes of sessions land; their events point into it while exchanges use `input`.
    let sessionInput: UnsafeMutablePointer<UInt8>
    let sessionShared: UnsafeMutablePointer<SessionShared>
    /// Made with the first session.
    var sessionContext: HTTP2Context?
    let tlsThread = TLSThread()
    let parts: UnsafeMutablePointer<iovec>
    static let partsMax = 64

    /// Where an exchange keeps its request head, for views of it.
    let requestOffset = MemoryLayout<Exchange>.offset(of: \.request) ?? 0
    let matchOffset = MemoryLayout<Exchange>.offset(of: \.match) ?? 0

    let responseParser = ResponseParser(limits: HeadLimits())
    let routeScratch = RouteScratch()
    /// Bytes `bufferInput` received last.
    var lastReceived = 0

    let tunnelClientOffset = MemoryLayout<Tunnel>.offset(of: \.client) ?? 0
    let tunnelUpstreamOffset = MemoryLayout<Tunnel>.offset(of: \.upstream) ?? 0

    var wallText = TimestampText()

    let eventLog: Log
    let acceptGate = LogGate()
    let limitGate = LogGate()
    let quirkGate = LogGate()
    let sessionGate = LogGate()
    var log: AccessLogBuffer?
    let metrics: WorkerMetrics
    var acceptTimer: TimerID = -1
    var tickTimer: TimerID = -1
    private var pipeTimer: TimerID = -1
    private var pipeTimerIsArmed = false
    var retireTimer: TimerID = -1
    var retirementDueMs: UInt64 = .max
    var isDraining = false
    var drainStartedMs: UInt64 = 0
    var isStopping = false
    private var unfinished: [Token] = []
    var drainSweepMs: UInt64 = 0
    /// Accepting pauses when descriptors reach this number: an eighth of them is left for endpoints.
    let acceptDescriptorMax: Int32

    public init(
        index: Int, snapshot: Snapshot, limits: WorkerLimits, log: AccessLogBuffer?, eventLog: Log,
        metrics: WorkerMetrics
    ) {
        self.index = index
        self.snapshot = snapshot
        self.log = log
        self.eventLog = eventLog
        self.metrics = metrics
        nowNs = Clock.monotonicNs()
        nowMs = nowNs / 1_000_000
        timers = TimerWheel(nowMs: nowMs)
        pipes = PipePool(inUseMax: limits.pipesMax)
        clients = Slab(countMax: limits.clientsMax)
        exchanges = Slab(countMax: limits.exchangesMax)
        upstreams = Slab(countMax: limits.upstreamsMax)
        tunnels = Slab(countMax: limits.tunnelsMax)
        sessions = Slab(countMax: limits.clientsMax)
        streams = Slab(countMax: limits.exchangesMax)
        var seed: UInt64 = 0
        getentropy(&seed, 8)
        random = WorkerRandom(seed: seed)
        identity = random.next()
        datagrams = DatagramState(sessionsMax: limits.sessionsMax)
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        acceptDescriptorMax = Int32(clamping: limit.rlim_cur - max(limit.rlim_cur / 8, 8))
        date = DateCache()
        input = .allocate(capacity: Self.inputBytes)
        output = .allocate(capacity: outputBytes)
        fieldScratch = .allocate(capacity: Self.fieldsMax)
        parts = .allocate(capacity: Self.partsMax)
        sessionInput = .allocate(capacity: Self.inputBytes)
        sessionShared = .allocate(capacity: 1)
        sessionShared.initialize(to: SessionShared(fields: .allocate(capacity: SessionShared.fieldsMax)))
        lease = .allocate(capacity: 1)
        lease.initialize(to: SnapshotLease(snapshot: .passRetained(snapshot), users: 0, isCurrent: true))
    }

    deinit {
        input.deallocate()
        output.deallocate()
        fieldScratch.deallocate()
        parts.deallocate()
        sessionInput.deallocate()
        sessionShared.pointee.fields.deallocate()
        sessionShared.deallocate()
        sessionContext?.destroy()
        lease.pointee.snapshot.release()
        lease.deallocate()
    }

    /// Introduces the workers to each other. Before the threads start.
    public static func introduce(_ workers: [Worker]) {
        for worker in workers { worker.peers = workers }
    }

    /// The thread's body; returns when told to stop, or when drained.
    public func run() {
        poller.registerReadable(
            mailbox.descriptor, Token(kind: TokenKind.mailbox, handle: Handle(index: 0, generation: 0)))
        acceptTimer = timers.create(
            Token(kind: TokenKind.acceptPause, handle: Handle(index: 0, generation: 0)))
        tickTimer = timers.create(Token(kind: TokenKind.tick, handle: Handle(index: 0, generation: 0)))
        pipeTimer = timers.create(Token(kind: TokenKind.pipes, handle: Handle(index: 0, generation: 0)))
        retireTimer = timers.create(
            Token(kind: TokenKind.retirement, handle: Handle(index: 0, generation: 0)))
        adopt(snapshot)
        while !isStopping {
            let timeoutMs = unfinished.isEmpty ? timers.timeoutMs(nowMs: nowMs, limitMs: 60_000) : 0
            let count = poller.wait(timeoutMs: timeoutMs)
            updateClock()
            let startNs = nowNs
            goOnWithUnfinished()
            for i in 0..<count {
                let event = poller.event(i)
                dispatch(event.token, event.readiness)
                // Often enough for the times in records; reading the clock costs as much as parsing a field.
                if i & 7 == 7 { updateClock() }
            }
            sendAnswers()
            updateClock()
            while let token = timers.nextExpired(nowMs: nowMs) { expired(token) }
            flushSessions()
            buryTheDead()
            metrics.cell(worker: index).turn(busyNs: nowNs &- startNs)
            tellStatus()
            watchPipes()
            if isDraining { continueDraining() }
        }
        closeEverything()
        log?.flush()
        status.isStopped.store(true, ordering: .releasing)
    }

    @inline(__always)
    func updateClock() {
        nowNs = Clock.monotonicNs()
        nowMs = nowNs / 1_000_000
    }

    @inline(__always)
    private func dispatch(_ token: Token, _ readiness: Readiness) {
        switch token.kind {
        case TokenKind.client:
            guard let client = clients.pointer(token.handle) else { return }
            clientReady(client, readiness)
        case TokenKind.upstream:
            guard let upstream = upstreams.pointer(token.handle) else { return }
            upstreamReady(upstream, readiness)
        case TokenKind.tunnelClient:
            guard let tunnel = tunnels.pointer(token.handle) else { return }
            tunnelReady(tunnel, readiness, side: .client)
        case TokenKind.tunnelUpstream:
            guard let tunnel = tunnels.pointer(token.handle) else { return }
            tunnelReady(tunnel, readiness, side: .upstream)
        case TokenKind.listener:
            acceptReady(token.handle)
        case TokenKind.datagramListener:
            datagramsReady(token.handle)
        case TokenKind.datagramSession:
            if let session = datagrams.sessions.pointer(token.handle) { answersReady(session) }
        case TokenKind.exchange:
            guard let exchange = exchanges.pointer(token.handle) else { return }
            goOn(exchange)
        case TokenKind.mailbox:
            for message in mailbox.takeAll() { receive(message) }
        default:
            break
        }
    }

    // MARK: fairness

    /// What used up its share of a loop turn goes on in the next one, after the events of the others.
    func goOnNextTurn(_ token: Token) { unfinished.append(token) }

    /// The same for a file on its way or a body being decoded. Once, however many events come meanwhile: each
    /// would bring a share of its own.
    func goOnNextTurn(_ exchange: ExchangePointer) {
        exchange.pointee.awaitsTurn = true
        goOnNextTurn(Token(kind: TokenKind.exchange, handle: exchange.pointee.handle))
        armDeadlines(exchange)
    }

    private func goOnWithUnfinished() {
        guard !unfinished.isEmpty else { return }
        let tokens = unfinished
        unfinished.removeAll(keepingCapacity: true)
        for token in tokens { dispatch(token, []) }
    }

    private func expired(_ token: Token) {
        switch token.kind {
        case TokenKind.client:
            if let client = clients.pointer(token.handle) { clientDeadlinePassed(client) }
        case TokenKind.upstream:
            if let upstream = upstreams.pointer(token.handle) { upstreamDeadlinePassed(upstream) }
        case TokenKind.tunnelClient:
            if let tunnel = tunnels.pointer(token.handle) { tunnelDeadlinePassed(tunnel) }
        case TokenKind.datagramSession:
            if let session = datagrams.sessions.pointer(token.handle) { sessionDeadlinePassed(session) }
        case TokenKind.exchange:
            if let exchange = exchanges.pointer(token.handle) { exchangeTimerFired(exchange) }
        case TokenKind.exchangeTotal:
            if let exchange = exchanges.pointer(token.handle) { totalDeadlinePassed(exchange) }
        case TokenKind.session:
            if let record = sessions.pointer(token.handle) { sessionClockRang(record) }
        case TokenKind.acceptPause:
            resumeAccepting()
        case TokenKind.tick:
            tick()
        case TokenKind.pipes:
            pipeTimerIsArmed = false
            pipes.closeUnused()
        case TokenKind.retirement:
            retirementRang()
        default:
            break
        }
    }

    private func receive(_ message: WorkerMessage) {
        switch message {
        case .publish(let snapshot): adopt(snapshot)
        case .adopt(let fd, let peer, let port, let listenerID):
            admitConnection(Socket(fd: fd), peer: peer, port: port, listenerID: listenerID)
        case .drain: startDraining()
        case .stop: isStopping = true
        case .log(let new): log = new?.makeBuffer()
        }
    }

    /// Publishes what this worker holds, for status views.
    private func tellStatus() {
        status.exchanges.store(exchanges.count, ordering: .relaxed)
        status.tunnels.store(tunnels.count, ordering: .relaxed)
        status.sessions.store(datagrams.sessions.count, ordering: .relaxed)
        status.upstreams.store(upstreams.count, ordering: .relaxed)
        status.bufferBytes.store(buffers.bytesInUse, ordering: .relaxed)
        status.pipes.store(pipes.inUse, ordering: .relaxed)
        metrics.cell(worker: index).sizes(buffersInUse: buffers.bytesInUse, timers: timers.count)
    }

    // MARK: ticks

    /// How often pipes that were not needed meanwhile are closed.
    private static let pipesUnusedMs: UInt64 = 5_000

    /// While pipes are kept, they are looked at now and then.
    @inline(__always)
    private func watchPipes() {
        if pipeTimerIsArmed || pipes.idleCount == 0 { return }
        pipeTimerIsArmed = true
        timers.arm(pipeTimer, atMs: nowMs &+ Self.pipesUnusedMs)
    }

    /// Work that waits for traffic to be seen: log lines still in the buffer. Armed by what leaves
    /// something behind, so an idle worker sleeps.
    func wantTick() {
        if !tickIsArmed {
            tickIsArmed = true
            timers.arm(tickTimer, atMs: nowMs + 200)
        }
    }
    private var tickIsArmed = false

    private func tick() {
        tickIsArmed = false
        log?.flush()
    }

    // MARK: the end of connections

    /// Closed objects are freed at the end of the loop turn, so that pointers to them stay valid in
    /// every function on the stack.
    struct Graveyard {
        var clients: [Handle] = []
        var exchanges: [Handle] = []
        var upstreams: [Handle] = []
        var tunnels: [Handle] = []
        var streams: [Handle] = []
        var sessions: [Handle] = []
        var datagramSessions: [Handle] = []
    }

    func buryTheDead() {
        while let handle = graveyard.clients.popLast() { clients.release(handle) }
        while let handle = graveyard.exchanges.popLast() {
            if let exchange = exchanges.pointer(handle) { exchange.deinitialize(count: 1) }
            exchanges.release(handle)
        }
        while let handle = graveyard.upstreams.popLast() { upstreams.release(handle) }
        while let handle = graveyard.tunnels.popLast() { tunnels.release(handle) }
        while let handle = graveyard.streams.popLast() { streams.release(handle) }
        while let handle = graveyard.sessions.popLast() { sessions.release(handle) }
        while let handle = graveyard.datagramSessions.popLast() { datagrams.sessions.release(handle) }
    }
}
