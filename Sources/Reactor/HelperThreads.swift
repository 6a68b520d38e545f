// Threads for what blocks or burns, so that no event loop does it: bounded, shared by purposes, answered by message.
//
// Whoever submits is never made to wait: the queue takes the job or refuses it, under a lock that is held for a few
// instructions and never while a job runs. Each purpose has a share of the queue, so that one whose jobs are slow
// (hashes of passwords) cannot fill it and starve another (reads from a disk); those that wait are taken in turn,
// purpose by purpose. The threads are started by the first job.

/// What helper threads are asked for: a closed set.
public enum HelperPurpose: Int, Sendable, CaseIterable {
    /// Hashing a password.
    case password
    /// Reading from a disk.
    case disk
    /// Looking for attacks in a body.
    case inspection

    public var name: String { "\(self)" }
}

/// What became of a job that was taken. Exactly one, unless it was cancelled in time.
public enum HelperEnd<Answer: Sendable>: Sendable {
    case done(Answer)
    /// The threads are stopped; the job was not run.
    case stopped
}

/// A job that was submitted.
public struct HelperJob: Sendable, Equatable {
    let purpose: HelperPurpose
    let number: UInt64
}

/// A bounded pool of threads.
public final class HelperThreads: Sendable {
    public struct Settings: Sendable, Equatable {
        public var threads: Int
        /// Jobs that wait, of all purposes together.
        public var queueMax: Int
        /// Of these, for one purpose.
        public var shareMax: Int

        /// - Parameter cores: how many the process may use.
        public init(cores: Int, queueMax: Int = 1_024, shareMax: Int = 512) {
            threads = max(1, min(4, cores))
            self.queueMax = queueMax
            self.shareMax = shareMax
        }
    }

    private struct Waiting: Sendable {
        let number: UInt64
        let submittedNs: UInt64
        /// Works, calls what it is given, and answers.
        let run: @Sendable (_ whenDone: () -> Void) -> Void
        let stop: @Sendable () -> Void
    }

    private struct State {
        var nextNumber: UInt64 = 0
        /// By purpose, each in the order of submission. A cancelled one is taken out.
        var queues = [JobQueue](repeating: JobQueue(), count: HelperPurpose.allCases.count)
        var waiting = 0
        /// The purpose whose turn is next.
        var turn = 0
        var isStopped = false
        var threads: [RunningThread] = []
        var values = HelperPurpose.allCases.map { HelperValues(purpose: $0) }
    }

    /// First in, first out; a place is emptied when its job is taken, so that the job's captures go with it.
    private struct JobQueue: Sendable {
        private var jobs: [Waiting?] = []
        private var start = 0

        var count: Int { jobs.count - start }

        mutating func append(_ job: Waiting) { jobs.append(job) }

        mutating func popFirst() -> Waiting? {
            guard start < jobs.count else { return nil }
            let job = jobs[start]
            jobs[start] = nil
            start += 1
            // The rest is moved once as many places are empty.
            if start * 2 >= jobs.count {
                jobs.removeFirst(start)
                start = 0
            }
            return job
        }

        mutating func remove(_ number: UInt64) -> Waiting? {
            jobs[start...].firstIndex { $0?.number == number }.flatMap { jobs.remove(at: $0) }
        }
    }

    public let settings: Settings
    private let state = Signalled(State())

    /// Starts nothing.
    public init(_ settings: Settings) { self.settings = settings }

