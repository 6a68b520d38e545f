// What one worker has: a thread with its own event loop, connections, pools and timers.
//
// It shares nothing with other workers but immutable snapshots, relaxed counters and mailboxes, so nothing here
// takes a lock. What its thread does is in Loop/; what becomes of events, in the rooms of the table.

import WeirBalancing
import WeirCompression
import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor
import WeirResilience
import WeirRouting
import Synchronization
import TLS
import Telemetry

/// What other threads may ask of a worker.
public enum WorkerMessage: Sendable {
    case publish(Snapshot)
    /// Weights of a service's endpoints have changed.
    case reweigh(serviceID: Int)
    /// A connection accepted by another worker that has more than its share.
    case adopt(fd: Int32, peer: IPAddress, port: UInt16, listenerID: Int)
    /// Finish what is under way, take nothing new.
    case drain
    case stop
    /// Write to another access log from now on, or to none.
    case log(AccessLog?)
    /// What an exchange waited for (`Ticket.bring`).
    case answer(Ticket, any Sendable)
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

public final class Worker: @unchecked Sendable {
    public let index: Int
    public let mailbox = Mailbox<WorkerMessage>()
    public let status = WorkerGauges()
    /// All workers, for handing connections over; set before the threads start.
    public private(set) var peers: [Worker] = []

    /// What the thread's events are for.
    let rooms: RoomTable
    let roomsByKind: UnsafeMutablePointer<Unmanaged<Room>>
    let roomsWithTurns: UnsafeMutablePointer<Unmanaged<Room>>
    let roomsWithTurnsCount: Int

    // Everything below belongs to the worker's thread.
    var poller = Poller()
    var timers: TimerWheel
    var buffers = BufferPool()
    var pipes: PipePool
    let encoders = EncoderPool()
    let decoderMemory = DecoderMemory()
    var clients: Slab<ClientConnection>
    var exchanges: Slab<Exchange>
    /// Attempts beside the one each exchange has.
    var attempts: Slab<Attempt>
    var upstreams: Slab<UpstreamConnection>
    var tunnels: Slab<Tunnel>
    var sessions: Slab<SessionRecord>
    var streams: Slab<StreamEnd>
    var datagrams: DatagramState
    /// Calls to begin in the next turn.
    var asked: [(request: CallRequest, ticket: Ticket)] = []
    let callPlan: ListenerPlan
    /// Of sessions without a connection.
    let noTransport: UnsafeMutablePointer<Transport>
    var graveyard: [Token] = []
    var pools = Table<EndpointPool>()
    var serviceStates = Table<ServiceState>()
    /// By service id.
    var fileRoots = Table<FileRoot>()
    var listening: [Listening] = []

    var snapshot: Snapshot
    var lease: UnsafeMutablePointer<SnapshotLease>
    var oldLeases = 0
    var retired: [RetiredListener] = []

    let time: TimeSource
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
    /// Where whoever parses a head has its fields put, and gives them on from: nobody else looks here.
    let fieldScratch: UnsafeMutablePointer<Field>
    public static let fieldsMax = 2048
    /// Where bytes of sessions land; their events point into it while exchanges use `input`.
    let sessionInput: UnsafeMutablePointer<UInt8>
    let sessionShared: UnsafeMutablePointer<SessionShared>
    /// What sessions of a version share, by its `StreamProtocol`; made with the first.
    var streamShared: [ObjectIdentifier: AnyObject] = [:]
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
    var pipeTimer: TimerID = -1
    var pipeTimerIsArmed = false
    var tickIsArmed = false
    var retireTimer: TimerID = -1
    var retirementDueMs: UInt64 = .max
    var isDraining = false
    var drainStartedMs: UInt64 = 0
    var isStopping = false
    var unfinished: [Token] = []
    var drainSweepMs: UInt64 = 0
    /// Accepting pauses when descriptors reach this number: an eighth of them is left for endpoints.
    let acceptDescriptorMax: Int32

