// The thread that owns the c-ares channels: poll(2) over their sockets and the eventfd.
//
// Two channels: one that only reads /etc/hosts (it answers at once), one that only asks DNS. The
// library marks neither source in its answers, and a DNS TTL of 0 must not be taken for "no TTL".

import CAres
import Glibc
import Reactor

/// Confined to the resolver's thread.
final class ResolverLoop {
    private let thread: ResolverThread
    private let settings: Resolver.Settings
    private let wakeFD: Int32
    private var hosts: ares_channel?
    private var dns: ares_channel?
    /// What c-ares wants to hear about, by descriptor. Kept by its callback.
    fileprivate var interest: [Int32: Int16] = [:]
    private var pending = 0
    private var resolvConfRead = FileStamp()
    /// The DNS channel is being replaced; what it was asking is collected in `interrupted`.
    private var isReopening = false
    private var interrupted: [ResolverQuestion] = []
    private var fds: [pollfd] = []

    init(_ thread: ResolverThread) {
        self.thread = thread
        self.settings = thread.settings
        self.wakeFD = thread.wakeFD
    }

    func run() {
        var reason = "resolver stopped"
        if let error = open() {
            reason = error
        } else {
            while let questions = thread.take(max(0, settings.concurrentMax - pending)) {
                if !questions.isEmpty, let error = refreshServers() {
                    for question in questions { question.completion(.failed(kind: .stopped, text: error)) }
                } else {
                    for question in questions { ask(question) }
                }
                // Answers from /etc/hosts may have made room already.
                wait(isMoreWanted: !questions.isEmpty && pending < settings.concurrentMax)
            }
        }
        // Pending questions are called back with ARES_EDESTRUCTION.
        if let dns { ares_destroy(dns) }
        if let hosts { ares_destroy(hosts) }
        for question in thread.finish(reason: reason) {
            question.completion(.failed(kind: .stopped, text: reason))
        }
    }

    // MARK: Channels

    private func open() -> String? {
        let status = ares_library_init(ARES_LIB_INIT_ALL)
        guard status == ARES_SUCCESS else { return "c-ares: \(Self.text(status))" }
        if settings.usesHostsFile {
            let status = openChannel(&hosts, lookups: "f")
            guard status == ARES_SUCCESS else { return "c-ares: \(Self.text(status))" }
        }
        return openDNS()
    }

    private func openDNS() -> String? {
        // Looked at before it is read: a change in between is then seen as one.
        let stamp = FileStamp(settings.resolvConf)
        let status = openChannel(&dns, lookups: "b")
        guard status == ARES_SUCCESS, let dns else { return "c-ares: \(Self.text(status))" }
        guard !settings.servers.isEmpty else {
            resolvConfRead = stamp
            return nil
        }
        let list = settings.servers.joined(separator: ",")
        let set = ares_set_servers_ports_csv(dns, list)
        return set == ARES_SUCCESS ? nil : "DNS servers \"\(list)\": \(Self.text(set))"
    }

    private func openChannel(_ channel: inout ares_channel?, lookups: String) -> Int32 {
        var options = ares_options()
        options.timeout = Int32(clamping: max(1, settings.timeoutMs))
        options.tries = Int32(clamping: max(1, settings.tries))
        options.udp_port = settings.port
        options.tcp_port = settings.port
        options.sock_state_cb_data = Unmanaged.passUnretained(self).toOpaque()
        options.sock_state_cb = { data, fd, readable, writable in
            guard let data else { return }
            let loop = Unmanaged<ResolverLoop>.fromOpaque(data).takeUnretainedValue()
            let events = (readable != 0 ? POLLIN : 0) | (writable != 0 ? POLLOUT : 0)
            loop.interest[fd] = events == 0 ? nil : Int16(events)
        }
        let mask =
            ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB
            | ARES_OPT_RESOLVCONF | ARES_OPT_UDP_PORT | ARES_OPT_TCP_PORT
        // The library copies both strings.
        options.lookups = strdup(lookups)
        options.resolvconf_path = strdup(settings.resolvConf)
        defer {
            free(options.lookups)
            free(options.resolvconf_path)
        }
        return ares_init_options(&channel, &options, mask)
    }

