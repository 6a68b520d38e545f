// What a publish builds anew when only an address of a name has changed.

import Configuration
import Reactor
import Telemetry
import Testing

@testable import Control

@Suite struct PublishTests {
    private static let serviceCount = 40
    private static let routeCount = 200

    private static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.listeners = [Listener(name: Text("web"))]
        configuration.services = (0..<serviceCount).map { number in
            var service = Service(name: Text("s\(number)"))
            let host = "app\(number).test"
            service.endpoints = [
                Endpoint(address: Address(kind: .name(host: host, port: 80), text: Text(host)))
            ]
            return service
        }
        configuration.routes = (0..<routeCount).map { number in
            var route = Route(name: Text("r\(number)"), action: .service(Text("s\(number % serviceCount)")))
            route.match.paths = [Text("/p\(number)/*")]
            return route
        }
        return configuration
    }

    @Test func oneAnswerBuildsOneServiceAnew() throws {
        let configuration = Self.configuration()
        let (compiled, errors) = CompiledRoutes.compile(configuration, file: "weir.yaml")
        try #require(errors.isEmpty)
        var objects = LongLivedObjects()
        var builder = SnapshotBuilder(
            configuration: configuration, compiled: compiled, certificates: CertificateSet(),
            metrics: MetricsRegistry(workers: 1, build: BuildInfo(version: "1")), workerCount: 1)
        var names: NameTable = [:]
        for number in 0..<Self.serviceCount {
            names["app\(number).test"] = [try #require(IPAddress("10.0.0.\(number + 1)"))]
        }
        let first = builder.build(generation: 1, names: names, &objects)
        names["app7.test"]?.append(try #require(IPAddress("10.0.1.1")))
        builder.previous = first
        let second = builder.build(generation: 2, names: names, &objects)

        let changed = zip(first.services, second.services).filter { $0 !== $1 }
        #expect(changed.map { "\($0.1?.name.description ?? "")" } == ["s7"])
        #expect(changed.first?.1?.endpoints.count == 2)
        #expect(changed.first?.1?.endpoints.first === changed.first?.0?.endpoints.first)
        #expect(zip(first.routes, second.routes).allSatisfy { $0 === $1 })
        #expect(second.routes.count == Self.routeCount)
        #expect(zip(first.listeners, second.listeners).allSatisfy { $0 === $1 })
    }
}
