import Configuration
import Control
import Foundation
import WeirJSON
import Reactor
import WeirResilience
import Telemetry
import Testing

@testable import Admin

/// A source with fixed answers.
final class FixedSource: AdminSource {
    let ready: Bool
    let result: ReloadResult

    init(ready: Bool = true, result: ReloadResult = ReloadResult(ok: true, generation: 4, atUs: 9)) {
        self.ready = ready
        self.result = result
    }

    func metricsText() -> [UInt8] { Array("weir_up 1\n".utf8) }
    func reload(_ answer: @escaping @Sendable (ReloadResult) -> Void) { answer(result) }
    func isReady() -> Bool { ready }

    func administer(service: String, endpoint: String, _ order: EndpointOrder) -> [EndpointStatus] {
        guard service == "web", endpoint == "10.0.0.1:80", case .value(let weight)? = order.weight else {
            return []
        }
        let registry = MetricsRegistry(workers: 1, build: BuildInfo(version: "1"))
        return [
            EndpointStatus(
                metrics: registry.endpoint(endpoint, service: service).values(), weight: Int(weight),
                configuredWeight: 2, state: order.standing?.operatorWord ?? "active")
        ]
    }

    func explain(_ question: ExplainQuestion) -> Explanation {
        var configuration = Configuration()
        configuration.listeners = [Listener(name: Text("web"))]
        let (compiled, _) = CompiledRoutes.compile(configuration, file: "weir.yaml")
        return Explainer(configuration, compiled, file: "weir.yaml").explain(question)
    }

    func status() -> StatusSnapshot {
        let registry = MetricsRegistry(workers: 2, build: BuildInfo(version: "1"))
        let route = registry.route("a \"quoted\"", service: "web")
        route.cell(worker: 1).requestEnded(
            status: 502, totalUs: 300, firstByteUs: 0, bytesIn: 1, bytesOut: 2, reason: .connectRefused,
            attempts: 2)
        let endpoint = registry.endpoint("10.0.0.1:80", service: "web")
        endpoint.cell(worker: 0).attemptStarted()
        let listener = registry.listener("http")
        var status = StatusSnapshot()
        status.version = "0.1"
        status.state = .draining
        status.pid = 42
        status.uptimeSeconds = 3_700
        status.configuration.generation = 3
        status.configuration.held = [HeldSnapshot(generation: 2)]
        status.configuration.lastReload = result
        status.workers = registry.workers.values().map { WorkerStatus(metrics: $0, connections: 1) }
        status.listeners = [
            ListenerStatus(address: "[::]:8080", protocol: "http", isPaused: true, metrics: listener.values())
        ]
        status.routes = [RouteStatus(match: "/*", metrics: route.values())]
        status.services = [
            ServiceStatus(
                name: "web", balance: "random",
                endpoints: [
                    EndpointStatus(
                        metrics: endpoint.values(), weight: 2, resolvedFrom: "web.internal", staleSinceUs: 7)
                ])
        ]
        status.limits = [LimitStatus(name: "file-descriptors", used: 50, max: 200)]
        return status
    }
}

func json(_ bytes: [UInt8]) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
}

extension AdminRoutes {
    /// The answer of a source that does not let anybody wait.
    fileprivate func respond(to request: AdminRequest) -> AdminResponse {
        switch reply(to: request) {
        case .now(let response): return response
        case .later(let begin):
            let answered = Locked<AdminResponse?>(nil)
            begin { response in answered.withLock { $0 = response } }
            return answered.withLock { $0 } ?? AdminResponse(500, "not answered")
        }
    }
}

@Suite struct AdminRoutesTests {
    func ask(
        _ method: String, _ path: String, query: String = "", host: String = "127.0.0.1:9900",
        origin: String? = nil, fetchSite: String? = nil, marker: Bool = false,
        source: FixedSource = FixedSource()
    ) -> AdminResponse {
        AdminRoutes(source: source, allowedHosts: ["weir.example.com"]).respond(
            to: AdminRequest(
                method: method, path: path, query: query, host: host, origin: origin, fetchSite: fetchSite,
                hasMarker: marker))
    }

