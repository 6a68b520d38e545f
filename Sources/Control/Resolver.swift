// Names to addresses through c-ares, on a thread of its own.
//
// getaddrinfo(3) blocks and hides TTLs; c-ares does neither. The library's channel is not thread-safe,
// so one thread owns it and everything else talks to it through a bounded queue and an eventfd.
// /etc/hosts is asked first, then DNS; IPv4 and IPv6 are asked separately, so that an answer for one
// family with a timeout for the other is known to be half an answer (see `isComplete`).
// No caching: the caller's NameTracker asks again when the TTL has passed.

import CAres
import Glibc
import HTTPClient
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
        /// "ip", "ip:port" or "[ip6]:port"; empty: those of `resolvConf`, read again when it changes.
        public var servers: [String] = []
        /// The port of servers written without one.
        public var port: UInt16 = 53
        /// Servers, search domains and options, resolv.conf(5).
        public var resolvConf = "/etc/resolv.conf"
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

    /// Starts the thread. When the library refuses the settings, every question fails with `.stopped`
    /// and the reason.
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

extension Resolver {
    /// Names for the HTTP client.
    func resolve(
        host: String, _ answer: @escaping @Sendable (Result<[IPAddress], HTTPClient.NameFailure>) -> Void
    ) {
        resolve(name: host) { result in
            switch result {
            case .addresses(let addresses, _, _): answer(.success(addresses))
            case .failed(_, let text): answer(.failure(.init(text)))
            }
        }
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
        /// Set when the thread is to end or has ended.
        var endReason: String?
    }

    let settings: Resolver.Settings
    private let shared = Locked(Shared())
    /// Only wakes; the questions stand in the bounded queue.
    private let waker = Mailbox<Never>()

    init(_ settings: Resolver.Settings) {
        self.settings = settings
    }

    func start() {
        RunningThread.start(name: "weir-resolver") { ResolverLoop(self).run() }.detach()
    }

    func submit(_ question: ResolverQuestion) {
        let refusal: ResolveResult? = shared.withLock {
            if let reason = $0.endReason { return .failed(kind: .stopped, text: reason) }
            guard $0.waiting.count < settings.waitingMax else {
                return .failed(kind: .overloaded, text: "\(settings.waitingMax) names waiting already")
            }
            $0.waiting.append(question)
            return nil
        }
        guard let refusal else { return waker.wake() }
        question.completion(refusal)
    }

    func stop() {
        shared.withLock { $0.endReason = "resolver stopped" }
        waker.wake()
    }

    // MARK: For the thread

    var wakeFD: Int32 { waker.descriptor }

    func clearWake() { _ = waker.takeAll() }

    /// Up to `room` questions, oldest first; nil when the thread is to end.
    func take(_ room: Int) -> [ResolverQuestion]? {
        shared.withLock {
            guard $0.endReason == nil else { return nil }
            let taken = Array($0.waiting.prefix(room))
            $0.waiting.removeFirst(taken.count)
            return taken
        }
    }

    /// Refuses all further questions; returns those nobody will answer any more.
    func finish(reason: String) -> [ResolverQuestion] {
        shared.withLock { shared in
            shared.endReason = reason
            let left = shared.waiting
            shared.waiting = []
            return left
        }
    }
}
