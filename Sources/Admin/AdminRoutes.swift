// What the admin server answers: one request in, one response out, no sockets.
//
//   GET  /                  the dashboard (and /dashboard.css, /dashboard.js)
//   GET  /metrics           Prometheus text
//   GET  /healthz           200 while the process lives
//   GET  /readyz            200 when new traffic is welcome, else 503
//   GET  /api/v1/status     StatusSnapshot as JSON; ?format=text for the command line, &service=NAME
//   GET  /api/v1/explain    Explanation of a request, ?method=…&url=… (ExplainTarget.swift); ?format=text
//   POST /api/v1/endpoints  ?service=…&endpoint=…&state=active|drain|down&weight=0…1000|configured; 404, 400
//   POST /api/v1/reload     ReloadResult; 200 when it serves, 422 when it was refused; ?format=text
//
// HEAD is answered wherever GET is.

import WeirBalancing
import Control
import Telemetry

/// A request as far as the admin server looks at one.
struct AdminRequest {
    var method = ""
    var path = ""
    var query = ""
    /// Value of Host, empty when absent.
    var host = ""
    var origin: String?
    var fetchSite: String?
    /// X-Weir-Request is present.
    var hasMarker = false

    /// A query parameter, percent-decoded; nil also when it cannot be.
    func parameter(_ name: String) -> String? {
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2, parts[0] == name { return ExplainTarget.decode(parts[1]) }
        }
        return nil
    }
}

struct AdminResponse: Equatable {
    var status: UInt16
    var contentType = "text/plain; charset=utf-8"
    /// Allow, for 405.
    var allow: String?
    var body: [UInt8]

    init(_ status: UInt16, _ text: String) {
        self.status = status
        body = Array(text.utf8)
    }

