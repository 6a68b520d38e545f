import Glibc
import WeirResilience
import Testing

@testable import Telemetry

@Suite struct MetricsTests {
    @Test func routeCountsByClassReasonAndAttempt() {
        let metrics = RouteMetrics(route: "api", service: "api", workers: 2)
        metrics.cell(worker: 0).requestEnded(
            status: 200, totalUs: 700, firstByteUs: 600, bytesIn: 10, bytesOut: 20, reason: .none, attempts: 1
        )
        metrics.cell(worker: 1).requestEnded(
            status: 502, totalUs: 61_000_000, firstByteUs: 0, bytesIn: 1, bytesOut: 2,
            reason: .connectRefused, attempts: 3)
        metrics.cell(worker: 1).requestEnded(
            status: 0, totalUs: 1, firstByteUs: 0, bytesIn: 0, bytesOut: 0,
            reason: .clientClosedDuringRequest, attempts: 0)
        let values = metrics.values()
        #expect(values.requestsByClass == [1, 0, 1, 0, 0, 1])
        #expect(values.bytesIn == 11)
        #expect(values.bytesOut == 22)
        #expect(values.duration.count == 3)
        #expect(values.duration.sumUs == 61_000_701)
        #expect(values.duration.buckets[0] == 1)
        #expect(values.duration.buckets[1] == 1)
        #expect(values.duration.buckets[16] == 1)
        #expect(values.timeToFirstByte.count == 1)
        #expect(values.retries == 2)
        #expect(
            values.failures == [
                FailureCount(reason: .clientClosedDuringRequest, count: 1),
                FailureCount(reason: .connectRefused, count: 1),
            ])
    }

    @Test func everyReasonHasItsOwnWordInsideTheCell() {
        let metrics = RouteMetrics(route: "r", service: "s", workers: 2)
        for (i, reason) in Reason.allCases.enumerated() where reason != .none {
            for _ in 0...i {
                metrics.cell(worker: 0).requestEnded(
                    status: 0, totalUs: 1, firstByteUs: 0, bytesIn: 0, bytesOut: 0, reason: reason,
                    attempts: 0)
            }
        }
        for (i, reason) in Reason.allCases.enumerated() where reason != .none {
            #expect(metrics.values().failures.first { $0.reason == reason }?.count == UInt64(i + 1))
        }
        // Raw values are dense, so the last reason is inside the cell and not in the next worker's.
        #expect(Reason.allCases.map { Int($0.rawValue) } == Array(0..<Reason.allCases.count))
    }

    @Test(arguments: [
        (UInt16(0), 0), (99, 0), (100, 1), (199, 1), (200, 2), (301, 3), (499, 4), (500, 5), (599, 5),
        (999, 5),
    ])
    func statusClass(status: UInt16, index: Int) {
        #expect(StatusClass.index(status: status) == index)
    }

    @Test func gaugesOfSeveralWorkersAddUpAlsoWhenOneIsNegative() {
        let metrics = EndpointMetrics(service: "s", endpoint: "e", workers: 2)
        metrics.cell(worker: 0).idleAdded()
        metrics.cell(worker: 0).idleAdded()
        metrics.cell(worker: 1).idleTaken(reused: true)
        metrics.cell(worker: 0).attemptStarted()
        metrics.cell(worker: 0).attemptEnded(reason: .upstreamReset, bytesSent: 5, bytesReceived: 6)
        metrics.cell(worker: 1).attemptStarted()
        let values = metrics.values()
        #expect(values.idle == 1)
        #expect(values.active == 1)
        #expect(values.attempts == 2)
        #expect(values.connectionsReused == 1)
        #expect(values.failures == [FailureCount(reason: .upstreamReset, count: 1)])
        #expect(metrics.cell(worker: 0).active == 0)
    }

    @Test func cellsOfWorkersShareNoCacheLine() {
        let table = ListenerMetrics(listener: "web", workers: 3).cells
        let addresses = (0..<3).map { Int(bitPattern: table[$0].words) }
        for address in addresses { #expect(address % 64 == 0) }
        #expect(addresses[1] - addresses[0] >= ListenerCell.wordCount * 8)
    }

    @Test func registryFindsTheSameObjectAgainAndForgetsOnlyTheUnused() {
        let registry = MetricsRegistry(workers: 1, build: BuildInfo(version: "1"))
        let kept = registry.route("a", service: "s")
        kept.cell(worker: 0).requestEnded(
            status: 200, totalUs: 1, firstByteUs: 0, bytesIn: 0, bytesOut: 0, reason: .none, attempts: 1)
        _ = registry.route("b", service: "s")
        _ = registry.route("a", service: "t")
        _ = registry.endpoint("e", service: "s")
        _ = registry.listener("l")
        #expect(registry.route("a", service: "s") === kept)
        #expect(registry.snapshot().routes.count == 3)
        #expect(registry.dropUnused() == 4)
        let after = registry.snapshot()
        #expect(after.routes.map(\.route) == ["a"])
        #expect(after.routes.first?.requestsByClass[2] == 1)
        #expect(after.endpoints.isEmpty && after.listeners.isEmpty)
        #expect(registry.dropUnused() == 0)
        #expect(registry.route("a", service: "s") === kept)
    }

    @Test func nameBytesAreTheNames() {
        let route = RouteMetrics(route: "über", service: "", workers: 1)
        #expect(String(decoding: route.routeBytes, as: UTF8.self) == "über")
        #expect(route.serviceBytes.isEmpty)
    }

    /// Run under --sanitize=thread: one writer per cell, a reader that never sees a count fall.
    @Test func readersNeverSeeACountFall() {
        let registry = MetricsRegistry(workers: 2, build: BuildInfo(version: "1"))
        let metrics = registry.route("a", service: "s")
        let rounds = 20_000
        final class Job: Sendable {
            let cells: CellTable<RouteCell>
            let worker: Int
            let rounds: Int
            init(_ cells: CellTable<RouteCell>, _ worker: Int, _ rounds: Int) {
                (self.cells, self.worker, self.rounds) = (cells, worker, rounds)
            }
        }
        var threads: [pthread_t] = []
        for worker in 0..<2 {
            var thread = pthread_t()
            let job = Unmanaged.passRetained(Job(metrics.cells, worker, rounds)).toOpaque()
            let status = pthread_create(
                &thread, nil,
                { context in
                    guard let context else { return nil }
                    let job = Unmanaged<Job>.fromOpaque(context).takeRetainedValue()
                    for i in 0..<job.rounds {
                        job.cells[job.worker].requestEnded(
                            status: 200, totalUs: UInt64(i), firstByteUs: 1, bytesIn: 1, bytesOut: 2,
                            reason: i % 2 == 0 ? .connectRefused : .none, attempts: 2)
                    }
                    return nil
                }, job)
            #expect(status == 0)
            threads.append(thread)
        }
        var last: UInt64 = 0
        for _ in 0..<200 {
            let now = metrics.values()
            #expect(now.requestsByClass[2] >= last)
            last = now.requestsByClass[2]
        }
        for thread in threads { pthread_join(thread, nil) }
        let end = metrics.values()
        #expect(end.requestsByClass[2] == UInt64(2 * rounds))
        #expect(end.bytesOut == UInt64(4 * rounds))
        #expect(end.duration.count == UInt64(2 * rounds))
        #expect(end.retries == UInt64(2 * rounds))
        #expect(end.failures == [FailureCount(reason: .connectRefused, count: UInt64(rounds))])
    }
}
