// Which host a URL leads to must not be up to the client: an open redirect lends a site's name to others.
//
//   https://www.example.com{request.path}     the host is written; the path begins with a slash
//   https://{request.host}{request.uri}       the host the client asked, which it chose anyway
//   https://{path.shop}.example.com/          a client chooses, but always something below example.com
//   {request.path}/                           a path; two slashes at its start are kept from naming a host
//   https://www.example.com{path.rest}        an error: with ".evil.example" it would be another host
//   {query.next}                              an error: it may be a whole URL

extension Template {
    /// Finds where a client could decide on the host, and marks the variables that stand in one.
    ///
    /// - Returns: whether the URL begins with a path.
    static func checkHost(of pieces: inout [Piece], _ bytes: [UInt8]) throws(PatternError) -> Bool {
        func text(_ piece: Piece) -> ArraySlice<UInt8> {
            bytes[Int(piece.text.offset)..<Int(piece.text.end)]
        }
        guard let first = pieces.first else { return false }
        var at: Int
        // What of a literal is behind the slashes that begin the authority.
        var rest: ArraySlice<UInt8>
        switch first.variable {
        case .path?, .uri?:
            return true
        case .markedQuery?:
            return false
        case .scheme?:
            guard pieces.count > 1, pieces[1].variable == nil, text(pieces[1]).starts(with: "://".utf8) else {
                throw PatternError(at: first.position, "expected \"://\" behind {request.scheme}")
            }
            at = 1
            rest = text(pieces[1]).dropFirst(3)
        case nil:
            let literal = text(first)
            if literal.starts(with: "//".utf8) {
                rest = literal.dropFirst(2)
            } else {
                guard let stop = literal.firstIndex(where: { ":/?#".utf8.contains($0) }) else {
                    if pieces.count == 1 { return false }
                    throw freedom(pieces[1], "expected '/', or a scheme and a host, before it")
                }
                if literal[stop] != UInt8(ascii: ":") { return literal.first == UInt8(ascii: "/") }
                guard literal[stop...].starts(with: "://".utf8) else {
                    if pieces.count == 1 { return false }
                    throw freedom(pieces[1], "expected \"://\" and a host behind the scheme")
                }
                rest = literal[stop...].dropFirst(3)
            }
            at = 0
        default:
            throw freedom(first, "expected '/', or a scheme and a host, before it")
        }
        // The authority: to the first slash, question mark or number sign.
        while true {
            if rest.contains(where: { "/?#\\".utf8.contains($0) }) { return false }
            at += 1
            guard at < pieces.count else { return false }
            guard let variable = pieces[at].variable else {
                rest = text(pieces[at])
                continue
            }
            rest = []
            if variable == .path || variable == .uri { return false }
            guard variable.isFree else { continue }
            // What it says must be below a name that is written behind it.
            let next = at + 1 < pieces.count && pieces[at + 1].variable == nil ? text(pieces[at + 1]) : []
            let name = next.prefix { !"/?#\\:".utf8.contains($0) }
            guard name.first == UInt8(ascii: "."), name.count > 1 else {
                throw freedom(pieces[at], "expected '/' before it, or the rest of the host behind it")
            }
            pieces[at].form = .host
        }
    }

    private static func freedom(_ piece: Piece, _ expectation: String) -> PatternError {
        PatternError(
            at: piece.position,
            "a client could turn this URL to another host by what it sends; \(expectation)")
    }
}