    /// Hands a job to the threads.
    /// - Parameters:
    ///   - ticket: whatever tells the answer's receiver whose it is; handed back as it is.
    ///   - work: runs on a helper thread.
    ///   - answer: called on a helper thread (or the one that stops them) with the ticket and the end; sends a message
    ///     to a mailbox and no more. The receiver must bear with tickets it does not know any more.
    /// - Returns: the job, or nil when it is refused: the queue, or the purpose's share of it, is full.
    public func submit<Ticket: Sendable, Answer: Sendable>(
        _ purpose: HelperPurpose, ticket: Ticket, work: @escaping @Sendable () -> Answer,
        answer: @escaping @Sendable (Ticket, HelperEnd<Answer>) -> Void
    ) -> HelperJob? {
        let nowNs = Clock.monotonicNs()
        return state.withLock { state in
            let row = purpose.rawValue
            guard !state.isStopped, state.waiting < settings.queueMax,
                state.queues[row].count < settings.shareMax
            else {
                state.values[row].refused += 1
                return nil
            }
            if state.threads.isEmpty {
                for number in 0..<settings.threads {
                    state.threads.append(
                        RunningThread.start(name: "weir-helper-\(number)") { [self] in run() })
                }
            }
            state.nextNumber += 1
            let number = state.nextNumber
            state.queues[row].append(
                Waiting(
                    number: number, submittedNs: nowNs,
                    run: { whenDone in
                        let result = work()
                        whenDone()
                        answer(ticket, .done(result))
                    },
                    stop: { answer(ticket, .stopped) }))
            state.waiting += 1
            state.values[row].queued += 1
            self.state.signal()
            return HelperJob(purpose: purpose, number: number)
        }
    }

    /// Takes a job back.
    /// - Returns: whether it had not begun: it is not run then, and not answered.
    @discardableResult
    public func cancel(_ job: HelperJob) -> Bool {
        // Its captures are released after the lock is.
        let taken = state.withLock { state -> Waiting? in
            let row = job.purpose.rawValue
            guard let found = state.queues[row].remove(job.number) else { return nil }
            state.waiting -= 1
            state.values[row].queued -= 1
            state.values[row].cancelled += 1
            return found
        }
        return taken != nil
    }

    /// Ends the threads after the jobs they are at; what waits is answered with `.stopped`. Not to be called on one of
    /// them.
    public func stop() {
        let (threads, left) = state.withLock { state -> ([RunningThread], [Waiting]) in
            state.isStopped = true
            var left: [Waiting] = []
            for row in state.queues.indices {
                while let job = state.queues[row].popFirst() { left.append(job) }
                state.values[row].queued = 0
            }
            state.waiting = 0
            self.state.signalAll()
            defer { state.threads = [] }
            return (state.threads, left)
        }
        for job in left { job.stop() }
        for thread in threads { thread.join() }
    }

    /// Those purposes that something was submitted for.
    public func values() -> [HelperValues] {
        state.withLock { $0.values.filter { $0 != HelperValues(purpose: $0.purpose) } }
    }

    // MARK: the threads

    private enum Turn {
        case run(row: Int, Waiting)
        case end
    }

    private func run() {
        while case .run(let row, let job) = state.wait({ Self.next(&$0) }) {
            let startNs = Clock.monotonicNs()
            // Counted before the answer goes out, so that who has it finds it counted.
            job.run { [state] in
                let ns = Clock.monotonicNs() - startNs
                state.withLock {
                    $0.values[row].running -= 1
                    $0.values[row].done += 1
                    $0.values[row].runNs += ns
                }
            }
        }
    }

    /// nil: wait.
    private static func next(_ state: inout State) -> Turn? {
        if state.isStopped { return .end }
        for step in state.queues.indices {
            let row = (state.turn + step) % state.queues.count
            guard let job = state.queues[row].popFirst() else { continue }
            state.turn = row + 1
            state.waiting -= 1
            state.values[row].queued -= 1
            state.values[row].running += 1
            let nowNs = Clock.monotonicNs()
            state.values[row].waitNs += nowNs > job.submittedNs ? nowNs - job.submittedNs : 0
            return .run(row: row, job)
        }
        return nil
    }
}

/// Jobs of one purpose, now and until now.
public struct HelperValues: Sendable, Equatable {
    public var purpose: HelperPurpose
    public var queued = 0
    public var running = 0
    public var done: UInt64 = 0
    public var refused: UInt64 = 0
    public var cancelled: UInt64 = 0
    /// Summed up: in the queue, and at work.
    public var waitNs: UInt64 = 0
    public var runNs: UInt64 = 0

    public init(purpose: HelperPurpose) { self.purpose = purpose }
}
