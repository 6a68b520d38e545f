// A beginning of paths as clients see it, and the one that stands in its place for an endpoint.
//
//   from: /shop, to: /app      inward   /shop/cart → /app/cart     what rewrite: { prefix: … } does
//                              outward  /app/cart → /shop/cart     what its answers need (LocationRule, CookieRule)
//
// Whole segments are exchanged; paths that do not begin with them have no counterpart. Beginnings are compared
// in what decides (HTTPModel/PathForm.swift), as routes are; what follows stays as it is spelled.

import WeirHTTPModel

/// Two beginnings of paths that stand for each other. Immutable.
public final class PathPrefix: Sendable {
    /// What decides for the client's, as it was written.
    private let from: StaticBytes
    /// The endpoint's, as it goes into a target.
    private let to: StaticBytes
    /// What decides for the endpoint's, without its last slash.
    private let inner: StaticBytes
    /// The client's as it goes into a URL, without its last slash.
    private let outer: StaticBytes

    /// - Parameter from: begins with a slash, as does `to`.
    public convenience init(from: String, to: String) {
        self.init(from: from, to: to, written: StaticBytes(PathPattern.spelled(to.utf8)))
    }

    private init(from: String, to: String, written: StaticBytes) {
        func bare(_ text: String) -> Substring { text.hasSuffix("/") ? text.dropLast() : text[...] }
        self.from = StaticBytes(PathPattern.deciding(from.utf8))
        self.to = written
        inner = StaticBytes(PathPattern.deciding(bare(to).utf8))
        outer = StaticBytes(PathPattern.spelled(bare(from).utf8))
    }

    /// One that writes a text of any kind for an endpoint's: what may be shown in place of a path.
    public static func showing(_ text: String, from: String) -> PathPrefix {
        PathPrefix(from: from, to: "/", written: StaticBytes(text))
    }

    /// Writes the endpoint's path for a client's; one without a counterpart stays as it is.
    public func writeInward(_ path: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) {
        guard let rest = Self.rest(of: path, after: from.bytes) else {
            if path.isEmpty { writer.append("/") } else { writer.append(path) }
            return
        }
        // Exactly one slash where the two meet, and one at the start.
        let endsWithSlash = to.bytes.last == 0x2f
        writer.append(to.bytes)
        if rest.isEmpty {
            if to.count == 0 { writer.append("/") }
            return
        }
        if rest.first == 0x2f {
            writer.append(endsWithSlash ? UnsafeBufferPointer(rebasing: rest.dropFirst()) : rest)
        } else {
            if !endsWithSlash { writer.append("/") }
            writer.append(rest)
        }
    }

    /// Writes the client's path for an endpoint's. False: it has no counterpart, and nothing is written.
    public func writeOutward(_ path: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) -> Bool {
        guard let rest = Self.rest(of: path, after: inner.bytes) else { return false }
        writer.append(outer.bytes)
        writer.append(rest)
        if rest.isEmpty, outer.count == 0 || from.bytes.last == 0x2f { writer.append("/") }
        return true
    }

    /// Whether what it writes outward can be the path of a cookie: a semicolon would end the attribute
    /// (RFC 6265 §5.2), and what stands behind it would be attributes of its own.
    var fitsCookies: Bool { !outer.bytes.contains(UInt8(ascii: ";")) }

    /// The same for the path of a cookie: "/shop" is all below it too, "/shop/" would not be "/shop" itself
    /// (RFC 6265 §5.1.4).
    func writeOutward(cookiePath path: UnsafeBufferPointer<UInt8>, _ writer: inout ByteWriter) -> Bool {
        if path.count == 1, inner.count == 0, outer.count > 0 {
            writer.append(outer.bytes)
            return true
        }
        return writeOutward(path, &writer)
    }

    /// What follows a beginning of whole segments.
    private static func rest(
        of path: UnsafeBufferPointer<UInt8>, after prefix: UnsafeBufferPointer<UInt8>
    ) -> UnsafeBufferPointer<UInt8>? {
        guard let count = PathForm.prefixCount(of: path, prefix) else { return nil }
        let rest = UnsafeBufferPointer(rebasing: path.dropFirst(count))
        guard rest.isEmpty || rest.first == 0x2f || prefix.last == 0x2f else { return nil }
        return rest
    }
}
