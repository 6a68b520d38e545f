// The access log's file and its writer thread.
//
//   worker ── lines ──▶ AccessLogBuffer ── full ──▶ queue (bounded) ──▶ writer thread ──▶ write(2)
//                             ▲                                              │
//                             └───────────── empty buffers ◀─────────────────┘
//
// Workers never touch the disk: they take and give buffers under a lock that is held for a few
// instructions, never during a system call. There is a fixed number of buffers; when all of them wait
// for the disk, lines are dropped and counted. A failing write (disk full, reader gone) loses its
// lines, counts them, says so at most every ten seconds and is tried anew with the next buffer; a line
// torn by it is ended before the next one.

import Glibc
import Reactor
import Synchronization
import WeirRouting

/// Where log lines go.
public enum LogOutput: Sendable, Equatable {
    case stdout, stderr
    /// Opened for appending, made with mode 0640 when missing.
    case file(path: String)
}

/// Why a log file could not be opened.
public struct LogOpenError: Error, Equatable, CustomStringConvertible {
    public var path: String
    public var errno: Int32

    public var description: String { "cannot open \(path): \(String(cString: strerror(errno)))" }
}

/// One access log. `close` ends its thread, and so does `retire` with its last buffer; without them the log
/// lives as long as the process.
public final class AccessLog: @unchecked Sendable {
    struct Chunk {
        var base: UnsafeMutablePointer<UInt8>
        var byteCount: Int
        var lines: Int
    }

    /// Size of one buffer; the longest possible line fits.
    static var bufferBytes: Int { 64 * 1024 }
    /// Empty buffers kept for reuse; the rest is given back after a burst.
    private static var idleBuffersMax: Int { 8 }

    public let format: AccessLogFormat
    /// Which records are written; nil: all.
    let condition: RequestCondition?
    let metrics: AccessLogMetrics
    private let output: LogOutput
    private let warnings: Log
    private let gate = LogGate()
    private let buffersMax: Int
    private let abandoned = Atomic<Bool>(false)

    // Guarded by the mutex; the condition is signalled when one of them changes.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var queue: [Chunk] = []
    private var idle: [UnsafeMutablePointer<UInt8>] = []
    private var buffersOut = 0
    private var wantsReopen = false
    /// Workers' ends of the log.
    private var ends = 0
    private var isRetired = false
    private var isClosing = false
    private var isFinished = false

    // The writer thread's own.
    private var fd: Int32
    private var isTorn = false

    /// Opens the output and starts the writer thread.
    /// - Parameters:
    ///   - condition: which records are written; nil: all. Whoever has a record asks it (`AccessLogBuffer`).
    ///   - warnings: where failed writes are reported.
    ///   - buffers: how many buffers of 64 KiB there may be, ≥ 1; the bound on lines not yet written.
    public convenience init(
        _ output: LogOutput, format: AccessLogFormat, condition: RequestCondition? = nil,
        metrics: AccessLogMetrics, warnings: Log, buffers: Int = 64
    ) throws(LogOpenError) {
        self.init(
            fd: try Self.open(output), output, format: format, condition: condition, metrics: metrics,
            warnings: warnings, buffers: buffers)
        start()
    }

    /// Without a writer: what workers hand over is kept until somebody takes it, for tests.
    convenience init(keeping format: AccessLogFormat, metrics: AccessLogMetrics) {
        self.init(
            fd: -1, .stderr, format: format, condition: nil, metrics: metrics,
            warnings: Log(fd: -1, level: .error), buffers: 64)
    }

    private init(
        fd: Int32, _ output: LogOutput, format: AccessLogFormat, condition: RequestCondition?,
        metrics: AccessLogMetrics, warnings: Log, buffers: Int
    ) {
        self.fd = fd
        self.output = output
        self.format = format
        self.condition = condition
        self.metrics = metrics
        self.warnings = warnings
        buffersMax = max(1, buffers)
        queue.reserveCapacity(buffersMax)
        idle.reserveCapacity(Self.idleBuffersMax)
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        for buffer in idle { buffer.deallocate() }
        pthread_cond_destroy(changed)
        pthread_mutex_destroy(mutex)
        changed.deallocate()
        mutex.deallocate()
        if case .file = output { Glibc.close(fd) }
    }

