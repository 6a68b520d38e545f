// Opening listening sockets, before a snapshot that needs them is published.
//
// All of them or none: a configuration whose addresses cannot all be had does not take effect, and
// what was opened for it is closed again.

import Configuration
import Glibc
import Proxy
import Reactor

enum ListenerSockets {
    /// Opens what the configuration listens on and does not have open yet.
    static func open(
        _ configuration: Configuration, workers: Int, file: String, _ objects: inout LongLivedObjects
    ) -> [ConfigurationError] {
        var opened: [(String, ListeningSockets)] = []
        var errors: [ConfigurationError] = []
        for listener in configuration.listeners {
            for address in listener.addresses where objects.sockets(at: key(address, of: listener)) == nil {
                let isDatagram = listener.protocol == .udp
                switch open(address, isDatagram: isDatagram, workers: workers, id: objects.socketsID()) {
                case .success(let sockets):
                    opened.append((key(address, of: listener), sockets))
                case .failure(let error):
                    errors.append(
                        ConfigurationError(
                            "cannot listen on \(address.text.value) (\(error))", at: address.text.origin,
                            file: file,
                            expectation: hint(error.code)))
                }
            }
        }
        if errors.isEmpty {
            for (address, sockets) in opened { objects.add(sockets, at: address) }
        }
        return errors
    }

    /// The name an address's sockets are found by: TCP and UDP have ports of their own.
    static func key(_ address: Address, of listener: Listener) -> String {
        listener.protocol == .udp ? "udp " + address.text.value : address.text.value
    }

    private static func hint(_ code: Int32) -> String? {
        switch code {
        case EADDRINUSE: "another process listens there; `ss -lntup` shows which"
        case EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE (or root)"
        case EADDRNOTAVAIL: "this machine has no such address"
        default: nil
        }
    }

    private static func open(_ address: Address, isDatagram: Bool, workers: Int, id: Int) -> Result<
        ListeningSockets, SystemError
    > {
        switch address.kind {
        case .any(let port):
            // IPv6 with IPv4 mapped into it, or IPv4 alone where there is no IPv6.
            let both = SocketAddress.ip(IPAddress(high: 0, low: 0), port: port)
            let result = perWorker(both, isDatagram, workers: workers, id: id)
            if case .failure(let error) = result, error.code == EAFNOSUPPORT {
                return perWorker(.ip(IPAddress(v4: 0), port: port), isDatagram, workers: workers, id: id)
            }
            return result
        case .ip(let host, let port):
            guard let ip = IPAddress(host) else {
                return .failure(SystemError(call: "address", code: EINVAL))
            }
            return perWorker(.ip(ip, port: port), isDatagram, workers: workers, id: id)
        case .unix(let path):
            return unix(path, id: id)
        case .name:
            return .failure(SystemError(call: "address", code: EINVAL))
        }
    }

    private static func perWorker(
        _ address: SocketAddress, _ isDatagram: Bool, workers: Int, id: Int
    ) -> Result<ListeningSockets, SystemError> {
        func bound(reusePort: Bool) -> Result<Socket, SystemError> {
            if isDatagram { return Socket.bindDatagram(on: address, dualStack: true, reusePort: reusePort) }
            return Socket.listen(
                on: address, dualStack: true, reusePort: reusePort, backlog: reusePort ? 4096 : 1)
        }
        // With SO_REUSEPORT another process of the same user could share the port unnoticed: a first
        // socket without it finds out whether the address is free.
        switch bound(reusePort: false) {
        case .failure(let error): return .failure(error)
        case .success(let probe): probe.close()
        }
        var descriptors: [Int32] = []
        for _ in 0..<workers {
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

    /// A socket file left by a process that is gone is replaced; one that somebody answers on is not.
    private static func unix(_ path: String, id: Int) -> Result<ListeningSockets, SystemError> {
        let address = SocketAddress.unix(path: path)
        let (probe, error) = Socket.connect(to: address)
        if probe.fd >= 0 {
            probe.close()
            return .failure(SystemError(call: "bind", code: EADDRINUSE))
        }
        if error == ECONNREFUSED { unlink(path) }
        switch Socket.listen(on: address, dualStack: false) {
        case .success(let socket):
            return .success(ListeningSockets(id: id, address: address, descriptors: [socket.fd]))
        case .failure(let error):
            return .failure(error)
        }
    }
}

extension Address {
    /// Where to bind for this address; nil for names.
    public var socketAddress: SocketAddress? {
        switch kind {
        case .any(let port): .ip(IPAddress(high: 0, low: 0), port: port)
        case .ip(let host, let port): IPAddress(host).map { .ip($0, port: port) }
        case .unix(let path): .unix(path: path)
        case .name: nil
        }
    }
}
