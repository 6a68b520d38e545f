// Names to addresses through c-ares, on a thread of its own.
//
// getaddrinfo(3) blocks and hides TTLs; c-ares does neither. The library's channel is not thread-safe,
// so one thread owns it and everything else talks to it through a bounded queue and an eventfd.
// /etc/hosts is asked first, then DNS; IPv4 and IPv6 are asked separately, so that an answer for one
// family with a timeout for the other is known to be half an answer (see `isComplete`).
// No caching: the caller's NameTracker asks again when the TTL has passed.

import CAres
import CLinux
import Glibc
import Reactor

/// Why a name could not be resolved.
public enum ResolveFailureKind: String, Sendable, CaseIterable {
    /// The name does not exist or has no address (NXDOMAIN, no data).
    case notFound
    /// No server answered in time.
    case timeout
    /// A server answered with SERVFAIL, REFUSED, NOTIMP or FORMERR, or could not be reached.
    case serverFailure
    /// The answer could not be understood.
    case badAnswer
    /// The name cannot be asked for (empty, too long, bad characters).
    case badName
    /// More than `Resolver.Settings.waitingMax` questions are waiting.
    case overloaded
    /// The resolver was stopped or could not start.
    case stopped
}

/// The outcome of one question.
public enum ResolveResult: Sendable, Equatable {
    /// At least one address, none twice. `ttlSeconds` is the smallest TTL of the answer; addresses
    /// from /etc/hosts and literals have `Resolver.hostsTTLSeconds`. `isComplete` is false when one of
    /// two families was answered and asking the other failed.
    case addresses([IPAddress], ttlSeconds: Int, isComplete: Bool)
    /// `text` is the library's own words.
    case failed(kind: ResolveFailureKind, text: String)
}

/// Resolves names without blocking anyone. Stops when released.
public final class Resolver: Sendable {
    /// Which address families to ask for.
    public enum Family: Sendable {
        case any, ipv4, ipv6
    }

    public struct Settings: Sendable, Equatable {
        /// "ip", "ip:port" or "[ip6]:port"; empty: those of /etc/resolv.conf, read again when it changes.
        public var servers: [String] = []
        /// Time for the first try of a server; the library doubles it in each further round.
        public var timeoutMs = 2_000
        /// Rounds over all servers.
        public var tries = 2
        /// Names being asked for at the same time.
        public var concurrentMax = 256
        /// Names waiting beyond those; more fail with `.overloaded`.
        public var waitingMax = 4_096
        /// Look at /etc/hosts before DNS.
        public var usesHostsFile = true

        public init() {}
    }

    /// The TTL given to answers that have none (/etc/hosts, literals).
    public static let hostsTTLSeconds = 30

    private let thread: ResolverThread

    /// Starts the thread. Never fails: when the machine refuses a thread or a descriptor, every
    /// question fails with `.stopped` and the reason.
    public init(settings: Settings = Settings()) {
        thread = ResolverThread(settings)
        thread.start()
    }

    deinit {
        thread.stop()
    }

    /// Asks for a name; `completion` is called exactly once, on the resolver's thread (or on the
    /// caller's when the question is refused), and must not block.
    public func resolve(
        name: String, family: Family = .any, completion: @escaping @Sendable (ResolveResult) -> Void
    ) {
        thread.submit(ResolverQuestion(name: name, family: family, completion: completion))
    }
}

struct ResolverQuestion: Sendable {
    let name: String
    let family: Resolver.Family
    let completion: @Sendable (ResolveResult) -> Void
}

/// The queue between callers and the thread, and the thread's life.
final class ResolverThread: Sendable {
    private struct Shared {
        var waiting: [ResolverQuestion] = []
        var isStopping = false
        /// eventfd; -1 when there is none (not started, or ended).
        var wakeFD: Int32 = -1
        var startError = ""
    }

    let settings: Resolver.Settings
    private let shared = Locked(Shared())

    init(_ settings: Resolver.Settings) {
        self.settings = settings
    }

    func start() {
        let fd = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard fd >= 0 else {
            let text = String(cString: strerror(errno))
            shared.withLock { $0.startError = "eventfd: \(text)" }
            return
        }
        shared.withLock { $0.wakeFD = fd }
        var handle = pthread_t()
        let box = Unmanaged.passRetained(self)
        // Signals belong to other threads; the new one inherits the mask.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        let error = pthread_create(
            &handle, nil,
            { argument in
                guard let argument else { return nil }
                let thread = Unmanaged<ResolverThread>.fromOpaque(argument).takeRetainedValue()
                ResolverLoop(thread).run()
                return nil
            }, box.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        guard error == 0 else {
            box.release()
            shared.withLock {
                $0.wakeFD = -1
                $0.startError = "pthread_create: \(String(cString: strerror(error)))"
            }
            close(fd)
            return
        }
        pthread_detach(handle)
    }

    func submit(_ question: ResolverQuestion) {
        let refusal: ResolveResult? = shared.withLock {
            guard $0.wakeFD >= 0, !$0.isStopping else {
                return .failed(
                    kind: .stopped, text: $0.startError.isEmpty ? "resolver stopped" : $0.startError)
            }
            guard $0.waiting.count < settings.waitingMax else {
                return .failed(kind: .overloaded, text: "\(settings.waitingMax) names waiting already")
            }
            $0.waiting.append(question)
            Self.wake($0.wakeFD)
            return nil
        }
        if let refusal { question.completion(refusal) }
    }

    func stop() {
        shared.withLock {
            $0.isStopping = true
            if $0.wakeFD >= 0 { Self.wake($0.wakeFD) }
        }
    }

    /// The write stays under the lock: the descriptor is closed under it, too.
    private static func wake(_ fd: Int32) {
        var one: UInt64 = 1
        _ = write(fd, &one, 8)
    }

    // MARK: For the thread

    var wakeFD: Int32 { shared.withLock { $0.wakeFD } }

    /// Up to `room` questions, oldest first; nil when the thread is to end.
    func take(_ room: Int) -> [ResolverQuestion]? {
        shared.withLock {
            guard !$0.isStopping else { return nil }
            let taken = Array($0.waiting.prefix(room))
            $0.waiting.removeFirst(taken.count)
            return taken
        }
    }

    /// Closes the eventfd; returns what nobody will answer any more.
    func finish(reason: String) -> [ResolverQuestion] {
        shared.withLock { shared in
            shared.isStopping = true
            if shared.startError.isEmpty { shared.startError = reason }
            if shared.wakeFD >= 0 { close(shared.wakeFD) }
            shared.wakeFD = -1
            let left = shared.waiting
            shared.waiting = []
            return left
        }
    }
}
