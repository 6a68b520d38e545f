// Header rules that name what is not theirs: fields that frame the message or end at this hop, and names
// that would make a message no two readers understand alike.

import WeirHTTPModel

/// One direction of header rules.
private enum Side: String {
    case request, response
}

extension CrossCheck {
    /// The `headers` of a route.
    func fieldRules(_ headers: Node?, _ check: inout SchemaCheck) {
        for side in [Side.request, .response] {
            guard let changes = headers?[side.rawValue] else { continue }
            let set = changes["set"]?.entries ?? []
            let add = changes["add"]?.entries ?? []
            let replace = changes["replace"]?.entries ?? []
            for entry in replace + set + add { owned(entry.key, side, &check) }
            for entry in replace where side == .request && entry.key.value.lowercased() == "host" {
                check.report(
                    "Host is not replaced in part", entry.key.origin,
                    "expected another value for it: set: { Host: … }")
            }
            for removed in changes["remove"]?.texts ?? [] {
                owned(removed, side, &check)
                guard side == .request, removed.value.lowercased() == "host" else { continue }
                check.report(
                    "a request has a Host", removed.origin,
                    "expected another value for it: set: { Host: … }")
            }
            for entry in set where side == .request && entry.key.value.lowercased() == "host" {
                host(entry.value, &check)
            }
            for entry in add where side == .request && entry.key.value.lowercased() == "host" {
                check.report(
                    "a request has one Host", entry.key.origin, "expected it under set, which replaces it")
            }
            twice(set, add, &check)
        }
    }

    /// The same field under two spellings, or one that stands once set and added.
    private func twice(_ set: [Node.Entry], _ add: [Node.Entry], _ check: inout SchemaCheck) {
        var seen: [String: Int] = [:]
        func note(_ key: Text, _ why: String) {
            let name = key.value.lowercased()
            if let line = seen[name] {
                check.report(
                    "\"\(key.value.clipped(60))\" is given twice", key.origin, "\(why) (line \(line))")
            } else {
                seen[name] = key.origin.line
            }
        }
        for entry in set { note(entry.key, "case does not matter in names of fields, and it is set already") }
        for entry in add where FieldNames.standsOnce(entry.key.value) {
            note(entry.key, "a message has one line of it, and it is set or added already")
        }
    }

    /// Whether a rule may name the field; what to use instead where it may not.
    private func owned(_ name: Text, _ side: Side, _ check: inout SchemaCheck) {
        // Applications that get fields as variables read "_" as "-".
        let folded = name.value.lowercased().replacing("_", with: "-")
        guard let instead = Self.instead(folded, side) else { return }
        check.report("\"\(name.value.clipped(60))\" is not for header rules", name.origin, instead)
    }

    private static func instead(_ name: String, _ side: Side) -> String? {
        switch name {
        case "content-length", "transfer-encoding":
            "Weir frames every body itself, as the other side can read it"
        case "connection", "upgrade":
            "Weir sends Upgrade and Connection by itself, for WebSockets too; upgrades says which protocols a route allows"
        case "keep-alive", "proxy-connection":
            "it ends at this hop; connections of a service says how long those to its endpoints are kept"
        case "te", "trailer":
            "Weir passes trailers on by itself, and says so where the client does"
        case "http2-settings":
            "it ends at this hop (RFC 9113 §3.1); protocol: h2 makes a service speak HTTP/2"
        case "expect" where side == .request:
            "Weir keeps the expectation of a client by itself; hold says how much of a body is taken before"
        case "sec-websocket-key", "sec-websocket-accept":
            "it proves the opening of a WebSocket, which Weir carries as it is"
        case "host" where side == .response:
            "Host is a field of requests: headers: { request: … }"
        default: nil
        }
    }

    /// A Host that is there and names a host; variables are looked at when they have a value.
    private func host(_ value: Node, _ check: inout SchemaCheck) {
        guard let text = value.text else { return }
        if text.allSatisfy(\.isWhitespace) {
            check.report(
                "an empty Host", value.origin,
                "expected a host, with a port where it needs one, such as api.example.com")
            return
        }
        if text.contains("{") { return }
        var bare = text
        for scheme in ["https://", "http://"] where bare.hasPrefix(scheme) { bare.removeFirst(scheme.count) }
        bare = String(bare.prefix { $0 != "/" })
        let isHost = text.utf8.allSatisfy {
            $0 &- 48 < 10 || ($0 | 32) &- 97 < 26 || "-._~!$&'()*+,;=%:[]".utf8.contains($0)
        }
        guard bare != text || !isHost else { return }
        check.report(
            "\"\(text.clipped(60))\" is no host", value.origin,
            "expected a host, with a port where it needs one, such as api.example.com:8443",
            suggestion: bare != text && !bare.isEmpty ? bare : nil)
    }
}