    @Test func probesAndMetrics() {
        #expect(ask("GET", "/healthz").status == 200)
        #expect(ask("GET", "/readyz").status == 200)
        #expect(ask("GET", "/readyz", source: FixedSource(ready: false)).status == 503)
        #expect(ask("GET", "/healthz", source: FixedSource(ready: false)).status == 200)
        let metrics = ask("GET", "/metrics")
        #expect(metrics.body == Array("weir_up 1\n".utf8))
        #expect(metrics.contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(ask("GET", "/nothing").status == 404)
        #expect(ask("POST", "/metrics").status == 405)
        #expect(ask("POST", "/metrics").allow == "GET, HEAD")
        #expect(ask("GET", "/api/v1/reload").allow == "POST")
    }

    @Test func endpointsAreAdministered() throws {
        func order(_ query: String, marker: Bool = true) -> AdminResponse {
            ask("POST", "/api/v1/endpoints", query: query, marker: marker)
        }
        let which = "service=web&endpoint=10.0.0.1%3A80"
        #expect(ask("GET", "/api/v1/endpoints", query: which).allow == "POST")
        #expect(order("\(which)&weight=5", marker: false).status == 403)
        let answer = order("\(which)&weight=5&state=drain")
        #expect(answer.status == 200)
        let endpoints = try #require(try json(answer.body)["endpoints"] as? [[String: Any]])
        #expect(endpoints.first?["weight"] as? Int == 5)
        #expect(endpoints.first?["configured_weight"] as? Int == 2)
        #expect(endpoints.first?["state"] as? String == "drain")
        #expect(order("service=web&endpoint=other&weight=5").status == 404)
        for wrong in ["&weight=1001", "&weight=-1", "&weight=x", "&state=asleep", ""] {
            #expect(order(which + wrong).status == 400, "\(wrong)")
        }
        #expect(order("service=web&weight=5").status == 400)
    }

    @Test func hostsOfStrangersAreRefused() {
        for host in [
            "", "localhost", "LOCALHOST:9900", "127.0.0.1", "[::1]:9900", "weir:9900", "weir.example.com",
            "a.localhost",
        ] {
            #expect(ask("GET", "/api/v1/status", host: host).status == 200, "\(host)")
        }
        for host in [
            "evil.example", "127.0.0.1.evil.example", "evil.example:9900", "evil.example.",
            "localhost.evil.example",
            "[::1].evil.example", "a:b", "com.example:", "evil.example:9900:1",
        ] {
            #expect(ask("GET", "/api/v1/status", host: host).status == 421, "\(host)")
            #expect(ask("GET", "/metrics", host: host).status == 421, "\(host)")
            #expect(ask("GET", "/healthz", host: host).status == 200, "\(host)")
        }
    }

    @Test func changesNeedTheMarkerOrTheSameOrigin() {
        func reload(_ origin: String?, _ site: String? = nil, marker: Bool = false) -> UInt16 {
            ask("POST", "/api/v1/reload", origin: origin, fetchSite: site, marker: marker).status
        }
        #expect(reload(nil) == 403)
        #expect(reload(nil, marker: true) == 200)
        #expect(reload("http://127.0.0.1:9900") == 200)
        #expect(reload("http://127.0.0.1:9900", "same-origin") == 200)
        #expect(reload("http://evil.example", marker: true) == 403)
        #expect(reload("null", marker: true) == 403)
        #expect(reload("http://127.0.0.1:9901") == 403)
        #expect(reload(nil, "cross-site", marker: true) == 403)
    }