    init(_ status: UInt16, contentType: String, _ body: [UInt8]) {
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// What comes of a request.
enum AdminReply {
    case now(AdminResponse)
    /// Somebody else is to do something first. Calling it begins that; the answer may come on any thread.
    case later((@escaping @Sendable (AdminResponse) -> Void) -> Void)
}

/// Answers requests.
struct AdminRoutes: Sendable {
    let source: any AdminSource
    /// Host names accepted besides address literals, localhost and names without a dot; lower case.
    let allowedHosts: Set<String>

    private static let json = "application/json"

    func reply(to request: AdminRequest) -> AdminReply {
        if request.path == "/api/v1/reload", accepts(request), refusal(ofChange: request) == nil {
            return .later { reload(request, $0) }
        }
        return .now(answer(to: request))
    }

    private func accepts(_ request: AdminRequest) -> Bool {
        AdminGuard.accepts(host: request.host, allowed: allowedHosts)
    }

    private func answer(to request: AdminRequest) -> AdminResponse {
        // Probes send any Host, and these two say nothing a stranger could use.
        let isProbe = request.path == "/healthz" || request.path == "/readyz"
        guard isProbe || accepts(request) else {
            return AdminResponse(
                421,
                "The admin listener answers for IP addresses, localhost, names without a dot and those of admin.hosts, not for this Host.\n"
            )
        }
        switch request.path {
        case "/":
            return get(request) {
                AdminResponse(200, contentType: "text/html; charset=utf-8", Array(Dashboard.html.utf8))
            }
        case "/dashboard.css":
            return get(request) {
                AdminResponse(200, contentType: "text/css; charset=utf-8", Array(Dashboard.css.utf8))
            }
        case "/dashboard.js":
            return get(request) {
                AdminResponse(
                    200, contentType: "text/javascript; charset=utf-8", Array(Dashboard.script.utf8))
            }
        case "/metrics":
            return get(request) {
                AdminResponse(
                    200, contentType: MetricsSnapshot.contentType.description, source.metricsText())
            }
        case "/healthz": return get(request) { AdminResponse(200, "ok\n") }
        case "/readyz":
            return get(request) {
                source.isReady() ? AdminResponse(200, "ready\n") : AdminResponse(503, "not ready\n")
            }
        case "/api/v1/status":
            return get(request) {
                let status = source.status()
                if let name = request.parameter("service"),
                    !status.services.contains(where: { $0.name == name })
                {
                    let known = status.services.map(\.name).joined(separator: ", ")
                    return AdminResponse(
                        404, "There is no service '\(name)'. Services: \(known.isEmpty ? "none" : known).\n")
                }
                if request.parameter("format") == "text" {
                    return AdminResponse(200, status.text(service: request.parameter("service")))
                }
                return AdminResponse(
                    200, contentType: Self.json, status.json(service: request.parameter("service")))
            }
        case ExplainTarget.path: return get(request) { explain(request) }
        case "/api/v1/endpoints": return refusal(ofChange: request) ?? administer(request)
        default:
            if request.path == "/api/v1/reload", let refusal = refusal(ofChange: request) { return refusal }
            return AdminResponse(404, "Nothing is here. See /, /metrics, /api/v1/status.\n")
        }
    }

    private func get(_ request: AdminRequest, _ body: () -> AdminResponse) -> AdminResponse {
        if request.method == "GET" || request.method == "HEAD" { return body() }
        var response = AdminResponse(405, "Only GET and HEAD.\n")
        response.allow = "GET, HEAD"
        return response
    }

    private func explain(_ request: AdminRequest) -> AdminResponse {
        switch ExplainTarget.question(request.query) {
        case .failure(let error): return AdminResponse(400, "\(error.text)\n")
        case .success(let question):
            let explanation = source.explain(question)
            if request.parameter("format") == "text" { return AdminResponse(200, explanation.text()) }
            return AdminResponse(200, contentType: Self.json, explanation.json())
        }
    }

    /// What changes something is asked for by POST, and not by a page of somebody else.
    private func refusal(ofChange request: AdminRequest) -> AdminResponse? {
        guard request.method == "POST" else {
            var response = AdminResponse(405, "Only POST.\n")
            response.allow = "POST"
            return response
        }
        guard
            AdminGuard.acceptsChange(
                host: request.host, origin: request.origin, fetchSite: request.fetchSite,
                marker: request.hasMarker)
        else {
            return AdminResponse(
                403, "Send the header X-Weir-Request: 1, or come from this server's own page.\n")
        }
        return nil
    }

    private func administer(_ request: AdminRequest) -> AdminResponse {
        guard let service = request.parameter("service"), let endpoint = request.parameter("endpoint") else {
            return AdminResponse(400, "Which one? ?service=NAME&endpoint=NAME, as in the status.\n")
        }
        var order = EndpointOrder()
        if let word = request.parameter("state") {
            guard let known = Standing.operatorWords.first(where: { $0.word == word }) else {
                let words = Standing.operatorWords.map(\.word).joined(separator: ", ")
                return AdminResponse(400, "There is no state '\(word)'. States: \(words).\n")
            }
            order.standing = known.standing
        }
        if let text = request.parameter("weight") {
            if text == "configured" {
                order.weight = .configured
            } else if let weight = UInt32(text), weight <= 1000 {
                order.weight = .value(weight)
            } else {
                return AdminResponse(400, "A weight is a number from 0 to 1000, or 'configured'.\n")
            }
        }
        if order == EndpointOrder() {
            return AdminResponse(400, "Nothing to change: state=… or weight=….\n")
        }
        let endpoints = source.administer(service: service, endpoint: endpoint, order)
        if endpoints.isEmpty {
            return AdminResponse(404, "Service '\(service)' has no endpoint '\(endpoint)'.\n")
        }
        return AdminResponse(200, contentType: Self.json, EndpointStatus.json(endpoints))
    }

    private func reload(_ request: AdminRequest, _ answer: @escaping @Sendable (AdminResponse) -> Void) {
        let isText = request.parameter("format") == "text"
        source.reload { result in
            let status: UInt16 = result.ok ? 200 : 422
            answer(
                isText
                    ? AdminResponse(status, result.text())
                    : AdminResponse(status, contentType: Self.json, result.json()))
        }
    }
}
