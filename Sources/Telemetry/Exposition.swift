// Prometheus text exposition format 0.0.4.
//
// One family after another: # HELP, # TYPE, then its series. Label values are escaped (backslash,
// quote, line feed). Families without a series are left out, and so are the failure series of reasons
// that never occurred and the histograms of routes nobody asked for: with 1,000 routes they would be
// most of the page. docs/metrics lists every name.

import HTTPClient
import WeirHTTPModel
import Reactor

extension MetricsSnapshot {
    /// The value for the Content-Type field of the text.
    public static let contentType: StaticString = "text/plain; version=0.0.4; charset=utf-8"

    /// The page for `/metrics`.
    public func prometheusText() -> [UInt8] {
        var page = ExpositionPage()
        page.family("weir_build_info", "gauge", "Always 1; the version is in the labels.") {
            $0.series([("version", build.version), ("commit", build.commit)], 1)
        }
        writeRoutes(&page)
        writeEndpoints(&page)
        writeListeners(&page)
        writeWorkers(&page)
        writeCoding(&page)
        writeControl(&page)
        writeCertificates(&page)
        writeClient(&page)
        writeHelpers(&page)
        writeProcess(&page)
        return page.bytes
    }

    private func writeCertificates(_ page: inout ExpositionPage) {
        func labels(_ values: CertificateValues) -> ExpositionPage.Labels {
            [("listener", values.listener), ("certificate", values.certificate)]
        }
        page.family(
            "weir_certificate_not_after_seconds", "gauge",
            "When a certificate expires, seconds since 1970."
        ) {
            for certificate in certificates { $0.series(labels(certificate), certificate.notAfter) }
        }
        page.family(
            "weir_certificate_staple_not_after_seconds", "gauge",
            "When the OCSP response stapled to a certificate expires, seconds since 1970; 0: none is stapled."
        ) {
            for certificate in certificates {
                if let staple = certificate.staple { $0.series(labels(certificate), staple.notAfter) }
            }
        }
        page.family(
            "weir_certificate_revoked", "gauge",
            "1 when the OCSP response stapled to a certificate says that it is revoked."
        ) {
            for certificate in certificates {
                if let staple = certificate.staple {
                    $0.series(labels(certificate), staple.isRevoked ? 1 : 0)
                }
            }
        }
        page.family(
            "weir_ocsp_requests_total", "counter", "Questions to OCSP responders, by what came of them."
        ) {
            if certificates.contains(where: { $0.staple != nil }) {
                $0.series([("outcome", "taken")], responders.taken)
                $0.series([("outcome", "failed")], responders.failed)
            }
        }
    }

    private func writeClient(_ page: inout ExpositionPage) {
        page.family(
            "weir_http_client_requests_total", "counter",
            "Requests of Weir's own HTTP client, by purpose and outcome."
        ) {
            for values in client {
                for outcome in HTTPClient.Outcome.allCases where values.ended[outcome.rawValue] > 0 {
                    $0.series(
                        [("purpose", values.purpose.name), ("outcome", outcome.name)],
                        values.ended[outcome.rawValue])
                }
            }
        }
        page.family("weir_http_client_request_seconds_total", "counter", "Time these requests took.") {
            for values in client {
                $0.series([("purpose", values.purpose.name)], seconds: values.ns, per: 1_000_000_000)
            }
        }
    }

    private func writeHelpers(_ page: inout ExpositionPage) {
        func each(
            _ name: StaticString, _ type: StaticString, _ help: StaticString,
            _ value: (HelperValues) -> UInt64
        ) {
            page.family(name, type, help) {
                for values in helpers { $0.series([("purpose", values.purpose.name)], value(values)) }
            }
        }
        each("weir_helper_jobs_queued", "gauge", "Jobs that wait for a helper thread.") { UInt64($0.queued) }
        each("weir_helper_jobs_running", "gauge", "Jobs that helper threads are at.") { UInt64($0.running) }
        each("weir_helper_jobs_total", "counter", "Jobs done by helper threads.") { $0.done }
        each("weir_helper_jobs_refused_total", "counter", "Jobs refused because the queue was full.") {
            $0.refused
        }
        each("weir_helper_jobs_cancelled_total", "counter", "Jobs taken back before they began.") {
            $0.cancelled
        }
        page.family("weir_helper_wait_seconds_total", "counter", "Time jobs waited for a helper thread.") {
            for values in helpers {
                $0.series([("purpose", values.purpose.name)], seconds: values.waitNs, per: 1_000_000_000)
            }
        }
        page.family("weir_helper_run_seconds_total", "counter", "Time helper threads worked.") {
            for values in helpers {
                $0.series([("purpose", values.purpose.name)], seconds: values.runNs, per: 1_000_000_000)
            }
        }
    }