    @Test func refusedReloadSaysWhy() throws {
        let problem = ReloadProblem(
            message: "unknown key \"rutes\"", file: "weir.yaml", line: 3, column: 1,
            suggestion: "did you mean routes?")
        let source = FixedSource(result: ReloadResult(ok: false, generation: 3, atUs: 1, problems: [problem]))
        let answer = ask("POST", "/api/v1/reload", marker: true, source: source)
        #expect(answer.status == 422)
        let object = try json(answer.body)
        #expect(object["ok"] as? Bool == false)
        let first = try #require((object["problems"] as? [[String: Any]])?.first)
        #expect(first["message"] as? String == "unknown key \"rutes\"")
        #expect(first["line"] as? Int == 3)
        let text = ask("POST", "/api/v1/reload", query: "format=text", marker: true, source: source)
        #expect(
            String(decoding: text.body, as: UTF8.self) == """
                reload: refused, generation 3 still serves
                  weir.yaml:3:1: unknown key "rutes" (did you mean routes?)

                """)
    }

    @Test func statusAsJSON() throws {
        let object = try json(ask("GET", "/api/v1/status").body)
        #expect(object["state"] as? String == "draining")
        let configuration = try #require(object["configuration"] as? [String: Any])
        let held = try #require((configuration["held_snapshots"] as? [[String: Any]])?.first)
        #expect(held["generation"] as? Int == 2)
        let route = try #require((object["routes"] as? [[String: Any]])?.first)
        #expect(route["name"] as? String == "a \"quoted\"")
        #expect((route["requests"] as? [String: Int])?["5xx"] == 1)
        #expect((route["failures"] as? [String: Int]) == ["connect-refused": 1])
        let duration = try #require(route["duration"] as? [String: Any])
        #expect((duration["buckets"] as? [Int])?.count == LatencyBuckets.boundsUs.count + 1)
        let service = try #require((object["services"] as? [[String: Any]])?.first)
        let endpoint = try #require((service["endpoints"] as? [[String: Any]])?.first)
        #expect(endpoint["address"] as? String == "10.0.0.1:80")
        #expect(endpoint["stale_since_us"] as? Int == 7)
        #expect(endpoint["active"] as? Int == 1)
        #expect((object["workers"] as? [Any])?.count == 2)
        #expect((object["listeners"] as? [[String: Any]])?.first?["paused"] as? Bool == true)
    }

    @Test func statusAsText() {
        let all = String(decoding: ask("GET", "/api/v1/status", query: "format=text").body, as: UTF8.self)
        #expect(all.contains("up 1h 1m"))
        #expect(all.contains("generation 2 still in use"))
        #expect(all.contains("connect-refused=1"))
        #expect(all.contains("from web.internal (stale)"))
        #expect(all.contains("file-descriptors  50    200  25 %"))
        let one = String(
            decoding: ask("GET", "/api/v1/status", query: "format=text&service=web").body, as: UTF8.self)
        #expect(one.contains("10.0.0.1:80"))
        #expect(!one.contains("LISTENER"))
        #expect(one.hasPrefix("service web"))
        #expect(ask("GET", "/api/v1/status", query: "format=text&service=nope").status == 404)
    }

    @Test func dashboardLoadsNothingFromElsewhere() {
        let page = String(decoding: ask("GET", "/").body, as: UTF8.self)
        #expect(page.contains("<script src=\"/dashboard.js\""))
        for text in [page, Dashboard.css, Dashboard.script] {
            #expect(!text.contains("http:") && !text.contains("https:"))
        }
        #expect(!Dashboard.script.contains("innerHTML"))
        #expect(!page.contains("style="))
        #expect(ask("GET", "/dashboard.js").contentType == "text/javascript; charset=utf-8")
    }

    @Test func jsonEscapesWhatItMust() throws {
        var writer = JSONWriter()
        let text = String(String.UnicodeScalarView((0..<0x180).map { Unicode.Scalar($0)! }))
        writer.object {
            $0.member("text", text)
            $0.member("empty", [Int]()) { $0.value($1) }
            $0.key("null")
            $0.null()
            $0.member("large", UInt64.max)
        }
        let object = try json(writer.bytes)
        #expect(object["text"] as? String == text)
        #expect(object["large"] as? UInt64 == .max)
        #expect(writer.bytes.allSatisfy { $0 >= 0x20 && $0 != 0x7f })
    }
}

@Suite struct AdminExplainTests {
    func ask(_ query: String) -> AdminResponse {
        AdminRoutes(source: FixedSource(), allowedHosts: []).respond(
            to: AdminRequest(method: "GET", path: "/api/v1/explain", query: query, host: "localhost"))
    }

