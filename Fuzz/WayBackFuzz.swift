// References and cookies of endpoints turned back: in memory of exactly their length; a path never becomes a
// host, query and fragment stay, other hosts stay; a cookie keeps its pair, and one of a host its promises.

import WeirHTTPModel
import WeirRouting

private let prefixes: [PathPrefix?] = [
    nil, PathPrefix(from: "/shop", to: "/"), PathPrefix(from: "/shop", to: "/app"),
    PathPrefix(from: "/", to: "/app"), PathPrefix(from: "/a/", to: "/b/"),
]
private let texts = ["shop.example:8443", "/shop/a/b", "app.example", "app.internal", "10.0.0.5"].map {
    StaticBytes($0)
}

private func written(_ bytes: [UInt8], _ body: (UnsafeBufferPointer<UInt8>, inout ByteWriter) -> Void)
    -> [UInt8]
{
    let capacity = 2 * bytes.count + 256
    let out = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { out.deallocate() }
    return (bytes + [0]).withUnsafeBufferPointer { padded in
        guard let start = padded.baseAddress else { return [] }
        return withExact(start, bytes.count) { exact in
            var writer = ByteWriter(out, capacity: capacity)
            body(UnsafeBufferPointer(start: exact, count: bytes.count), &writer)
            require(!writer.overflowed, "much longer than what came in")
            return Array(UnsafeBufferPointer(start: out, count: writer.count))
        }
    }
}

private func turn(_ value: [UInt8], _ rule: LocationRule, _ field: LocationRule.Field, isSecure: Bool)
    -> [UInt8]
{
    written(value) { value, writer in
        let passage = Passage(
            isSecure: isSecure, authority: texts[0].bytes, path: texts[1].bytes, endpointIsSecure: false,
            sentHost: texts[2].bytes, endpointName: texts[3].bytes, endpointAddress: texts[4].bytes,
            endpointPort: 3000)
        rule.write(field, value, passage, into: &writer)
    }
}

/// Whether a reference names a host, as the most lenient reader has it.
private func namesHost(_ reference: [UInt8]) -> Bool {
    let slashes = reference.prefix { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") }
    if slashes.count > 1 { return true }
    guard let stop = reference.firstIndex(where: { ":/?#\\".utf8.contains($0) }) else { return false }
    return reference[stop] == UInt8(ascii: ":")
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let choice = Int(bytes[0])
    let value = Array(UnsafeBufferPointer(start: bytes + 1, count: count - 1))
    let prefix = prefixes[choice % prefixes.count]

    let rule = LocationRule(prefix: prefix)
    let turned = turn(value, rule, .reference, isSecure: choice & 128 != 0)
    if !namesHost(value) { require(!namesHost(turned), "a path became a host") }
    let tail = value.firstIndex { $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") } ?? value.count
    require(turned.suffix(value.count - tail).elementsEqual(value[tail...]), "another query or fragment")
    let other = Array("https://other.example/".utf8) + value
    require(turn(other, rule, .reference, isSecure: true) == other, "another host was changed")
    _ = turn(value, rule, .refresh, isSecure: true)
    let own = Array("http://10.0.0.5:3000/".utf8) + value
    let ownTurned = turn(own, rule, .reference, isSecure: true)
    require(
        ownTurned == own || ownTurned.starts(with: "https://shop.example:8443/".utf8), "half of it was turned"
    )

    let pair = value.prefix { $0 != UInt8(ascii: ";") }
    func cookie(_ rule: CookieRule, _ value: [UInt8]) -> [UInt8] {
        written(value) { rule.write($0, into: &$1) }
    }
    let keep = CookieRule(path: nil, domain: nil, secure: nil, sameSite: nil, httpOnly: false)
    require(cookie(keep, value) == value, "a rule for nothing changed something")
    let moved = CookieRule(
        path: prefix, domain: choice & 64 == 0 ? .remove : .replace(texts[3], with: texts[0]),
        secure: choice & 32 == 0, sameSite: nil, httpOnly: false)
    require(cookie(moved, value).starts(with: pair), "another pair")
    let crossing = CookieRule(
        path: nil, domain: nil, secure: nil, sameSite: CookieRule.SameSite.none, httpOnly: false)
    require(
        String(decoding: cookie(crossing, value), as: UTF8.self).lowercased().contains("secure"),
        "SameSite=None without Secure")
    let ofHost = Array("__Host-a=b; Secure;".utf8) + value
    require(cookie(moved, ofHost) == ofHost, "a cookie of a host was changed")
    return 0
}
