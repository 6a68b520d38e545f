// What the control plane does for a simulated worker: from the text of a configuration to snapshots, reload and drain.

import Configuration
import Glibc
import Reactor
import Telemetry

@testable import Control
@testable import Proxy
@testable import Telemetry

/// A checked configuration, shared by the runs of a test.
struct PlaneConfiguration: Sendable {
    private struct Source: ConfigurationSource {
        let name = "simulated.yaml"
        let bytes: [UInt8]
        func text() -> Result<[UInt8], ConfigurationErrors> { .success(bytes) }
    }

    /// What the names of sockets begin with: nobody else's, in the abstract namespace.
    let prefix: String
    fileprivate let loaded: LoadedConfiguration
    fileprivate let source: any ConfigurationSource

    /// - Parameter text: `@` before a name stands for an abstract socket of this test's own.
    init(_ test: String, _ text: String) throws {
        prefix = "@weir-sim-\(getpid())-\(test)-"
        source = Source(
            bytes: Array(
                text.split(separator: "@", omittingEmptySubsequences: false).joined(separator: prefix).utf8))
        loaded = try source.load().get()
    }

    func path(_ name: String) -> String { prefix + name }
}

final class Plane {
    let metrics = MetricsRegistry(workers: 1, build: BuildInfo(version: "simulated"))
    let log: Telemetry.AccessLog
    /// The newest; there is one from the beginning on.
    private(set) var snapshot: Snapshot!
    private(set) var drainMs = 0
    /// Of all snapshots.
    private(set) var everyEndpoint: [Proxy.Endpoint] = []
    private var records: [Record] = []
    private var objects = LongLivedObjects()
    private var everySockets: [ListeningSockets] = []

    private let further: @Sendable (Route) -> [Policy]

    /// - Parameter further: policies that stand before those of the product.
    init(_ configuration: PlaneConfiguration, further: @escaping @Sendable (Route) -> [Policy] = { _ in [] })
    {
        self.further = further
        log = Telemetry.AccessLog(keeping: .json, metrics: metrics.accessLog)
        snapshot = build(configuration)
    }

    private func build(_ configuration: PlaneConfiguration) -> Snapshot {
        let wanted = configuration.loaded.configuration
        switch ListenerSockets.open(wanted, workers: 1, configuration.source, &objects) {
        case .failure(let errors): preconditionFailure("\(errors)")
        case .success(let opened):
            _ = ListenerSockets.keep(opened, wanted, file: configuration.source.name, &objects)
            everySockets += opened.map(\.sockets)
        }
        drainMs = Int(wanted.drainMs)
        var builder = SnapshotBuilder(
            configuration: wanted, compiled: configuration.loaded.compiled,
            certificates: configuration.loaded.certificates, metrics: metrics, workerCount: 1
        )
        builder.further = further
        let new = builder.build(generation: (snapshot?.generation ?? 0) + 1, names: [:], &objects)
        for endpoint in new.services.flatMap({ $0?.endpoints ?? [] })
        where !everyEndpoint.contains(where: { $0 === endpoint }) {
            everyEndpoint.append(endpoint)
        }
        return new
    }

    /// As `ControlPlane.reload` does.
    func reload(_ configuration: PlaneConfiguration, _ worker: Worker) {
        snapshot = build(configuration)
        worker.mailbox.send(.publish(snapshot))
    }

    /// As `ControlPlane.drain` does; who is to cut what lasts longer than `drainMs` sends `.stop`.
    func drain(_ worker: Worker) {
        for listener in snapshot.listeners { for sockets in listener?.sockets ?? [] { sockets.beginEnd() } }
        worker.mailbox.send(.drain)
    }

    func takeRecords() -> [Record] {
        records += Record.all(in: log.takeKept())
        return records
    }

    func close() { for sockets in everySockets { sockets.end(worker: 0) } }
}