    /// The end of the log for one worker.
    public func makeBuffer() -> AccessLogBuffer {
        locked { ends += 1 }
        return AccessLogBuffer(self)
    }

    func bufferEnded() {
        locked {
            ends -= 1
            closeIfLeft()
        }
    }

    /// Another log takes over: this one closes once its workers have handed over their last lines.
    public func retire() {
        locked {
            isRetired = true
            closeIfLeft()
        }
    }

    private func closeIfLeft() {
        guard isRetired, ends == 0 else { return }
        isClosing = true
        pthread_cond_broadcast(changed)
    }

    /// Closes the file and opens the same path again, so that a rotated file is let go. Happens on the
    /// writer thread; buffers queued before may go to the new file. Without effect on stdout and stderr.
    public func reopen() {
        locked {
            wantsReopen = true
            pthread_cond_broadcast(changed)
        }
    }

    /// Writes what is queued and ends the thread. Buffers not flushed before are lost and counted.
    /// - Parameter deadlineMs: how long to wait for a stuck output.
    /// - Returns: whether everything queued was dealt with in time.
    @discardableResult
    public func close(deadlineMs: Int = 2000) -> Bool {
        let untilNs = Clock.monotonicNs() &+ UInt64(max(0, deadlineMs)) &* 1_000_000
        var until = timespec(
            tv_sec: Int(untilNs / 1_000_000_000), tv_nsec: Int(untilNs % 1_000_000_000))
        return locked {
            isClosing = true
            pthread_cond_broadcast(changed)
            while !isFinished {
                if pthread_cond_timedwait(changed, mutex, &until) == ETIMEDOUT { break }
            }
            if !isFinished { abandoned.store(true, ordering: .relaxed) }
            return isFinished
        }
    }

    // MARK: Workers

    /// An empty buffer, or nil when all are in use or the log is closed.
    func takeBuffer() -> UnsafeMutablePointer<UInt8>? {
        locked {
            if isClosing || buffersOut == buffersMax { return nil }
            buffersOut += 1
            return idle.popLast() ?? .allocate(capacity: Self.bufferBytes)
        }
    }

    func submit(_ chunk: Chunk) {
        let accepted = locked {
            if isFinished {
                giveBack(chunk.base)
                return false
            }
            queue.append(chunk)
            pthread_cond_broadcast(changed)
            return true
        }
        if !accepted { metrics.dropped.wrappingAdd(UInt64(chunk.lines), ordering: .relaxed) }
    }

    /// The lines of a log without a writer.
    func takeKept() -> [UInt8] {
        locked {
            var bytes: [UInt8] = []
            for chunk in queue {
                bytes += UnsafeBufferPointer(start: chunk.base, count: chunk.byteCount)
                giveBack(chunk.base)
            }
            queue.removeAll(keepingCapacity: true)
            return bytes
        }
    }

    /// With the lock held.
    private func giveBack(_ buffer: UnsafeMutablePointer<UInt8>) {
        buffersOut -= 1
        if idle.count < Self.idleBuffersMax { idle.append(buffer) } else { buffer.deallocate() }
    }