    private func writeRoutes(_ page: inout ExpositionPage) {
        func labels(_ values: RouteValues) -> ExpositionPage.Labels {
            [("route", values.route), ("service", values.service)]
        }
        page.family("weir_requests_total", "counter", "Requests ended, by status class sent.") {
            for route in routes {
                for (i, count) in route.requestsByClass.enumerated() {
                    $0.series(labels(route) + [("class", StatusClass.names[i])], count)
                }
            }
        }
        page.family("weir_request_bytes_total", "counter", "Bytes received from clients.") {
            for route in routes { $0.series(labels(route), route.bytesIn) }
        }
        page.family("weir_response_bytes_total", "counter", "Bytes sent to clients.") {
            for route in routes { $0.series(labels(route), route.bytesOut) }
        }
        page.family(
            "weir_request_duration_seconds", "histogram",
            "From the first byte of a request to the last byte of its response."
        ) {
            for route in routes { $0.histogram(labels(route), route.duration) }
        }
        page.family(
            "weir_time_to_first_byte_seconds", "histogram",
            "From the first byte of a request to the endpoint's response head."
        ) {
            for route in routes { $0.histogram(labels(route), route.timeToFirstByte) }
        }
        page.family("weir_failures_total", "counter", "Requests that failed, by reason.") {
            for route in routes {
                for failure in route.failures {
                    $0.series(labels(route) + [("reason", failure.reason.name.description)], failure.count)
                }
            }
        }
        page.family("weir_retries_total", "counter", "Attempts beyond the first.") {
            for route in routes { $0.series(labels(route), route.retries) }
        }
        page.family("weir_websockets_total", "counter", "WebSockets opened.") {
            for route in routes where route.webSockets > 0 { $0.series(labels(route), route.webSockets) }
        }
        page.family("weir_websockets_open", "gauge", "WebSockets open now.") {
            for route in routes where route.webSockets > 0 { $0.series(labels(route), route.webSocketsOpen) }
        }
    }

    private func writeEndpoints(_ page: inout ExpositionPage) {
        func labels(_ values: EndpointValues) -> ExpositionPage.Labels {
            [("service", values.service), ("endpoint", values.endpoint)]
        }
        func counter(_ name: StaticString, _ help: StaticString, _ value: (EndpointValues) -> UInt64) {
            page.family(name, "counter", help) {
                for endpoint in endpoints { $0.series(labels(endpoint), value(endpoint)) }
            }
        }
        func gauge(_ name: StaticString, _ help: StaticString, _ value: (EndpointValues) -> Int64) {
            page.family(name, "gauge", help) {
                for endpoint in endpoints { $0.series(labels(endpoint), value(endpoint)) }
            }
        }
        counter("weir_endpoint_attempts_total", "Attempts begun.") { $0.attempts }
        page.family("weir_endpoint_failures_total", "counter", "Attempts that failed, by reason.") {
            for endpoint in endpoints {
                for failure in endpoint.failures {
                    $0.series(labels(endpoint) + [("reason", failure.reason.name.description)], failure.count)
                }
            }
        }
        page.family(
            "weir_endpoint_quirks_total", "counter", "Responses read leniently, by what was overlooked."
        ) {
            for endpoint in endpoints {
                for quirk in Quirk.allCases where endpoint.quirks[Int(quirk.rawValue)] > 0 {
                    $0.series(
                        labels(endpoint) + [("quirk", quirk.name.description)],
                        endpoint.quirks[Int(quirk.rawValue)])
                }
            }
        }
        gauge("weir_endpoint_active_attempts", "Attempts in flight.") { $0.active }
        gauge("weir_endpoint_idle_connections", "Pooled connections without a request.") { $0.idle }
        counter("weir_endpoint_connections_opened_total", "Connections established.") { $0.connectionsOpened }
        counter("weir_endpoint_connections_closed_total", "Connections closed.") { $0.connectionsClosed }
        counter("weir_endpoint_connections_reused_total", "Attempts over a pooled connection.") {
            $0.connectionsReused
        }
        counter("weir_endpoint_sent_bytes_total", "Bytes sent to the endpoint.") { $0.bytesSent }
        counter("weir_endpoint_received_bytes_total", "Bytes received from the endpoint.") {
            $0.bytesReceived
        }
        page.family("weir_endpoint_connect_seconds", "histogram", "Time to establish a connection.") {
            for endpoint in endpoints { $0.histogram(labels(endpoint), endpoint.connect) }
        }
    }