    init(
        index: Int, snapshot: Snapshot, limits: WorkerLimits, log: AccessLogBuffer?, eventLog: Log,
        metrics: WorkerMetrics, rooms: RoomTable, surroundings: Surroundings
    ) {
        var surroundings = surroundings
        self.index = index
        self.rooms = rooms
        roomsByKind = rooms.byKind
        roomsWithTurns = rooms.withTurns
        roomsWithTurnsCount = rooms.withTurnsCount
        self.snapshot = snapshot
        self.log = log
        self.eventLog = eventLog
        self.metrics = metrics
        time = surroundings.time
        nowNs = time.monotonicNs()
        nowMs = nowNs / 1_000_000
        timers = TimerWheel(nowMs: nowMs)
        pipes = PipePool(inUseMax: limits.pipesMax)
        clients = Slab(countMax: limits.clientsMax)
        exchanges = Slab(countMax: limits.exchangesMax)
        attempts = Slab(countMax: limits.exchangesMax)
        upstreams = Slab(countMax: limits.upstreamsMax)
        tunnels = Slab(countMax: limits.tunnelsMax)
        sessions = Slab(countMax: limits.clientsMax)
        streams = Slab(countMax: limits.exchangesMax)
        random = WorkerRandom(seed: surroundings.bits())
        identity = random.next()
        datagrams = DatagramState(
            sessionsMax: limits.sessionsMax, secret: (surroundings.bits(), surroundings.bits()))
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        acceptDescriptorMax = Int32(clamping: limit.rlim_cur - max(limit.rlim_cur / 8, 8))
        date = DateCache(time)
        input = .allocate(capacity: Self.inputBytes)
        output = .allocate(capacity: outputBytes)
        fieldScratch = .allocate(capacity: Self.fieldsMax)
        parts = .allocate(capacity: Self.partsMax)
        sessionInput = .allocate(capacity: Self.inputBytes)
        sessionShared = .allocate(capacity: 1)
        sessionShared.initialize(to: SessionShared())
        callPlan = .ofCalls(worker: index)
        noTransport = .allocate(capacity: 1)
        noTransport.initialize(to: .none)
        lease = .allocate(capacity: 1)
        lease.initialize(to: SnapshotLease(snapshot: .passRetained(snapshot), users: 0, isCurrent: true))
    }

    deinit {
        input.deallocate()
        output.deallocate()
        fieldScratch.deallocate()
        parts.deallocate()
        sessionInput.deallocate()
        sessionShared.deallocate()
        noTransport.deinitialize(count: 1)
        noTransport.deallocate()
        lease.pointee.snapshot.release()
        lease.deallocate()
    }

    /// Introduces the workers to each other. Before the threads start.
    public static func introduce(_ workers: [Worker]) {
        for worker in workers { worker.peers = workers }
    }

    @inline(__always)
    func updateClock() {
        nowNs = time.monotonicNs()
        nowMs = nowNs / 1_000_000
    }

    // MARK: fairness

    /// What used up its share of a loop turn goes on in the next one, after the events of the others.
    func goOnNextTurn(_ token: Token) { unfinished.append(token) }

    // MARK: ticks

    /// Work that waits for traffic to be seen: log lines still in the buffer. Armed by what leaves
    /// something behind, so an idle worker sleeps.
    func wantTick() {
        if !tickIsArmed {
            tickIsArmed = true
            timers.arm(tickTimer, atMs: nowMs + 200)
        }
    }

    // MARK: the end of connections

    /// Closed objects are freed at the end of the loop turn, so that pointers to them stay valid in
    /// every function on the stack.
    func bury(_ kind: UInt8, _ handle: Handle) { graveyard.append(Token(kind: kind, handle: handle)) }

    /// Connections that may bring another request are closed after it; a client that is just sending
    /// one finds us still here. Idle ones get a moment before they are closed.
    static let drainIdleGraceMs: UInt64 = 1_000
    /// How long handshakes that have begun may take when a socket ends: enough within a site.
    static let handshakesMs: UInt64 = 10
}