    private func locked<Result>(_ body: () -> Result) -> Result {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    // MARK: The writer thread

    private func start() {
        _ = RunningThread.start(name: "access-log") {
            // Nobody joins it: `close` waits for the work, not for the thread, and gives up in time.
            pthread_detach(pthread_self())
            // The program ignores SIGPIPE; the library must not depend on that.
            var pipe = sigset_t()
            sigemptyset(&pipe)
            sigaddset(&pipe, SIGPIPE)
            pthread_sigmask(SIG_BLOCK, &pipe, nil)
            self.run()
        }
    }

    private enum Work {
        case write([Chunk])
        case reopen, end
    }

    private func run() {
        while true {
            let work: Work = locked {
                while true {
                    if wantsReopen {
                        wantsReopen = false
                        return .reopen
                    }
                    if !queue.isEmpty {
                        let chunks = queue
                        queue.removeAll(keepingCapacity: true)
                        return .write(chunks)
                    }
                    if isClosing {
                        isFinished = true
                        pthread_cond_broadcast(changed)
                        return .end
                    }
                    pthread_cond_wait(changed, mutex)
                }
            }
            switch work {
            case .write(let chunks):
                for chunk in chunks {
                    write(chunk)
                    locked { giveBack(chunk.base) }
                }
            case .reopen: reopenNow()
            case .end: return
            }
        }
    }

    private func write(_ chunk: Chunk) {
        var from = 0
        var failure = isTorn ? writeAll(lineFeed, from: &from) : 0
        if failure == 0 {
            isTorn = false
            from = 0
            failure = writeAll(UnsafeRawBufferPointer(start: chunk.base, count: chunk.byteCount), from: &from)
        } else {
            from = 0
        }
        guard failure != 0 else {
            metrics.written.wrappingAdd(UInt64(chunk.lines), ordering: .relaxed)
            return
        }
        var whole = 0
        for i in 0..<from where chunk.base[i] == UInt8(ascii: "\n") { whole += 1 }
        if from > 0 { isTorn = chunk.base[from - 1] != UInt8(ascii: "\n") }
        metrics.written.wrappingAdd(UInt64(whole), ordering: .relaxed)
        metrics.dropped.wrappingAdd(UInt64(chunk.lines - whole), ordering: .relaxed)
        metrics.writeErrors.wrappingAdd(1, ordering: .relaxed)
        warnings.limited(
            gate, nowMs: Clock.monotonicNs() / 1_000_000, .warning, "access log write failed, lines lost",
            ["lines": "\(chunk.lines - whole)", "error": String(cString: strerror(failure))])
    }

    private var lineFeed: UnsafeRawBufferPointer {
        let text: StaticString = "\n"
        return UnsafeRawBufferPointer(start: text.utf8Start, count: 1)
    }

    /// Writes until done or failed; returns errno or 0 and moves `from` behind what was written.
    private func writeAll(_ bytes: UnsafeRawBufferPointer, from: inout Int) -> Int32 {
        guard let base = bytes.baseAddress else { return 0 }
        while from < bytes.count {
            let wrote = Glibc.write(fd, base + from, bytes.count - from)
            if wrote > 0 {
                from += wrote
                continue
            }
            let reason = wrote == 0 ? EIO : errno
            switch reason {
            case EINTR: continue
            case EAGAIN:
                // An inherited descriptor may be non-blocking. Waiting is this thread's job.
                if abandoned.load(ordering: .relaxed) { return EAGAIN }
                var target = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                poll(&target, 1, 100)
            default: return reason
            }
        }
        return 0
    }

    private func reopenNow() {
        guard case .file = output else { return }
        do throws(LogOpenError) {
            let new = try Self.open(output)
            Glibc.close(fd)
            fd = new
            isTorn = false
        } catch {
            warnings.error("access log not reopened, still using the old file", ["error": "\(error)"])
        }
    }

    private static func open(_ output: LogOutput) throws(LogOpenError) -> Int32 {
        switch output {
        case .stdout: return STDOUT_FILENO
        case .stderr: return STDERR_FILENO
        case .file(let path):
            // A FIFO that nobody reads is an error, not a wait; the writer waits for a full one itself.
            let flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
            let fd = Glibc.open(path, flags, 0o640)
            if fd < 0 { throw LogOpenError(path: path, errno: errno) }
            return fd
        }
    }
}
