// An Explanation for eyes: what `weir explain` prints.

import Control

extension Explanation {
    /// One paragraph per listener: the rules tried, and what the winner does.
    public func text() -> String {
        var out = "\(question.method) \(question.url) from \(question.client)\n"
        for line in request { out += "  > \(line)\n" }
        if listeners.isEmpty { out += "\nno HTTP listener in \(file)\n" }
        for listener in listeners { out += "\n" + text(listener) }
        return out
    }

    /// Whether some listener forwards, redirects or answers as a route says.
    public var isRouted: Bool {
        listeners.contains { if case .routed = $0.outcome { true } else { false } }
    }

    private func text(_ listener: ListenerExplanation) -> String {
        var out =
            "listener \(listener.name)  \(listener.addresses.joined(separator: ", "))\(place(listener.line))\n"
        if let client = listener.client { out += row("client", "\(client.address)  (\(client.text))") }
        if !listener.trials.isEmpty {
            out += "  routes, in the order they are tried\n"
            let table = TextTable.render(
                [],
                listener.trials.map { trial in
                    [
                        trial.won ? "    ->" : "      ", trial.route,
                        trial.path.isEmpty ? "" : "\(trial.host) \(trial.path)", trial.text,
                        trial.line == 0 ? "" : "\(file):\(trial.line)",
                    ]
                })
            out += table
            for trial in listener.trials {
                guard let when = trial.when else { continue }
                let verdict = when.holds.map { $0 ? "holds" : "does not hold" } ?? "cannot be judged"
                out += row(
                    "when",
                    "\(trial.route): \(verdict)\(when.why.isEmpty ? "" : ": \(when.why)")\(place(when.line))")
            }
        }
        switch listener.outcome {
        case .refused(let refusal): out += text(refusal)
        case .routed(let route): out += text(route)
        }
        return out
    }

    private func text(_ refusal: Refusal) -> String {
        var out = row("answer", "\(refusal.status) \(refusal.reason), made by Weir")
        var why = refusal.text
        if !refusal.section.isEmpty { why += " (\(refusal.section))" }
        if let position = refusal.position { why += ", byte \(position) of the head" }
        out += row("because", why)
        if !refusal.allow.isEmpty { out += row("allow", refusal.allow.joined(separator: ", ")) }
        if let page = refusal.page { out += row("page", text(page)) }
        return out
    }

    private func text(_ route: RouteExplanation) -> String {
        var out = row("route", route.name + place(route.line))
        for capture in route.captures { out += row("capture", "\(capture.name) = \(capture.value)") }
        switch route.action {
        case .redirect(let status, let location, let line):
            out += row("redirect", "\(status) to \(location)\(place(line))")
        case .respond(let status, let type, let body, let line):
            out += row("respond", "\(status), \(body.utf8.count) bytes of \(type)\(place(line))")
        case .close: out += row("respond", "close: the connection ends without an answer")
        case .service(let service):
            out += text(service)
        }
        for change in route.requestChanges { out += row("request", text(change)) }
        for change in route.responseChanges { out += row("response", text(change)) }
        for page in route.pages { out += row("error", text(page)) }
        for policy in route.policies { out += row("policy", text(policy)) }
        out += text("settings", route.settings)
        if case .service(let service) = route.action { out += text("service", service.settings) }
        return out
    }

    private func text(_ service: ServiceExplanation) -> String {
        var out = row("service", "\(service.name), \(service.balance)\(place(service.line))")
        if let root = service.root { out += row("root", root) }
        for endpoint in service.endpoints {
            var text = endpoint.address
            if endpoint.weight != 1 { text += "  weight \(endpoint.weight)" }
            if let resolved = endpoint.resolved {
                text += resolved.isEmpty ? "  not resolved yet" : "  = \(resolved.joined(separator: ", "))"
            }
            out += row("endpoint", text + place(endpoint.line))
        }
        for tried in service.tried {
            out += row("try", "\(tried.candidate): \(tried.text)\(place(tried.line))")
        }
        for next in service.next { return out + text(next) }
        let note = service.isRewritten ? "  (rewritten)" + place(service.rewriteLine) : ""
        return out + row("target", service.target + note)
    }

    private func text(_ policy: PolicyExplanation) -> String {
        let concerns =
            policy.concerns.isEmpty ? "" : ", for requests \(policy.concerns.joined(separator: ", "))"
        let settings = policy.text.isEmpty ? "" : ": \(policy.text)"
        return "\(policy.name)\(settings)  (at \(policy.hooks.joined(separator: ", "))\(concerns))"
    }

    private func text(_ page: PageExplanation) -> String {
        let scope = page.replacesAnswers ? ", of endpoints too" : ""
        return "\(page.statuses): \(page.bodies.joined(separator: ", "))\(scope)\(place(page.line))"
    }

    private func text(_ change: FieldChange) -> String {
        let value = change.kind == .remove ? "" : ": \(change.value)"
        return "\(change.kind.rawValue) \(change.name)\(value)\(place(change.line))"
    }

    private func text(_ title: String, _ settings: [SettingExplanation]) -> String {
        settings.map { row(title, "\($0.name) \($0.value)  (\($0.isDefault ? "default" : "set"))") }.joined()
    }

    private func row(_ title: String, _ text: String) -> String {
        "  \(title)\(String(repeating: " ", count: max(1, 10 - title.count)))\(text)\n"
    }

    private func place(_ line: Int) -> String { line == 0 ? "" : "  \(file):\(line)" }
}
