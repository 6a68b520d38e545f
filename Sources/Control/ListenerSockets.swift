// Opening listening sockets, of listeners and of the admin API, before what needs them takes effect.
//
// All of them or none: a configuration whose addresses cannot all be had does not take effect, and
// what was opened for it is closed again.

import Configuration
import Glibc
import Proxy
import Reactor

enum ListenerSockets {
    /// One address a configuration listens on.
    struct Wanted {
        /// The name the address's sockets are found by. What binds the same way has the same one, however
        /// it is written; TCP and UDP have ports of their own, and so has the admin API, which is not served
        /// by workers.
        var key: String
        var address: Address
        var isDatagram = false
        var isAdmin = false
        var access = UnixSocketAccess()
    }

    /// Everything a configuration listens on.
    static func wanted(_ configuration: Configuration) -> [Wanted] {
        var result: [Wanted] = []
        for listener in configuration.listeners {
            for address in listener.addresses {
                result.append(
                    Wanted(
                        key: key(address, of: listener), address: address,
                        isDatagram: listener.protocol == .udp, access: UnixSocketAccess(listener.socketAccess)
                    ))
            }
        }
        guard let admin = configuration.admin else { return result }
        for address in admin.addresses {
            result.append(
                Wanted(
                    key: adminKey(address), address: address, isAdmin: true,
                    access: UnixSocketAccess(admin.socketAccess)))
        }
        return result
    }

    static func key(_ address: Address, of listener: Listener) -> String {
        (listener.protocol == .udp ? "udp " : "") + name(address)
    }

    static func adminKey(_ address: Address) -> String { "admin " + name(address) }

    private static func name(_ address: Address) -> String {
        address.socketAddress?.description ?? address.text.value
    }

    /// Opens what the configuration listens on and does not have open yet. Nothing takes effect before
    /// `keep`: sockets that are not kept are closed.
    static func open(
        _ configuration: Configuration, workers: Int, _ source: any ConfigurationSource,
        _ objects: inout LongLivedObjects
    ) -> Result<[(key: String, sockets: ListeningSockets)], ConfigurationErrors> {
        var opened: [(key: String, sockets: ListeningSockets)] = []
        var errors: [ConfigurationError] = []
        for wanted in wanted(configuration) where objects.sockets(at: wanted.key) == nil {
            switch open(wanted, workers: workers, objects: &objects) {
            case .success(let sockets):
                opened.append((wanted.key, sockets))
            case .failure(let failure):
                let isTaken = failure.code == EADDRINUSE && wanted.isAdmin
                errors.append(
                    ConfigurationError(
                        "cannot listen on \(wanted.address.text.value)\(wanted.isAdmin ? " for the admin API" : "") (\(failure.why))",
                        at: wanted.address.text.origin, file: source.name,
                        expectation: isTaken ? source.adminHint : failure.hint))
            }
        }
        return errors.isEmpty ? .success(opened) : .failure(ConfigurationErrors(errors))
    }

    /// Makes what was opened part of what lives on, and gives sockets that were open before the rights
    /// that are wanted now. What cannot be done about those is a warning.
    static func keep(
        _ opened: [(key: String, sockets: ListeningSockets)], _ configuration: Configuration, file: String,
        _ objects: inout LongLivedObjects
    ) -> [ConfigurationError] {
        var warnings: [ConfigurationError] = []
        for wanted in wanted(configuration) where wanted.access != UnixSocketAccess() {
            guard let kept = objects.sockets(at: wanted.key)?.file, let why = kept.set(wanted.access) else {
                continue
            }
            var warning = ConfigurationError(
                "mode, owner or group of \(wanted.address.text.value) not changed (\(why))",
                at: wanted.address.text.origin, file: file)
            warning.severity = .warning
            warnings.append(warning)
        }
        for (key, sockets) in opened { objects.add(sockets, at: key) }
        return warnings
    }

    private struct Failure: Error {
        var why: String
        var code: Int32 = 0
        var hint: String?
    }