    private func writeListeners(_ page: inout ExpositionPage) {
        func counter(_ name: StaticString, _ help: StaticString, _ value: (ListenerValues) -> UInt64) {
            page.family(name, "counter", help) {
                for listener in listeners { $0.series([("listener", listener.listener)], value(listener)) }
            }
        }
        counter("weir_listener_accepted_total", "Connections accepted, UDP sessions begun.") { $0.accepted }
        counter("weir_listener_handed_off_total", "Connections given to another worker.") { $0.handedOff }
        counter("weir_listener_rejected_total", "Connections closed at once because of a limit.") {
            $0.rejected
        }
        counter("weir_listener_accept_pauses_total", "Pauses for want of file descriptors.") {
            $0.acceptPauses
        }
        page.family("weir_listener_active_connections", "gauge", "Client connections and UDP sessions open.")
        {
            for listener in listeners { $0.series([("listener", listener.listener)], listener.active) }
        }
        counter("weir_listener_requests_total", "Requests begun.") { $0.requests }
        counter("weir_listener_streams_total", "L4 connections and UDP sessions ended.") { $0.streams }
        counter("weir_listener_stream_received_bytes_total", "L4 bytes received from clients.") {
            $0.streamBytesIn
        }
        counter("weir_listener_stream_sent_bytes_total", "L4 bytes sent to clients.") { $0.streamBytesOut }
        counter("weir_listener_datagrams_received_total", "UDP datagrams from clients to endpoints.") {
            $0.datagramsIn
        }
        counter("weir_listener_datagrams_sent_total", "UDP datagrams from endpoints to clients.") {
            $0.datagramsOut
        }
        page.family(
            "weir_listener_datagrams_dropped_total", "counter", "UDP datagrams that went nowhere, by reason."
        ) {
            for listener in listeners {
                for drop in listener.drops {
                    $0.series(
                        [("listener", listener.listener), ("reason", drop.reason.name.description)],
                        drop.count)
                }
            }
        }
    }

    private func writeCoding(_ page: inout ExpositionPage) {
        func counter(
            _ name: StaticString, _ help: StaticString, isDecoding: Bool, _ value: (CodingValues) -> UInt64
        ) {
            page.family(name, "counter", help) {
                for values in coding where values.isDecoding == isDecoding {
                    $0.series([("coding", values.coding)], value(values))
                }
            }
        }
        counter(
            "weir_compression_in_bytes_total", "Bytes of responses before they were compressed.",
            isDecoding: false
        ) { $0.bytesIn }
        counter(
            "weir_compression_out_bytes_total", "Bytes of responses after they were compressed.",
            isDecoding: false
        ) { $0.bytesOut }
        counter(
            "weir_decompression_in_bytes_total", "Bytes of request bodies before they were decoded.",
            isDecoding: true
        ) { $0.bytesIn }
        counter(
            "weir_decompression_out_bytes_total", "Bytes of request bodies after they were decoded.",
            isDecoding: true
        ) { $0.bytesOut }
    }

