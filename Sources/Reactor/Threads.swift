// Named threads, and signals as something to read.

import CLinux
import Glibc

/// A running thread.
public struct RunningThread: @unchecked Sendable {
    private let thread: pthread_t

    /// Starts a thread; name: at most 15 bytes, shown by ps and top.
    public static func start(name: String, _ body: @escaping @Sendable () -> Void) -> RunningThread {
        final class Start {
            let name: String
            let body: @Sendable () -> Void
            init(_ name: String, _ body: @escaping @Sendable () -> Void) {
                self.name = name
                self.body = body
            }
        }
        var thread = pthread_t()
        let start = Unmanaged.passRetained(Start(name, body))
        let result = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let start = Unmanaged<Start>.fromOpaque(raw).takeRetainedValue()
                _ = weir_thread_name(start.name)
                start.body()
                return nil
            }, start.toOpaque())
        precondition(result == 0, "pthread_create: \(result)")
        return RunningThread(thread: thread)
    }

    /// Waits until it ends.
    public func join() { pthread_join(thread, nil) }

    /// Lets it end by itself; `join` must not be called then.
    public func detach() { pthread_detach(thread) }
}

/// Signals taken off their default course and read from a descriptor instead.
public struct SignalDescriptor: Sendable {
    public let descriptor: Int32

    /// Blocks the signals for this thread and all it starts later, and opens a descriptor for them.
    /// Call before any thread is started. SIGPIPE is ignored as well: splice(2) raises it.
    public init(_ signals: [Int32]) {
        signal(SIGPIPE, SIG_IGN)
        var set = sigset_t()
        sigemptyset(&set)
        for number in signals { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = signalfd(-1, &set, Int32(SFD_NONBLOCK | SFD_CLOEXEC))
    }

    /// The next pending signal's number, nil when there is none.
    public func next() -> Int32? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        return read(descriptor, &info, size) == size ? Int32(info.ssi_signo) : nil
    }
}