    @Test func theQuestionComesThroughTheQueryUnchanged() throws {
        var question = ExplainQuestion(method: "GET", url: "http://a.example/x?y=1&z=%2F+é")
        question.headers = [.init(name: "X-A", value: "b: c & d"), .init(name: "X-B", value: "")]
        let target = ExplainTarget.target(question, .json)
        let query = try #require(target.split(separator: "?", maxSplits: 1).last)
        #expect(target.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f })
        #expect(try ExplainTarget.question(String(query)).get() == question)
    }

    @Test(arguments: [
        ("", "url is missing"), ("method=GET", "url is missing"),
        ("url=/&client=x", "client: expected an IP address"),
        ("url=/&header=X", "header: expected 'Name: value'"),
        ("url=/%0d%0aX:1", "url has a line end or NUL in it"),
        ("url=/%4", "'url=/%4' is not percent-encoded"), ("url=/%ff", "'url=/%ff' is not percent-encoded"),
        ("url=/&metod=GET", "there is no parameter 'metod'"),
    ])
    func wrongQuestionsAreNamed(_ query: String, _ text: String) {
        #expect(ask(query).status == 400)
        #expect(String(decoding: ask(query).body, as: UTF8.self) == text + "\n")
    }

    @Test func answersAsJSONAndText() throws {
        let answer = try json(ask("url=/a").body)
        let listener = try #require((answer["listeners"] as? [[String: Any]])?.first)
        let refused = try #require(listener["refused"] as? [String: Any])
        #expect(refused["reason"] as? String == "route-not-found")
        let text = String(decoding: ask("url=/a&format=text").body, as: UTF8.self)
        #expect(text.contains("answer    404 route-not-found, made by Weir"))
    }

    @Test func unknownServicesAreNamed() {
        let answer = AdminRoutes(source: FixedSource(), allowedHosts: []).respond(
            to: AdminRequest(method: "GET", path: "/api/v1/status", query: "service=wbe", host: "localhost"))
        #expect(answer.status == 404)
        #expect(String(decoding: answer.body, as: UTF8.self) == "There is no service 'wbe'. Services: web.\n")
    }
}

@Suite struct CheckReportTests {
    @Test func everyProblemIsInTheJSON() throws {
        let error = ConfigurationError(
            "unknown key \"servce\"", file: "w.yaml", line: 3, column: 5, length: 6, suggestion: "service")
        let warning = ConfigurationError("odd", file: "w.yaml", line: 9, column: 1, severity: .warning)
        let report = CheckReport(file: "w.yaml", problems: [error, warning])
        #expect(report.summary == "w.yaml: 1 error, 1 warning")
        let parsed = try json(report.json())
        #expect(parsed["ok"] as? Bool == false)
        let problems = try #require(parsed["problems"] as? [[String: Any]])
        #expect(problems.map { $0["line"] as? Int } == [3, 9])
        #expect(problems[0]["suggestion"] as? String == "service")
        #expect(problems[1]["severity"] as? String == "warning")
        #expect(CheckReport(file: "w.yaml", problems: [warning]).summary == "w.yaml: ok, 1 warning")
    }
}

@Suite struct AdminQuestionTests {
    @Test func refusedReloadsEndWithOne() {
        let refused = AdminQuestion.reload.result(
            AdminAnswer(status: 422, body: Array("reload: refused\n".utf8)))
        #expect(refused == CommandResult(complaint: "reload: refused", exitCode: ExitCode.failed))
        let done = AdminQuestion.reload.result(AdminAnswer(status: 200, body: Array("reload: ok".utf8)))
        #expect(done == CommandResult(output: "reload: ok\n"))
    }

    @Test func addressesAsWritten() throws {
        let loopback = IPAddress(v4: 0x7f00_0001)
        #expect(AdminClient.address("127.0.0.1:9900") == .ip(loopback, port: 9900))
        #expect(AdminClient.address(":9900") == .ip(loopback, port: 9900))
        #expect(AdminClient.address("unix:/run/w.sock") == .unix(path: "/run/w.sock"))
        #expect(AdminClient.address("[::1]:1") == .ip(try #require(IPAddress("::1")), port: 1))
        #expect(AdminClient.address("127.0.0.1") == nil)
    }
}