    private func writeWorkers(_ page: inout ExpositionPage) {
        func each(
            _ name: StaticString, _ type: StaticString, _ help: StaticString,
            _ value: (WorkerValues) -> UInt64
        ) {
            page.family(name, type, help) {
                for worker in workers { $0.series([("worker", String(worker.worker))], value(worker)) }
            }
        }
        each("weir_worker_loop_turns_total", "counter", "Turns of the event loop.") { $0.loopTurns }
        page.family("weir_worker_busy_seconds_total", "counter", "Time not spent waiting for events.") {
            for worker in workers {
                $0.series([("worker", String(worker.worker))], seconds: worker.busyNs, per: 1_000_000_000)
            }
        }
        each("weir_worker_buffers_in_use", "gauge", "Buffers taken from the worker's pool.") {
            $0.buffersInUse
        }
        each("weir_worker_timers", "gauge", "Timers armed.") { $0.timers }
        each(
            "weir_worker_late_answers_total", "counter",
            "What was brought to requests that had ended, or had given it up."
        ) { $0.lateAnswers }
        each("weir_worker_snapshot_generation", "gauge", "Configuration given to new requests.") {
            $0.snapshotGeneration
        }
    }

    private func writeControl(_ page: inout ExpositionPage) {
        page.family("weir_reloads_total", "counter", "Configuration reloads, by result.") {
            $0.series([("result", "ok")], control.reloads)
            $0.series([("result", "failed")], control.reloadFailures)
        }
        page.family("weir_snapshot_generation", "gauge", "The newest snapshot.") {
            $0.series([], control.generation)
        }
        page.family("weir_old_snapshots", "gauge", "Replaced snapshots still in use.") {
            $0.series([], control.oldSnapshots)
        }
        page.family("weir_snapshots_published_total", "counter", "Snapshots sent to the workers, by cause.") {
            for (cause, count) in zip(PublishCause.allCases, control.publishes) {
                $0.series([("cause", cause.rawValue)], count)
            }
        }
        page.family(
            "weir_snapshot_age_seconds", "gauge", "Since the newest snapshot was sent to the workers."
        ) {
            $0.series([], seconds: control.ageMs, per: 1_000)
        }
        page.family("weir_snapshot_last_build_seconds", "gauge", "How long the newest snapshot took to make.")
        {
            $0.series([], seconds: control.lastBuildUs, per: 1_000_000)
        }
        page.family("weir_snapshot_build_seconds", "histogram", "Time to make a snapshot.") {
            $0.histogram([], control.builds)
        }
        page.family("weir_plans_built_total", "counter", "Plans made for a snapshot, by kind.") {
            for (kind, count) in control.plans.byKind { $0.series([("kind", kind)], count.built) }
        }
        page.family(
            "weir_plans_reused_total", "counter", "Plans taken over from the snapshot before, by kind."
        ) {
            for (kind, count) in control.plans.byKind { $0.series([("kind", kind)], count.reused) }
        }
        page.family("weir_access_log_lines_total", "counter", "Access log lines written.") {
            $0.series([], accessLog.written)
        }
        page.family(
            "weir_access_log_dropped_total", "counter",
            "Access log lines lost because the queue was full or the write failed."
        ) { $0.series([], accessLog.dropped) }
        page.family("weir_access_log_write_errors_total", "counter", "Failed writes of the access log.") {
            $0.series([], accessLog.writeErrors)
        }
    }

    private func writeProcess(_ page: inout ExpositionPage) {
        page.family("process_cpu_seconds_total", "counter", "User and system CPU time.") {
            $0.series([], process.cpuSeconds)
        }
        page.family("process_resident_memory_bytes", "gauge", "Resident memory.") {
            $0.series([], process.residentBytes)
        }
        page.family("process_virtual_memory_bytes", "gauge", "Virtual memory.") {
            $0.series([], process.virtualBytes)
        }
        page.family("process_open_fds", "gauge", "Open file descriptors.") { $0.series([], process.openFDs) }
        page.family("process_max_fds", "gauge", "Soft limit of file descriptors.") {
            $0.series([], process.maxFDs)
        }
        page.family("process_start_time_seconds", "gauge", "Start, seconds since 1970.") {
            $0.series([], process.startTimeSeconds)
        }
    }
}
