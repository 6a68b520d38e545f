// Who may ask: defences of a local HTTP API against web pages in the operator's browser.
//
// DNS rebinding: a page of evil.example whose name suddenly points at 127.0.0.1 can read answers,
// because for the browser it is the same origin. Its Host field still says evil.example. So only hosts
// no stranger can own are accepted: address literals, localhost, names without a dot (a container's or
// service's name), and those the operator listed.
// Cross-site requests: any page can send a POST here without reading the answer. Browsers put Origin on
// every POST, so it must match Host; what sends none (curl, the command line) must send
// X-Weir-Request, which a page can only do after a preflight that is never granted.
//
// Does not do: authentication. The admin listener is bound to loopback unless the operator says
// otherwise.

import Reactor

enum AdminGuard {
    /// Whether the Host field's value may be trusted. Empty (HTTP/1.0) is.
    /// - Parameter allowed: further names, lower case, without port.
    static func accepts(host value: String, allowed: Set<String>) -> Bool {
        guard let name = hostName(value) else { return false }
        if name.isEmpty || name == "localhost" || name.hasSuffix(".localhost") { return true }
        if IPAddress(name) != nil { return true }
        return allowed.contains(name) || !name.contains(".")
    }

    /// Whether a request that changes something may be made.
    /// - Parameters:
    ///   - origin: value of Origin, nil when absent.
    ///   - fetchSite: value of Sec-Fetch-Site, nil when absent.
    ///   - marker: X-Weir-Request is present.
    static func acceptsChange(host: String, origin: String?, fetchSite: String?, marker: Bool) -> Bool {
        if let fetchSite, fetchSite != "same-origin", fetchSite != "none" { return false }
        guard let origin else { return marker || fetchSite == "same-origin" }
        guard !host.isEmpty else { return false }
        let wanted = host.lowercased()
        return origin.lowercased() == "http://\(wanted)" || origin.lowercased() == "https://\(wanted)"
    }

    /// The lower-case host of "host", "host:port" or "[v6]:port"; nil when it is neither.
    static func hostName(_ value: String) -> String? {
        let value = value.lowercased()
        if value.hasPrefix("[") {
            guard let end = value.firstIndex(of: "]") else { return nil }
            let rest = value[value.index(after: end)...]
            guard rest.isEmpty || isPort(rest) else { return nil }
            return String(value[...end])
        }
        guard let colon = value.firstIndex(of: ":") else { return withoutFinalDot(value[...]) }
        guard isPort(value[colon...]) else { return nil }
        return withoutFinalDot(value[..<colon])
    }

    private static func isPort(_ text: Substring) -> Bool {
        text.first == ":" && text.count <= 6 && text.dropFirst().utf8.allSatisfy { $0 &- 48 < 10 }
    }

    /// "example.com." is the same name as "example.com", so it must not pass for one without a dot.
    private static func withoutFinalDot(_ name: Substring) -> String {
        String(name.hasSuffix(".") ? name.dropLast() : name)
    }
}
