// `cookies`: what an endpoint says about its cookies, as the client is to hear it.
//
// One Set-Cookie line at a time; lines are never joined (RFC 9110 §5.3). A line is read as browsers read it
// (RFC 6265 §5.2): the pair ends at the first semicolon, whatever quotes there are; attributes are told apart by
// name in any case; unknown ones stay in their place, and everything that is not changed stays byte for byte.
//
// Browsers refuse what contradicts itself (RFC 6265bis §4.1.3, §5.7), and a rule makes no such cookie out of a
// good one: "__Host-" has no Domain, Path=/ and Secure, "__Secure-" and "__Http-" have Secure, and so have cookies
// with SameSite=None or Partitioned.

import WeirHTTPModel

/// How cookies of a route's endpoints change. Immutable.
public struct CookieRule: Sendable {
    public enum Domain: Sendable {
        /// It is taken out: the cookie is for the host the client asked.
        case remove
        /// One domain takes the place of another.
        case replace(StaticBytes, with: StaticBytes)
    }
    public enum SameSite: String, Sendable, CaseIterable {
        case strict, lax, none

        fileprivate var text: StaticString {
            switch self {
            case .strict: "Strict"
            case .lax: "Lax"
            case .none: "None"
            }
        }
    }

    // Nil: as the endpoint has it.
    private let path: PathPrefix?
    private let domain: Domain?
    private let secure: Bool?
    private let sameSite: SameSite?
    private let httpOnly: Bool

    /// - Parameter path: exchanges beginnings of paths, outward; one that cookies cannot have exchanges nothing.
    /// - Parameter sameSite: `none` makes all cookies Secure as well.
    /// - Parameter httpOnly: makes all cookies HttpOnly.
    public init(path: PathPrefix?, domain: Domain?, secure: Bool?, sameSite: SameSite?, httpOnly: Bool) {
        self.path = path.flatMap { $0.fitsCookies ? $0 : nil }
        self.domain = domain
        self.secure = secure ?? (sameSite == SameSite.none ? true : nil)
        self.sameSite = sameSite
        self.httpOnly = httpOnly
    }

    /// Whether the lines of a field are cookies.
    public static func governs(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        equals(name, count, lowercase: "set-cookie")
    }

    /// Writes the value of one Set-Cookie line as the client is to have it.
    public func write(_ value: UnsafeBufferPointer<UInt8>, into writer: inout ByteWriter) {
        let facts = Facts(value)
        let crossesSites = sameSite.map { $0 == .none } ?? facts.crossesSites
        let isSecure = facts.isSecureByName || facts.isPartitioned || crossesSites
        var pieces = Pieces(value)
        if let pair = pieces.next() { writer.append(pair.bytes(0..<pair.count)) }
        while let piece = pieces.next() {
            switch Attribute(piece) {
            case .secure where secure == false && !isSecure: continue
            case .domain where domain != nil && !facts.isOfHost:
                writeDomain(piece, &writer)
                continue
            case .path where path != nil && !facts.isOfHost:
                writePath(piece, &writer)
                continue
            case .sameSite where sameSite != nil:
                writer.append(";")
                writer.append(piece.bytes(0..<piece.name.upperBound))
                writer.append("=")
                if let sameSite { writer.append(sameSite.text) }
                continue
            default: break
            }
            writer.append(";")
            writer.append(piece.bytes(0..<piece.count))
        }
        if secure == true, !facts.hasSecure { writer.append("; Secure") }
        if httpOnly, !facts.hasHTTPOnly { writer.append("; HttpOnly") }
        if let sameSite, !facts.hasSameSite {
            writer.append("; SameSite=")
            writer.append(sameSite.text)
        }
    }

    private func writeDomain(_ piece: Piece, _ writer: inout ByteWriter) {
        guard case .replace(let from, let to)? = domain else { return }
        var domain = piece.bytes(piece.value)
        // A leading dot says nothing (RFC 6265 §5.2.3).
        if domain.first == UInt8(ascii: ".") { domain = UnsafeBufferPointer(rebasing: domain.dropFirst()) }
        let isMeant =
            domain.baseAddress.map { equalIgnoringASCIICase($0, domain.count, from.base, from.count) }
            ?? false
        writer.append(";")
        guard isMeant else {
            writer.append(piece.bytes(0..<piece.count))
            return
        }
        writer.append(piece.bytes(0..<piece.value.lowerBound))
        writer.append(to.bytes)
        writer.append(piece.bytes(piece.value.upperBound..<piece.count))
    }

