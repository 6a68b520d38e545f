// DNS servers for the resolver's tests: dnsmasq as a child process, and a scripted one for what
// dnsmasq cannot be made to say.

import Glibc
import Reactor

/// A UDP socket on a port (0: a free one) of an IPv4 address, by default 127.0.0.1.
func boundUDPSocket(_ ip: UInt32 = 0x7f00_0001, port: UInt16 = 0) -> (fd: Int32, port: UInt16) {
    let fd = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = ip.bigEndian
    address.sin_port = port.bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            _ = bind(fd, $0, length)
            _ = getsockname(fd, $0, &length)
        }
    }
    return (fd, UInt16(bigEndian: address.sin_port))
}

private let portsTried = Locked<UInt16>(0)

/// A port of 127.0.0.1 with nobody on it, below those the kernel gives out by itself: while a server
/// is away (that is the test), no other socket must come to have its port.
func quietPort() -> UInt16 {
    while true {
        let step = portsTried.withLock {
            $0 += 1
            return $0
        }
        let port = 20_000 + UInt16((Int(getpid()) * 31 + Int(step)) % 12_000)
        let (fd, got) = boundUDPSocket(port: port)
        close(fd)
        if got == port { return port }
    }
}

/// A dnsmasq that knows nothing but the records given. Ends with `stop` (or the value).
final class Dnsmasq {
    private var pid: pid_t = 0

    /// Starts dnsmasq and returns once it answers; nil when it cannot be started.
    ///
    /// - Parameter records: "name,ip[,ip][,ttl]". Other names below `.test` are NXDOMAIN.
    init?(port: UInt16, records: [String]) {
        let arguments =
            [
                "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
                "--user=\(String(cString: getpwuid(getuid()).pointee.pw_name))", "--bind-interfaces",
                "--listen-address=127.0.0.1", "--port=\(port)", "--local=/test/", "--log-facility=-",
            ] + records.map { "--host-record=\($0)" }
        var pipe: [Int32] = [-1, -1]
        guard Glibc.pipe(&pipe) == 0 else { return nil }
        defer { close(pipe[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, pipe[1], 2)
        posix_spawn_file_actions_addclose(&actions, pipe[0])
        posix_spawn_file_actions_addclose(&actions, pipe[1])
        var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for argument in argv { free(argument) } }
        let error = posix_spawn(&pid, "/usr/sbin/dnsmasq", &actions, nil, &argv, environ)
        close(pipe[1])
        guard error == 0 else {
            pid = 0
            return nil
        }
        // It says "started" after its sockets are bound; its end closes the pipe.
        var said: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 4096)
        while !String(decoding: said, as: UTF8.self).contains("started, version") {
            let count = read(pipe[0], &room, room.count)
            guard count > 0 else {
                stop()
                return nil
            }
            said += room[..<count]
        }
    }

    func stop() {
        guard pid > 0 else { return }
        kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        pid = 0
    }

    deinit { stop() }
}

/// Answers each question as a script says, on a thread of its own.
final class ScriptedDNS: Sendable {
    enum Answer: Sendable {
        case silence
        /// Response code without records: 2 SERVFAIL, 3 NXDOMAIN, 5 REFUSED, 0 no data.
        case code(UInt8)
        /// Records: an alias TTL (nil: no alias), then addresses of 4 or 16 bytes with a TTL.
        case records(aliasTTL: UInt32?, addresses: [[UInt8]], ttl: UInt32)
        /// Something else than DNS.
        case raw([UInt8])
    }

    let port: UInt16
    private let fd: Int32
    private let script: @Sendable (_ name: String, _ type: UInt16) -> Answer
    private let asked = Locked<[String: Int]>([:])

    init(
        ip: UInt32 = 0x7f00_0001, port: UInt16 = 0,
        _ script: @escaping @Sendable (_ name: String, _ type: UInt16) -> Answer
    ) {
        (fd, self.port) = boundUDPSocket(ip, port: port)
        self.script = script
        // A server for the length of the test: it ends when stop() closes its socket.
        var thread = pthread_t()
        pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<ScriptedDNS>.fromOpaque(argument!).takeRetainedValue().serve()
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        pthread_detach(thread)
    }

    /// How often a name was asked for, all types together.
    func count(_ name: String) -> Int { asked.withLock { $0[name] ?? 0 } }

    func stop() { shutdown(fd, Int32(SHUT_RDWR)) }

    private func serve() {
        var room = [UInt8](repeating: 0, count: 1500)
        while true {
            var from = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutablePointer(to: &from) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(fd, &room, room.count, 0, $0, &length)
                }
            }
            guard count > 0 else { break }
            guard let reply = answer(Array(room[..<count])) else { continue }
            withUnsafePointer(to: &from) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    _ = sendto(fd, reply, reply.count, 0, $0, length)
                }
            }
        }
        close(fd)
    }

    private func answer(_ query: [UInt8]) -> [UInt8]? {
        var at = 12
        var labels: [String] = []
        while at < query.count, query[at] != 0 {
            labels.append(String(decoding: query[(at + 1)...(at + Int(query[at]))], as: UTF8.self))
            at += 1 + Int(query[at])
        }
        let type = UInt16(query[at + 1]) << 8 | UInt16(query[at + 2])
        let name = labels.joined(separator: ".")
        asked.withLock { $0[name, default: 0] += 1 }
        func head(_ code: UInt8, _ answers: UInt8) -> [UInt8] {
            [query[0], query[1], 0x85, 0x80 | code, 0, 1, 0, answers, 0, 0, 0, 0] + query[12..<(at + 5)]
        }
        func big(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
        switch script(name, type) {
        case .silence: return nil
        case .raw(let bytes): return [query[0], query[1]] + bytes
        case .code(let code): return head(code, 0)
        case .records(let aliasTTL, let addresses, let ttl):
            var body: [UInt8] = []
            var owner: [UInt8] = [0xc0, 12]
            if let aliasTTL {
                let target: [UInt8] = [1, UInt8(ascii: "x"), 0]
                body += owner + [0, 5, 0, 1] + big(aliasTTL) + [0, UInt8(target.count)] + target
                owner = target
            }
            for address in addresses {
                body +=
                    owner + [0, address.count == 4 ? 1 : 28, 0, 1] + big(ttl) + [0, UInt8(address.count)]
                    + address
            }
            return head(0, UInt8(addresses.count + (aliasTTL == nil ? 0 : 1))) + body
        }
    }
}