    private static func failure(_ error: SystemError) -> Failure {
        let hint: String? =
            switch error.code {
            case EADDRINUSE: "another process listens there; `ss -lntup` shows which"
            case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE (or root)"
            case EADDRNOTAVAIL: "this machine has no such address"
            default: nil
            }
        return Failure(why: "\(error)", code: error.code, hint: hint)
    }

    private static func failure(_ refusal: UnixSocketRefusal) -> Failure {
        switch refusal {
        case .notASocket:
            Failure(
                why: "\(refusal)",
                hint:
                    "Weir removes nothing but sockets nobody answers on: choose another path, or move it away"
            )
        case .inUse:
            Failure(
                why: "\(refusal)", code: EADDRINUSE,
                hint: "another process listens there; `ss -lxp` shows which")
        case .locked: Failure(why: "\(refusal)", hint: "another process may be starting there; try again")
        case .system(_, let code): Failure(why: "\(refusal)", code: code)
        }
    }

    private static func open(_ wanted: Wanted, workers: Int, objects: inout LongLivedObjects)
        -> Result<ListeningSockets, Failure>
    {
        guard let address = wanted.address.socketAddress else {
            return .failure(failure(SystemError(call: "interface", code: ENODEV)))
        }
        let id = objects.socketsID()
        if case .unix(let path) = address {
            switch Socket.listenUnix(path, access: wanted.access) {
            case .success(let made):
                return .success(
                    ListeningSockets(
                        id: id, address: address, descriptors: [made.socket.fd], file: made.file))
            case .failure(let refusal):
                return .failure(failure(refusal))
            }
        }
        let count = wanted.isAdmin ? 1 : workers
        var result = perWorker(address, wanted.isDatagram, count: count, id: id, objects)
        if case .failure(let error) = result, error.code == EAFNOSUPPORT,
            case .any(let port) = wanted.address.kind
        {
            // IPv6 with IPv4 mapped into it, or IPv4 alone where there is no IPv6.
            result = perWorker(
                .ip(IPAddress(v4: 0), port: port), wanted.isDatagram, count: count, id: id, objects)
        }
        return result.mapError { failure($0) }
    }

    private static func perWorker(
        _ address: SocketAddress, _ isDatagram: Bool, count: Int, id: Int, _ objects: LongLivedObjects
    ) -> Result<ListeningSockets, SystemError> {
        func bound(reusePort: Bool) -> Result<Socket, SystemError> {
            if isDatagram { return Socket.bindDatagram(on: address, dualStack: true, reusePort: reusePort) }
            return Socket.listen(
                on: address, dualStack: true, reusePort: reusePort, backlog: reusePort ? 4096 : 1)
        }
        // With SO_REUSEPORT another process of the same user could share the port unnoticed: a first
        // socket without it finds out whether the address is free. Sockets of our own in its way are a
        // narrower or wider address of an earlier configuration; ours are let in beside them.
        switch bound(reusePort: false) {
        case .failure(let error):
            guard error.code == EADDRINUSE, objects.overlaps(address, isDatagram: isDatagram) else {
                return .failure(error)
            }
        case .success(let probe): probe.close()
        }
        var descriptors: [Int32] = []
        for _ in 0..<count {
            switch bound(reusePort: true) {
            case .success(let socket):
                descriptors.append(socket.fd)
            case .failure(let error):
                for fd in descriptors { Socket(fd: fd).close() }
                return .failure(error)
            }
        }
        return .success(
            ListeningSockets(id: id, address: address, descriptors: descriptors, isDatagram: isDatagram))
    }
}

extension Address {
    /// Where to bind for this address; nil for names, and for zones of interfaces that are not there.
    public var socketAddress: SocketAddress? {
        switch kind {
        case .any(let port): .ip(IPAddress(high: 0, low: 0), port: port)
        case .ip(let host, let port): SocketAddress(host: host, port: port)
        case .unix(let path): .unix(path: path)
        case .name: nil
        }
    }
}

extension UnixSocketAccess {
    /// Names that are no longer known were refused when the file was read.
    init(_ access: SocketAccess) {
        self.init(
            mode: access.mode, owner: access.owner.flatMap { Accounts.user($0.value) },
            group: access.group.flatMap { Accounts.group($0.value) })
    }
}
