// The admin listener: one thread of its own, a handful of connections, nothing that blocks.
//
// It must answer when everything else is in trouble: it shares no thread and no pool with the data
// plane, keeps one descriptor in reserve so that it can accept at the descriptor limit, closes slow
// clients after ten seconds, and makes room for new ones by closing whoever has waited longest.

import Glibc
import WeirHTTPModel
import Proxy
import Reactor
import Telemetry

/// Serves /metrics, /healthz, /readyz, /api/v1 and the dashboard.
public final class AdminServer: Sendable {
    /// Connections served at once.
    public static let connectionsMax = 64

    private let listening: ListeningSockets
    private let source: any AdminSource
    private let allowedHosts: Locked<Set<String>>
    private let log: Log
    private let commands = Mailbox<Command>()
    private let thread = Locked<RunningThread?>(nil)

    private enum Command: Sendable {
        /// End at once.
        case stop
        /// Accept what has come, finish the answers under way, and end.
        case leave
        /// What a connection waits for is there.
        case answer(descriptor: Int32, serial: UInt64, AdminResponse)
    }

    /// - Parameters:
    ///   - listening: open already; `start` serves.
    ///   - allowedHosts: names accepted in Host besides IP addresses, localhost and names without a dot; in
    ///     lower case.
    public init(
        _ listening: ListeningSockets, source: any AdminSource, log: Log, allowedHosts: Set<String> = []
    ) {
        self.listening = listening
        self.source = source
        self.log = log
        self.allowedHosts = Locked(allowedHosts)
    }

    /// Accepts these names from the next request on.
    public func accept(hosts: Set<String>) { allowedHosts.withLock { $0 = hosts } }

    private var listener: Socket { listening.socket(worker: 0) }

    private var routes: AdminRoutes {
        AdminRoutes(source: source, allowedHosts: allowedHosts.withLock { $0 })
    }

    /// Starts the thread. Once.
    public func start() {
        thread.withLock {
            if $0 == nil { $0 = RunningThread.start(name: "admin") { AdminLoop(self).run() } }
        }
    }

    /// Closes all connections and ends the thread; returns when it has ended.
    public func stop() {
        let running = thread.withLock { thread in
            defer { thread = nil }
            return thread
        }
        guard let running else { return }
        commands.send(.stop)
        running.join()
    }

    /// Ends once what has come is answered, without being waited for: the answer to the request that had
    /// this done may be among it.
    public func leave() {
        thread.withLock { thread in
            thread?.detach()
            thread = nil
        }
        commands.send(.leave)
    }

    /// The thread's own state.
    private struct AdminLoop: ~Copyable {
        private let server: AdminServer
        private let poller = Poller()
        private let fields = UnsafeMutablePointer<Field>.allocate(capacity: AdminConnection.fieldsMax)
        private var connections: [Int32: AdminConnection] = [:]
        private var nextSerial: UInt64 = 0
        private var reserve = AdminLoop.openReserve()
        /// Accepting resumes then; 0 = not paused.
        private var acceptsAgainNs: UInt64 = 0
        private let gate = LogGate()
        /// The listening socket ends then; 0 = it stays.
        private var leavesAtNs: UInt64 = 0
        private var isListening = true

        private static let listenerToken = Token(raw: 1 << 60)
        private static let commandToken = Token(raw: 2 << 60)
        private static let sweepMs: Int32 = 250
        /// How long handshakes that have begun may take.
        private static let handshakesNs: UInt64 = 10_000_000

        init(_ server: borrowing AdminServer) { self.server = copy server }

        deinit {
            for connection in connections.values { connection.socket.close() }
            if reserve >= 0 { close(reserve) }
            fields.deallocate()
        }

        consuming func run() {
            poller.watch(server.listener.fd, Self.listenerToken, .readable)
            poller.watch(server.commands.descriptor, Self.commandToken, .readable)
            while isListening || !connections.isEmpty {
                let isQuiet = connections.isEmpty && acceptsAgainNs == 0
                let count = poller.wait(
                    timeoutMs: leavesAtNs != 0 ? 10 : isQuiet ? -1 : Self.sweepMs)
                let nowNs = Clock.monotonicNs()
                for i in 0..<count {
                    let (token, _) = poller.event(i)
                    if token == Self.commandToken {
                        for command in server.commands.takeAll() {
                            switch command {
                            case .stop: return
                            case .leave: leavesAtNs = nowNs + Self.handshakesNs
                            case .answer(let fd, let serial, let response):
                                guard let connection = connections[fd], connection.serial == serial else {
                                    continue
                                }
                                connection.answered(response, nowNs: nowNs)
                                advance(fd, nowNs)
                            }
                        }
                        continue
                    }
                    if token == Self.listenerToken {
                        accept(nowNs)
                    } else {
                        advance(Int32(truncatingIfNeeded: token.raw), nowNs)
                    }
                }
                sweep(nowNs)
                if leavesAtNs != 0, nowNs >= leavesAtNs { endListening(nowNs) }
            }
        }

