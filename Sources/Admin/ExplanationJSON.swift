// An Explanation as JSON: `weir explain --format json` and GET /api/v1/explain.
//
// Lines are 0 where nothing was written. Members are only ever added within v1.

import Control
import WeirJSON

extension Explanation {
    public func json() -> [UInt8] {
        var json = JSONWriter()
        json.object {
            $0.member("method", question.method)
            $0.member("url", question.url)
            $0.member("peer", "\(question.client)")
            $0.member("file", file)
            $0.member("generation", generation)
            $0.member("request", request) { $0.value($1) }
            $0.member("listeners", listeners) { $1.write(&$0) }
        }
        return json.bytes
    }
}

extension ListenerExplanation {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", name)
            $0.member("line", line)
            $0.member("addresses", addresses) { $0.value($1) }
            $0.key("client")
            if let client {
                $0.object {
                    $0.member("address", client.address)
                    $0.member("why", client.text)
                }
            } else {
                $0.null()
            }
            $0.member("tried", trials) { json, trial in
                json.object {
                    $0.member("route", trial.route)
                    $0.member("line", trial.line)
                    $0.member("host", trial.host)
                    $0.member("path", trial.path)
                    $0.member("won", trial.won)
                    $0.member("why", trial.text)
                    if let when = trial.when {
                        $0.key("when")
                        $0.object {
                            $0.member("line", when.line)
                            $0.member("text", when.text)
                            $0.key("holds")
                            if let holds = when.holds { $0.value(holds) } else { $0.null() }
                            $0.member("why", when.why)
                        }
                    }
                }
            }
            switch outcome {
            case .refused(let refusal):
                $0.key("refused")
                refusal.write(&$0)
            case .routed(let route):
                $0.key("route")
                route.write(&$0)
            }
        }
    }
}

extension Refusal {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("status", status)
            $0.member("reason", reason)
            $0.member("text", text)
            $0.member("section", section)
            if let position { $0.member("position", position) }
            $0.member("allow", allow) { $0.value($1) }
            if let page {
                $0.key("page")
                page.write(&$0)
            }
        }
    }
}

extension RouteExplanation {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", name)
            $0.member("line", line)
            $0.key("captures")
            $0.object { for capture in captures { $0.member(capture.name, capture.value) } }
            switch action {
            case .service(let service):
                $0.key("service")
                service.write(&$0)
            case .redirect(let status, let location, let line):
                $0.key("redirect")
                $0.object {
                    $0.member("status", status)
                    $0.member("location", location)
                    $0.member("line", line)
                }
            case .close: $0.member("respond", "close")
            case .respond(let status, let type, let body, let line):
                $0.key("respond")
                $0.object {
                    $0.member("status", status)
                    $0.member("type", type)
                    $0.member("body", body)
                    $0.member("line", line)
                }
            }
            $0.member("request_changes", requestChanges) { $1.write(&$0) }
            $0.member("response_changes", responseChanges) { $1.write(&$0) }
            $0.member("errors", pages) { $1.write(&$0) }
            $0.member("settings", settings) { $1.write(&$0) }
            $0.member("policies", policies) { json, policy in
                json.object {
                    $0.member("name", policy.name)
                    $0.member("hooks", policy.hooks) { $0.value($1) }
                    $0.member("concerns", policy.concerns) { $0.value($1) }
                    $0.member("text", policy.text)
                }
            }
        }
    }
}

extension ServiceExplanation {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", name)
            $0.member("line", line)
            $0.member("balance", balance)
            if let root {
                $0.member("root", root)
                $0.member("tried", tried) { json, tried in
                    json.object {
                        $0.member("candidate", tried.candidate)
                        $0.member("line", tried.line)
                        $0.member("text", tried.text)
                    }
                }
                $0.member("next", next) { $1.write(&$0) }
            }
            $0.member("endpoints", endpoints) { json, endpoint in
                json.object {
                    $0.member("address", endpoint.address)
                    $0.member("weight", endpoint.weight)
                    $0.member("line", endpoint.line)
                    if let resolved = endpoint.resolved { $0.member("resolved", resolved) { $0.value($1) } }
                }
            }
            $0.member("target", target)
            $0.member("rewritten", isRewritten)
            $0.member("rewrite_line", rewriteLine)
            $0.member("settings", settings) { $1.write(&$0) }
        }
    }
}

extension PageExplanation {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("statuses", statuses)
            $0.member("bodies", bodies) { $0.value($1) }
            $0.member("of_endpoints", replacesAnswers)
            $0.member("line", line)
        }
    }
}

extension FieldChange {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("change", kind.rawValue)
            $0.member("name", name)
            $0.member("value", value)
            $0.member("line", line)
        }
    }
}

extension SettingExplanation {
    fileprivate func write(_ json: inout JSONWriter) {
        json.object {
            $0.member("name", name)
            $0.member("value", value)
            $0.member("default", isDefault)
        }
    }
}