    /// Reads resolv.conf again when it changed: a laptop or container that moves networks must not
    /// need a restart. What was being asked of the old servers is asked of the new ones.
    private func refreshServers() -> String? {
        guard settings.servers.isEmpty, FileStamp(settings.resolvConf) != resolvConfRead else { return nil }
        isReopening = true
        if let dns { ares_destroy(dns) }
        isReopening = false
        dns = nil
        let again = interrupted
        interrupted = []
        let error = openDNS()
        for question in again {
            if let error {
                question.completion(.failed(kind: .stopped, text: error))
            } else {
                ask(question)
            }
        }
        return error
    }

    // MARK: Questions

    /// One question for one or two families, on its way through the library.
    private final class Attempt {
        let loop: ResolverLoop
        let question: ResolverQuestion
        var unanswered = 0
        var isFromHosts = false
        var addresses: [IPAddress] = []
        var ttlSeconds: Int?
        /// The statuses other than success, worst last to be reported.
        var failure: Int32?
        var isAnyFamilyUnknown = false

        init(_ loop: ResolverLoop, _ question: ResolverQuestion) {
            self.loop = loop
            self.question = question
        }
    }

    private func ask(_ question: ResolverQuestion) {
        // 253 visible characters (RFC 1035 §2.3.4) and a final dot. A zero byte would cut the name.
        let name = question.name.utf8
        guard !name.isEmpty, name.count <= 254, name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            question.completion(.failed(kind: .badName, text: "not a host name"))
            return
        }
        if let literal = IPAddress(question.name) {
            let isWanted = question.family == .any || (question.family == .ipv4) == literal.isV4
            question.completion(
                isWanted
                    ? .addresses([literal], ttlSeconds: Resolver.hostsTTLSeconds, isComplete: true)
                    : .failed(kind: .notFound, text: "an address of the other family"))
            return
        }
        pending += 1
        let attempt = Attempt(self, question)
        attempt.isFromHosts = hosts != nil
        send(attempt, hosts ?? dns)
    }

    private func send(_ attempt: Attempt, _ channel: ares_channel?) {
        let families: [Int32] =
            switch attempt.question.family {
            // A file is never half answered; asked once, as c-ares 1.18 loses a copy of "localhost"
            // whenever the file has it for the other family only.
            case .any: attempt.isFromHosts ? [AF_UNSPEC] : [AF_INET, AF_INET6]
            case .ipv4: [AF_INET]
            case .ipv6: [AF_INET6]
            }
        attempt.unanswered = families.count
        for family in families {
            var hints = ares_addrinfo_hints()
            hints.ai_family = family
            // Without a socket type each address would come three times.
            hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
            hints.ai_flags = ARES_AI_NOSORT
            ares_getaddrinfo(
                channel, attempt.question.name, nil, &hints,
                { argument, status, _, result in
                    guard let argument else { return }
                    let attempt = Unmanaged<Attempt>.fromOpaque(argument).takeRetainedValue()
                    attempt.loop.answered(attempt, status, result)
                    if let result { ares_freeaddrinfo(result) }
                }, Unmanaged.passRetained(attempt).toOpaque())
        }
    }

    private func answered(
        _ attempt: Attempt, _ status: Int32, _ result: UnsafeMutablePointer<ares_addrinfo>?
    ) {
        if status == ARES_SUCCESS, let result {
            collect(attempt, result.pointee)
        } else {
            if attempt.failure.map(Self.kind) ?? .notFound == .notFound { attempt.failure = status }
            if Self.kind(status) != .notFound { attempt.isAnyFamilyUnknown = true }
        }
        attempt.unanswered -= 1
        guard attempt.unanswered == 0 else { return }

        if attempt.isFromHosts, attempt.addresses.isEmpty, status != ARES_EDESTRUCTION {
            attempt.isFromHosts = false
            attempt.failure = nil
            attempt.isAnyFamilyUnknown = false
            send(attempt, dns)
            return
        }
        pending -= 1
        if isReopening {
            interrupted.append(attempt.question)
            return
        }
        guard attempt.addresses.isEmpty else {
            attempt.question.completion(
                .addresses(
                    attempt.addresses, ttlSeconds: attempt.ttlSeconds ?? Resolver.hostsTTLSeconds,
                    isComplete: attempt.isFromHosts || !attempt.isAnyFamilyUnknown))
            return
        }
        let failure = attempt.failure ?? ARES_ENODATA
        attempt.question.completion(.failed(kind: Self.kind(failure), text: Self.text(failure)))
    }

    private func collect(_ attempt: Attempt, _ result: ares_addrinfo) {
        var node = result.nodes
        while let current = node?.pointee {
            node = current.ai_next
            guard let raw = current.ai_addr, Int(current.ai_addrlen) <= MemoryLayout<sockaddr_storage>.size
            else { continue }
            var storage = sockaddr_storage()
            memcpy(&storage, raw, Int(current.ai_addrlen))
            guard case .ip(let address, _) = SocketAddress(storage) else { continue }
            if !attempt.addresses.contains(address) { attempt.addresses.append(address) }
            if !attempt.isFromHosts {
                attempt.ttlSeconds = min(attempt.ttlSeconds ?? .max, Int(current.ai_ttl))
            }
        }
        // An alias may change sooner than what it points to.
        var alias = result.cnames
        while let current = alias?.pointee {
            alias = current.next
            if !attempt.isFromHosts {
                attempt.ttlSeconds = min(attempt.ttlSeconds ?? .max, Int(current.ttl))
            }
        }
    }

    // MARK: Waiting

    private func wait(isMoreWanted: Bool) {
        fds.removeAll(keepingCapacity: true)
        fds.append(pollfd(fd: wakeFD, events: Int16(POLLIN), revents: 0))
        for (fd, events) in interest { fds.append(pollfd(fd: fd, events: events, revents: 0)) }
        var timeoutMs: Int32 = -1
        var tv = timeval()
        if let dns, ares_timeout(dns, nil, &tv) != nil {
            // Rounded up: a timeout one tick early would spin.
            timeoutMs = Int32(clamping: tv.tv_sec * 1000 + (Int(tv.tv_usec) + 999) / 1000)
        }
        if isMoreWanted { timeoutMs = 0 }
        let ready = poll(&fds, nfds_t(fds.count), timeoutMs)
        if ready > 0, fds[0].revents != 0 { thread.clearWake() }
        guard let dns else { return }
        for entry in fds.dropFirst() where ready > 0 && entry.revents != 0 {
            let isReadable = entry.revents & Int16(POLLIN | POLLERR | POLLHUP) != 0
            let isWritable = entry.revents & Int16(POLLOUT) != 0
            ares_process_fd(
                dns, isReadable ? entry.fd : ARES_SOCKET_BAD, isWritable ? entry.fd : ARES_SOCKET_BAD)
        }
        // Timeouts only.
        ares_process_fd(dns, ARES_SOCKET_BAD, ARES_SOCKET_BAD)
    }

    // MARK: Words

    private static func text(_ status: Int32) -> String {
        ares_strerror(status).map { String(cString: $0) } ?? "status \(status)"
    }

    private static func kind(_ status: Int32) -> ResolveFailureKind {
        switch status {
        case ARES_ENOTFOUND, ARES_ENODATA, ARES_ENONAME: .notFound
        case ARES_ETIMEOUT: .timeout
        case ARES_EBADNAME, ARES_EBADSTR: .badName
        case ARES_EBADRESP, ARES_EBADQUERY: .badAnswer
        case ARES_EDESTRUCTION, ARES_ECANCELLED: .stopped
        default: .serverFailure
        }
    }
}

/// Whether a file is still the one that was read.
private struct FileStamp: Equatable {
    var inode: UInt64 = 0
    var bytes: Int = 0
    var seconds: Int = 0
    var nanoseconds: Int = 0

    init() {}

    init(_ path: String) {
        var info = stat()
        guard stat(path, &info) == 0 else { return }
        inode = UInt64(info.st_ino)
        bytes = Int(info.st_size)
        seconds = info.st_mtim.tv_sec
        nanoseconds = info.st_mtim.tv_nsec
    }
}
