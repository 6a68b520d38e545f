import WeirHTTPModel
import Reactor
import WeirResilience
import Testing

@testable import Telemetry

@Suite struct ExpositionTests {
    static func registry() -> (MetricsRegistry, [AnyObject]) {
        let registry = MetricsRegistry(workers: 2, build: BuildInfo(version: "0.1", commit: "abc"))
        let route = registry.route("api \"v1\"\\\n", service: "api")
        let quiet = registry.route("quiet", service: "web")
        let endpoint = registry.endpoint("[2001:db8::1]:80", service: "api")
        let listener = registry.listener("web")
        for us: UInt64 in [400, 500, 501, 70_000_000] {
            route.cell(worker: 1).requestEnded(
                status: 503, totalUs: us, firstByteUs: 0, bytesIn: 100, bytesOut: 200,
                reason: .nameUnresolved,
                attempts: 2)
        }
        endpoint.cell(worker: 0).connectionOpened(connectUs: 2_500)
        endpoint.cell(worker: 0).attemptStarted()
        endpoint.cell(worker: 0).overlooked([.duplicateLength, .teIdentity])
        endpoint.cell(worker: 1).overlooked(.teIdentity)
        listener.cell(worker: 0).accepted()
        listener.cell(worker: 0).connectionBegan()
        registry.workers.cell(worker: 1).turn(busyNs: 1_000_000_001)
        for worker in 0..<2 {
            registry.workers.cell(worker: worker).encoded(.br, bytesIn: 1000, bytesOut: 100)
            registry.workers.cell(worker: worker).decoded(.deflate, bytesIn: 10, bytesOut: 2000)
        }
        registry.control.reloaded()
        var plans = PlanCounts()
        plans.routes = .init(built: 10, reused: 0)
        registry.control.published(generation: 6, .start, buildUs: 3_000, plans: plans, atMs: 1)
        plans.routes = .init(built: 1, reused: 9)
        registry.control.published(generation: 7, .change, buildUs: 250, plans: plans, atMs: 2)
        return (registry, [route, quiet, endpoint, listener])
    }

    static func page() -> String {
        let (registry, objects) = registry()
        return withExtendedLifetime(objects) {
            String(decoding: registry.snapshot().prometheusText(), as: UTF8.self)
        }
    }

    @Test func namesLabelsAndEscaping() {
        let page = Self.page()
        let lines = Set(page.split(separator: "\n").map(String.init))
        let labels = #"route="api \"v1\"\\\n",service="api""#
        #expect(lines.contains(#"weir_build_info{version="0.1",commit="abc"} 1"#))
        #expect(lines.contains("weir_requests_total{\(labels),class=\"5xx\"} 4"))
        #expect(lines.contains(#"weir_requests_total{route="quiet",service="web",class="none"} 0"#))
        #expect(lines.contains("weir_failures_total{\(labels),reason=\"name-unresolved\"} 4"))
        #expect(lines.contains("weir_retries_total{\(labels)} 4"))
        #expect(lines.contains("weir_request_bytes_total{\(labels)} 400"))
        #expect(lines.contains(#"weir_worker_busy_seconds_total{worker="1"} 1.000000001"#))
        #expect(lines.contains(#"weir_listener_active_connections{listener="web"} 1"#))
        #expect(
            lines.contains(#"weir_endpoint_active_attempts{service="api",endpoint="[2001:db8::1]:80"} 1"#))
        #expect(
            lines.filter { $0.hasPrefix("weir_endpoint_quirks_total") }.sorted() == [
                #"weir_endpoint_quirks_total{service="api",endpoint="[2001:db8::1]:80",quirk="duplicate-length"} 1"#,
                #"weir_endpoint_quirks_total{service="api",endpoint="[2001:db8::1]:80",quirk="te-identity"} 2"#,
            ])
        #expect(lines.contains("weir_snapshot_generation 7"))
        #expect(lines.contains(#"weir_snapshots_published_total{cause="change"} 1"#))
        #expect(lines.contains(#"weir_snapshots_published_total{cause="reload"} 0"#))
        #expect(lines.contains("weir_snapshot_last_build_seconds 0.000250"))
        #expect(lines.contains("weir_snapshot_build_seconds_sum 0.003250"))
        #expect(lines.contains("weir_snapshot_build_seconds_count 2"))
        #expect(lines.contains(#"weir_plans_built_total{kind="route"} 11"#))
        #expect(lines.contains(#"weir_plans_reused_total{kind="route"} 9"#))
        #expect(lines.contains(#"weir_compression_in_bytes_total{coding="br"} 2000"#))
        #expect(lines.contains(#"weir_compression_out_bytes_total{coding="br"} 200"#))
        #expect(lines.contains(#"weir_decompression_in_bytes_total{coding="deflate"} 20"#))
        #expect(lines.contains(#"weir_decompression_out_bytes_total{coding="deflate"} 4000"#))
        // Codings nobody used have no series.
        #expect(page.components(of: "weir_compression_in_bytes_total{") == 1)
        // Reasons that did not occur have no series.
        #expect(page.components(of: "weir_failures_total{") == 1)
        // The quiet route has no histogram.
        #expect(!page.contains("weir_request_duration_seconds_count{route=\"quiet\""))
    }