        /// The last accept; whoever was accepted gets the answer to one more request.
        private mutating func endListening(_ nowNs: UInt64) {
            leavesAtNs = 0
            accept(nowNs)
            poller.deregister(server.listener.fd)
            server.listener.end()
            isListening = false
            acceptsAgainNs = 0
            for (fd, connection) in connections {
                connection.isLast = true
                if connection.isIdle, connection.socket.peek() < 0 { end(fd) }
            }
        }

        private mutating func advance(_ fd: Int32, _ nowNs: UInt64) {
            guard let connection = connections[fd] else { return }
            if !isListening { connection.isLast = true }
            let commands = server.commands
            let serial = connection.serial
            let wanted = connection.advance(server.routes, fields, nowNs: nowNs) {
                commands.send(.answer(descriptor: fd, serial: serial, $0))
            }
            guard let wanted else { return end(fd) }
            if wanted != connection.watched {
                connection.watched = wanted
                if wanted.isEmpty {
                    poller.deregister(fd)
                } else {
                    poller.watch(fd, Token(raw: UInt64(UInt32(bitPattern: fd))), wanted)
                }
            }
        }

        private mutating func end(_ fd: Int32) {
            guard let connection = connections.removeValue(forKey: fd) else { return }
            connection.socket.close()
            if reserve < 0 { reserve = Self.openReserve() }
        }

        private mutating func accept(_ nowNs: UInt64) {
            while true {
                var (socket, _, _) = server.listener.accept()
                if socket.fd == -EMFILE || socket.fd == -ENFILE, reserve >= 0 {
                    close(reserve)
                    reserve = -1
                    (socket, _, _) = server.listener.accept()
                }
                switch socket.fd {
                case 0...: admit(socket, nowNs)
                case -EINTR, -ECONNABORTED: continue
                case -EAGAIN: return
                default:
                    // Out of descriptors: the listener would be reported readable without end.
                    poller.deregister(server.listener.fd)
                    acceptsAgainNs = nowNs + 100_000_000
                    server.log.limited(
                        gate, nowMs: nowNs / 1_000_000, .warning, "admin listener pauses",
                        ["error": String(cString: strerror(-socket.fd))])
                    return
                }
            }
        }

        private mutating func admit(_ socket: Socket, _ nowNs: UInt64) {
            if connections.count >= AdminServer.connectionsMax, !evict(nowNs) {
                let answer: StaticString =
                    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                _ = socket.send(answer.utf8Start, answer.utf8CodeUnitCount)
                socket.close()
                return
            }
            nextSerial += 1
            connections[socket.fd] = AdminConnection(socket, serial: nextSerial, nowNs: nowNs)
            advance(socket.fd, nowNs)
        }

        /// Closes the one that has waited longest: without a request, or with an unfinished one for
        /// more than a second. Answers being made or written are left alone.
        private mutating func evict(_ nowNs: UInt64) -> Bool {
            let victim =
                connections
                .filter {
                    $0.value.isIdle
                        || $0.value.state != .writing && $0.value.state != .waiting
                            && nowNs - $0.value.sinceNs > 1_000_000_000
                }
                .min { $0.value.sinceNs < $1.value.sinceNs }
            guard let victim else { return false }
            end(victim.key)
            return true
        }

        private mutating func sweep(_ nowNs: UInt64) {
            for (fd, connection) in connections where nowNs >= connection.deadlineNs { end(fd) }
            if acceptsAgainNs != 0, nowNs >= acceptsAgainNs {
                acceptsAgainNs = 0
                if reserve < 0 { reserve = Self.openReserve() }
                poller.watch(server.listener.fd, Self.listenerToken, .readable)
            }
        }

        private static func openReserve() -> Int32 { open("/dev/null", O_RDONLY | O_CLOEXEC) }
    }
}
