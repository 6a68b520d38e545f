// StatusSnapshot and ReloadResult for eyes: what `weir status` and `weir reload` print.

import Telemetry

extension StatusSnapshot {
    /// The status as aligned text. `service` limits it to the service of that name.
    public func text(service wanted: String? = nil) -> String {
        var out = ""
        if wanted == nil {
            out +=
                "weir \(version)\(commit == "unknown" ? "" : " (\(commit))")  pid \(pid)  \(state.rawValue)  up \(Self.duration(uptimeSeconds))\n"
            out += "configuration \(configuration.file.isEmpty ? "-" : configuration.file)"
            out += "  generation \(configuration.generation)\n"
            for held in configuration.held {
                out += "  generation \(held.generation) still in use\n"
            }
            if let last = configuration.lastReload, !last.ok || !last.warnings.isEmpty {
                out += "last " + last.text()
            }
            out += "\n" + listenerTable() + datagramTable() + "\n" + routeTable() + webSocketTable()
        }
        for service in services where wanted == nil || wanted == service.name {
            out += out.isEmpty ? "" : "\n"
            out += "service \(service.name)  \(service.balance)\n"
            if !service.endpoints.isEmpty { out += Self.endpointTable(service.endpoints) }
            for name in service.unresolved {
                out += "  \(name.name) not resolved yet"
                out += name.failures == 0 ? "\n" : ": \(name.lastFailure), \(name.failures) times\n"
            }
        }
        if wanted == nil, !limits.isEmpty {
            out += "\n"
            out += TextTable.render(
                ["LIMIT", "USED", "MAX", ""],
                limits.map { limit in
                    let percent = limit.max == 0 ? 0 : Double(limit.used) / Double(limit.max) * 100
                    return [
                        limit.name, String(limit.used), limit.max == .max ? "none" : String(limit.max),
                        limit.max == .max ? "" : "\(Int(percent)) %",
                    ]
                })
        }
        return out
    }

    private func listenerTable() -> String {
        TextTable.render(
            ["LISTENER", "ADDRESS", "PROTOCOL", "ACTIVE", "ACCEPTED", "REQUESTS", "REJECTED", ""],
            listeners.map {
                [
                    $0.metrics.listener, $0.address, $0.protocol, String($0.metrics.active),
                    String($0.metrics.accepted), String($0.metrics.requests), String($0.metrics.rejected),
                    $0.isPaused ? "paused: no file descriptors" : "",
                ]
            })
    }

    /// Empty without UDP listeners.
    private func datagramTable() -> String {
        let udp = listeners.filter { $0.protocol == "udp" }
        if udp.isEmpty { return "" }
        return "\n"
            + TextTable.render(
                ["UDP", "SESSIONS", "ENDED", "DATAGRAMS IN", "OUT", "DROPPED"],
                udp.map { listener in
                    let metrics = listener.metrics
                    let drops = metrics.drops.map { "\($0.reason.name)=\($0.count)" }
                    return [
                        metrics.listener, String(metrics.active), String(metrics.streams),
                        String(metrics.datagramsIn), String(metrics.datagramsOut),
                        drops.isEmpty ? "-" : drops.joined(separator: " "),
                    ]
                })
    }

    private func routeTable() -> String {
        TextTable.render(
            ["ROUTE", "SERVICE", "MATCH", "2XX", "3XX", "4XX", "5XX", "NONE", "RETRIES", "FAILURES"],
            routes.map { route in
                let classes = route.metrics.requestsByClass.map { String($0) }
                func count(_ i: Int) -> String { i < classes.count ? classes[i] : "-" }
                return [
                    route.metrics.route, route.metrics.service, route.match, count(2), count(3), count(4),
                    count(5), count(0), String(route.metrics.retries), Self.text(route.metrics.failures),
                ]
            })
    }

    /// Empty where no WebSocket was ever opened.
    private func webSocketTable() -> String {
        let used = routes.filter { $0.metrics.webSockets > 0 }
        if used.isEmpty { return "" }
        return "\n"
            + TextTable.render(
                ["WEBSOCKETS", "SERVICE", "OPEN", "OPENED"],
                used.map {
                    [
                        $0.metrics.route, $0.metrics.service, String($0.metrics.webSocketsOpen),
                        String($0.metrics.webSockets),
                    ]
                })
    }

    private static func endpointTable(_ endpoints: [EndpointStatus]) -> String {
        TextTable.render(
            ["  ENDPOINT", "STATE", "WEIGHT", "ACTIVE", "IDLE", "ATTEMPTS", "REUSED", "FAILURES", ""],
            endpoints.map { endpoint in
                var note = endpoint.resolvedFrom.isEmpty ? "" : "from \(endpoint.resolvedFrom)"
                if endpoint.staleSinceUs != 0 { note += " (stale)" }
                return [
                    "  " + endpoint.metrics.endpoint, stateText(endpoint), weightText(endpoint),
                    String(endpoint.metrics.active),
                    String(endpoint.metrics.idle), String(endpoint.metrics.attempts),
                    String(endpoint.metrics.connectionsReused), text(endpoint.metrics.failures), note,
                ]
            })
    }

    private static func stateText(_ endpoint: EndpointStatus) -> String {
        endpoint.health == "healthy" ? endpoint.state : "\(endpoint.state), \(endpoint.health)"
    }

    private static func weightText(_ endpoint: EndpointStatus) -> String {
        endpoint.weight == endpoint.configuredWeight
            ? "\(endpoint.weight)" : "\(endpoint.weight) (file: \(endpoint.configuredWeight))"
    }

    private static func text(_ failures: [FailureCount]) -> String {
        failures.isEmpty ? "-" : failures.map { "\($0.reason.name)=\($0.count)" }.joined(separator: " ")
    }

    /// "3d 4h", "5h 12m", "12m 8s", "8s".
    static func duration(_ seconds: UInt64) -> String {
        switch seconds {
        case 86_400...: "\(seconds / 86_400)d \(seconds / 3600 % 24)h"
        case 3600...: "\(seconds / 3600)h \(seconds / 60 % 60)m"
        case 60...: "\(seconds / 60)m \(seconds % 60)s"
        default: "\(seconds)s"
        }
    }
}

extension ReloadResult {
    /// One line, and one for every problem and warning.
    public func text() -> String {
        var out =
            ok
            ? "reload: ok, generation \(generation)\n"
            : "reload: refused, generation \(generation) still serves\n"
        for (problem, word) in problems.map({ ($0, "") }) + warnings.map({ ($0, "warning: ") }) {
            let place = problem.line == 0 ? "" : ":\(problem.line):\(problem.column)"
            out += problem.file.isEmpty ? "  " : "  \(problem.file)\(place): "
            out += word + problem.message
            if !problem.suggestion.isEmpty { out += " (\(problem.suggestion))" }
            out += "\n"
        }
        return out
    }
}

/// Columns as wide as their widest cell, two spaces between.
enum TextTable {
    /// - Parameter header: empty for a table without one.
    static func render(_ header: [String], _ rows: [[String]]) -> String {
        var widths = header.isEmpty ? rows.first?.map(\.count) ?? [] : header.map(\.count)
        for row in rows {
            for (i, cell) in row.enumerated() where i < widths.count {
                widths[i] = max(widths[i], cell.count)
            }
        }
        var out = ""
        for row in (header.isEmpty ? [] : [header]) + rows {
            var line = ""
            for (i, cell) in row.enumerated() where i < widths.count {
                line += cell + String(repeating: " ", count: widths[i] - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            out += line + "\n"
        }
        return out
    }
}
