// Jobs of helper threads and requests of the HTTP client on the metrics page.

import HTTPClient
import Reactor
import Testing

@testable import Telemetry

@Suite("Metrics of helpers and the HTTP client") struct HelperExpositionTests {
    @Test func byPurpose() {
        var settings = HelperThreads.Settings(cores: 1)
        settings.queueMax = 0
        let helpers = HelperThreads(settings)
        let registry = MetricsRegistry(workers: 1, build: BuildInfo(version: "0"), helpers: helpers)
        func page() -> String { String(decoding: registry.snapshot().prometheusText(), as: UTF8.self) }
        #expect(
            !page().contains("weir_helper_jobs_refused_total{")
                && !page().contains("weir_http_client_requests_total{"))
        #expect(helpers.submit(.password, ticket: 1, work: {}, answer: { _, _ in }) == nil)
        #expect(page().contains("\nweir_helper_jobs_refused_total{purpose=\"password\"} 1\n"))
        #expect(page().contains("\nweir_helper_jobs_queued{purpose=\"password\"} 0\n"))
        let client = HTTPClient(metrics: registry.client, requestsMax: 0) { _, _ in }
        client.send(.init(.ocsp, .get, "http://a/", origin: .configuration)) { _ in }
        #expect(
            page().contains("\nweir_http_client_requests_total{purpose=\"ocsp\",outcome=\"overloaded\"} 1\n"))
    }
}