    @Test func histogramIsCumulativeAndSumIsSeconds() {
        let lines = Set(Self.page().split(separator: "\n").map(String.init))
        let labels = #"route="api \"v1\"\\\n",service="api""#
        func bucket(_ le: String, _ count: Int) -> String {
            "weir_request_duration_seconds_bucket{\(labels),le=\"\(le)\"} \(count)"
        }
        #expect(lines.contains(bucket("0.0005", 2)))
        #expect(lines.contains(bucket("0.001", 3)))
        #expect(lines.contains(bucket("60", 3)))
        #expect(lines.contains(bucket("+Inf", 4)))
        #expect(lines.contains("weir_request_duration_seconds_sum{\(labels)} 70.001401"))
        #expect(lines.contains("weir_request_duration_seconds_count{\(labels)} 4"))
    }

    /// The rules of the text format: every series belongs to the family announced last, each family is
    /// announced once, no series appears twice, every value is a number.
    @Test func everyLineKeepsTheFormat() throws {
        var families: Set<String> = []
        var seen: Set<String> = []
        var family = ""
        var type = ""
        let page = Self.page()
        #expect(page.hasSuffix("\n"))
        for line in page.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
            if line.hasPrefix("# HELP ") {
                family = String(words[2])
                #expect(families.insert(family).inserted)
                #expect(!words[3].isEmpty)
            } else if line.hasPrefix("# TYPE ") {
                #expect(String(words[2]) == family)
                type = String(words[3])
                #expect(["counter", "gauge", "histogram"].contains(type))
                #expect(type == "counter" ? family.hasSuffix("_total") : !family.hasSuffix("_total"))
            } else {
                let space = try #require(line.lastIndex(of: " "))
                let series = String(line[..<space])
                #expect(Double(line[line.index(after: space)...]) != nil)
                #expect(seen.insert(series).inserted, "twice: \(series)")
                let name = String(series.prefix { $0 != "{" })
                let suffixes = type == "histogram" ? ["_bucket", "_sum", "_count"] : [""]
                #expect(suffixes.contains { name == family + $0 })
                #expect(series == name || series.hasSuffix("}"))
            }
        }
        #expect(families.count > 30)
    }

    @Test func theAgeOfASnapshotCountsFromItsPublishing() {
        let control = ControlMetrics()
        control.published(generation: 1, .start, buildUs: 1, plans: PlanCounts(), atMs: 5_000)
        #expect(control.values(nowMs: 7_500).ageMs == 2_500)
        control.published(generation: 2, .reload, buildUs: 1, plans: PlanCounts(), atMs: 7_600)
        #expect(control.values(nowMs: 7_600).ageMs == 0)
        // A reader's clock may be behind the publisher's.
        #expect(control.values(nowMs: 7_599).ageMs == 0)
    }

    @Test func emptyRegistryPrintsNoEmptyFamily() {
        let registry = MetricsRegistry(workers: 1, build: BuildInfo(version: "0"))
        let page = String(decoding: registry.snapshot().prometheusText(), as: UTF8.self)
        #expect(!page.contains("weir_requests_total"))
        #expect(!page.contains("weir_endpoint"))
        #expect(page.contains("process_open_fds"))
    }

    @Test func processValuesAreThoseOfThisProcess() {
        let values = ProcessValues.read()
        #expect(values.residentBytes > 1 << 20)
        #expect(values.virtualBytes >= values.residentBytes)
        #expect(values.openFDs >= 3)
        #expect(values.openFDs <= values.maxFDs)
        #expect(values.cpuSeconds > 0)
        #expect(values.startTimeSeconds > 1.6e9)
        #expect(values.startTimeSeconds <= Double(Clock.wallUs()) / 1e6)
    }
}

extension String {
    /// How often a text occurs.
    func components(of part: String) -> Int {
        var count = 0
        var rest = self[...]
        while let range = rest.firstRange(of: part) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