    private func writePath(_ piece: Piece, _ writer: inout ByteWriter) {
        writer.append(";")
        writer.append(piece.bytes(0..<piece.value.lowerBound))
        // One that is no path stands for the request's own (RFC 6265 §5.2.4).
        let path = piece.bytes(piece.value)
        if path.first != 0x2f || self.path?.writeOutward(cookiePath: path, &writer) != true {
            writer.append(path)
        }
        writer.append(piece.bytes(piece.value.upperBound..<piece.count))
    }
}

/// What has to be known of a cookie before it is written.
private struct Facts {
    var hasSecure = false
    var hasHTTPOnly = false
    var hasSameSite = false
    var crossesSites = false
    var isPartitioned = false
    /// The name begins with "__Host-".
    var isOfHost = false
    /// The name says that it is Secure.
    var isSecureByName = false

    init(_ value: UnsafeBufferPointer<UInt8>) {
        var pieces = Pieces(value)
        if let pair = pieces.next() {
            isOfHost = pair.nameBegins(with: "__host-")
            isSecureByName =
                isOfHost || pair.nameBegins(with: "__secure-") || pair.nameBegins(with: "__http-")
        }
        while let piece = pieces.next() {
            switch Attribute(piece) {
            case .secure: hasSecure = true
            case .httpOnly: hasHTTPOnly = true
            case .partitioned: isPartitioned = true
            case .sameSite:
                hasSameSite = true
                // The last one counts (RFC 6265 §5.3).
                let value = piece.bytes(piece.value)
                crossesSites = value.baseAddress.map { equals($0, value.count, lowercase: "none") } ?? false
            case .domain, .path, .other: break
            }
        }
    }
}

private enum Attribute {
    case path, domain, secure, httpOnly, sameSite, partitioned, other

    init(_ piece: Piece) {
        let name = piece.bytes(piece.name)
        guard let base = name.baseAddress else {
            self = .other
            return
        }
        switch name.count {
        case 4 where equals(base, 4, lowercase: "path"): self = .path
        case 6 where equals(base, 6, lowercase: "domain"): self = .domain
        case 6 where equals(base, 6, lowercase: "secure"): self = .secure
        case 8 where equals(base, 8, lowercase: "httponly"): self = .httpOnly
        case 8 where equals(base, 8, lowercase: "samesite"): self = .sameSite
        case 11 where equals(base, 11, lowercase: "partitioned"): self = .partitioned
        default: self = .other
        }
    }
}

/// What stands between two semicolons.
private struct Piece {
    let start: UnsafePointer<UInt8>
    let count: Int
    /// Where name and value stand, without blanks around them.
    let name: Range<Int>
    let value: Range<Int>

    init(_ start: UnsafePointer<UInt8>, _ count: Int) {
        self.start = start
        self.count = count
        var mark = 0
        while mark < count, start[mark] != UInt8(ascii: "=") { mark += 1 }
        func trimmed(_ range: Range<Int>) -> Range<Int> {
            var from = range.lowerBound
            var to = range.upperBound
            while from < to, start[from] == 0x20 || start[from] == 0x09 { from += 1 }
            while to > from, start[to - 1] == 0x20 || start[to - 1] == 0x09 { to -= 1 }
            return from..<to
        }
        name = trimmed(0..<mark)
        value = trimmed(min(mark + 1, count)..<count)
    }

    func bytes(_ range: Range<Int>) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: start + range.lowerBound, count: range.count)
    }

    /// Browsers compare prefixes of names in any case (RFC 6265bis §5.7).
    func nameBegins(with prefix: StaticString) -> Bool {
        name.count >= prefix.utf8CodeUnitCount
            && equals(start + name.lowerBound, prefix.utf8CodeUnitCount, lowercase: prefix)
    }
}

/// The pair and the attributes of a cookie, in order.
private struct Pieces {
    private var rest: UnsafeBufferPointer<UInt8>?

    init(_ value: UnsafeBufferPointer<UInt8>) { rest = value }

    mutating func next() -> Piece? {
        guard let text = rest, let start = text.baseAddress else { return nil }
        var end = 0
        while end < text.count, start[end] != UInt8(ascii: ";") { end += 1 }
        rest =
            end < text.count
            ? UnsafeBufferPointer(start: start + end + 1, count: text.count - end - 1) : nil
        return Piece(start, end)
    }
}
