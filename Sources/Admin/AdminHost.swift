// The admin servers of a process: one per address, kept over reloads as long as the address is.

import Control
import Reactor
import Telemetry

public final class AdminHost: Sendable {
    private let source: any AdminSource
    private let log: Log
    /// By the id of their sockets.
    private let servers = Locked<[Int: AdminServer]>([:])

    public init(source: any AdminSource, log: Log) {
        self.source = source
        self.log = log
    }

    /// Serves where the plan says, and nowhere else. A server that is to go may have been asked for the very
    /// reload that does away with it: it stays until that is answered.
    public func follow(_ plan: AdminPlan) {
        let gone = servers.withLock { servers in
            var gone = servers
            for sockets in plan.sockets {
                gone[sockets.id] = nil
                if let server = servers[sockets.id] {
                    server.accept(hosts: plan.hosts)
                } else {
                    let server = AdminServer(sockets, source: source, log: log, allowedHosts: plan.hosts)
                    server.start()
                    servers[sockets.id] = server
                }
            }
            for id in gone.keys { servers[id] = nil }
            return gone
        }
        for server in gone.values { server.leave() }
    }

    /// Ends all servers now.
    public func stop() {
        let all = servers.withLock { servers in
            defer { servers = [:] }
            return servers
        }
        for server in all.values { server.stop() }
    }
}
