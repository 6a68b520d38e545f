// The request target in its four forms (RFC 9112 §3.2).
//
// Defends against targets that two readers would resolve to different resources: dot segments that are
// not spelled as such (percent-encoded dots, an encoded slash beside them, "..;" which some servers treat as
// one), that climb above the root or stand beside an empty segment, an encoded NUL, broken percent-encoding
// in the path, backslashes in the path, raw bytes outside ASCII: these are refused. What is left in a path
// that is not plain is noted in its traits, for the normal form (HTTPModel/PathForm.swift) and for the
// router, which knows whether the readings differ. The bytes that are allowed are listed in ByteClass.swift.

import WeirHTTPModel

/// Reads a request target that must be followed by one space.
struct TargetReader {
    let bytes: UnsafePointer<UInt8>
    /// One past the last byte that may be looked at: of the input, or of the longest target allowed.
    let end: Int
    /// What to answer when `end` is reached.
    let atEnd: HeadStop
    /// `HeadLimits.refusesAmbiguousPaths`
    let refusesAmbiguous: Bool

    /// Reads the target at `cursor` into `head` and leaves the cursor at the space behind it.
    ///
    /// - Returns: the authority in the target, if the form has one, with its port; for absolute-form
    ///   a missing port is the scheme's.
    @inline(__always)
    func read(_ cursor: inout Int, into head: inout RequestHead) throws(HeadStop) -> Authority? {
        let start = cursor
        guard start < end else { throw atEnd }
        var authority: Authority?
        if bytes[start] == UInt8(ascii: "/"), head.method != .connect {
            head.targetForm = .origin
            cursor = try readPathAndQuery(start, into: &head)
        } else {
            authority = try readRareForm(&cursor, into: &head)
        }
        head.target = ByteRange(start, cursor &- start)
        return authority
    }

    /// Reads from the slash that begins a path to the space behind the target.
    @inline(__always)
    private func readPathAndQuery(_ start: Int, into head: inout RequestHead) throws(HeadStop) -> Int {
        var at = start &+ 1
        var segment = at
        var traits: PathTraits = []
        while true {
            while at < end, ByteClass.contains(bytes[at], ByteClass.path) { at &+= 1 }
            guard at < end else { throw atEnd }
            let byte = bytes[at]
            if byte == UInt8(ascii: "%") {
                try checkPercent(at)
                traits.insert(.escapes)
                if isEncodedSeparator(at) {
                    // Endpoints that decode before they resolve see a separator here.
                    if at > segment, isDotSegment(segment, at) { throw .malformed(.dotSegment, segment) }
                    if refusesAmbiguous { throw .malformed(.pathAmbiguous, at) }
                    traits.insert(.encodedSeparators)
                    segment = at &+ 3
                }
                at &+= 3
                continue
            }
            if at > segment {
                if bytes[segment] == UInt8(ascii: ".") || bytes[segment] == UInt8(ascii: "%"),
                    isDotSegment(segment, at)
                {
                    try acceptDotSegment(segment, at)
                    traits.insert(.dotSegments)
                }
            } else if byte == UInt8(ascii: "/") {
                if refusesAmbiguous { throw .malformed(.pathAmbiguous, at) }
                traits.insert(.emptySegments)
            }
            guard byte == UInt8(ascii: "/") else { break }
            at &+= 1
            segment = at
        }
        if traits.contains(.dotSegments) { try checkDotSegments(start, at, traits) }
        head.path = ByteRange(start, at &- start)
        head.pathTraits = traits
        if bytes[at] == UInt8(ascii: "?") { return try readQuery(at, into: &head) }
        if bytes[at] != UInt8(ascii: " ") { throw unexpected(at) }
        return at
    }

    /// Lets a dot segment pass that is spelled as one: "." or ".." between slashes.
    @inline(never)
    private func acceptDotSegment(_ start: Int, _ segmentEnd: Int) throws(HeadStop) {
        let isPlain =
            segmentEnd &- start <= 2 && bytes[segmentEnd &- 1] == UInt8(ascii: ".")
            && bytes[start &- 1] == UInt8(ascii: "/")
        if !isPlain || refusesAmbiguous { throw .malformed(.dotSegment, start) }
    }

    /// Refuses dot segments that servers resolve differently: those that climb above the root, and ".."
    /// in a path with an empty segment, which it takes away here and elsewhere has been merged before.
    @inline(never)
    private func checkDotSegments(_ start: Int, _ pathEnd: Int, _ traits: PathTraits) throws(HeadStop) {
        var depth = 0
        var segment = start &+ 1
        while segment <= pathEnd {
            var at = segment
            while at < pathEnd, bytes[at] != UInt8(ascii: "/") { at &+= 1 }
            if bytes[segment] != UInt8(ascii: ".") || !isDotSegment(segment, at) {
                depth &+= 1
            } else if at &- segment == 2 {
                if traits.contains(.emptySegments) { throw .malformed(.pathAmbiguous, segment) }
                depth &-= 1
                if depth < 0 { throw .malformed(.pathAboveRoot, segment) }
            }
            segment = at &+ 1
        }
    }

    /// Whether the escape at this place stands for "/" or "\\".
    private func isEncodedSeparator(_ at: Int) -> Bool {
        let high = bytes[at &+ 1]
        let low = bytes[at &+ 2] | 0x20
        return high == UInt8(ascii: "2") && low == UInt8(ascii: "f")
            || high == UInt8(ascii: "5") && low == UInt8(ascii: "c")
    }

    /// Reads from the question mark to the space behind the target.
    @inline(__always)
    private func readQuery(_ mark: Int, into head: inout RequestHead) throws(HeadStop) -> Int {
        var at = mark &+ 1
        while at < end, ByteClass.contains(bytes[at], ByteClass.query) { at &+= 1 }
        guard at < end else { throw atEnd }
        if bytes[at] != UInt8(ascii: " ") { throw unexpected(at) }
        head.hasQuery = true
        head.query = ByteRange(mark &+ 1, at &- mark &- 1)
        return at
    }

    @inline(never)
    private func readRareForm(
        _ cursor: inout Int, into head: inout RequestHead
    ) throws(HeadStop) -> Authority? {
        if head.method == .connect { return try readAuthorityForm(&cursor, into: &head) }
        let first = bytes[cursor]
        if first == UInt8(ascii: "*") {
            if head.method != .options { throw .malformed(.asteriskNotOptions, cursor) }
            guard cursor &+ 1 < end else { throw atEnd }
            if bytes[cursor &+ 1] != UInt8(ascii: " ") { throw unexpected(cursor &+ 1) }
            head.targetForm = .asterisk
            cursor &+= 1
            return nil
        }
        return try readAbsoluteForm(&cursor, into: &head)
    }

    private func readAuthorityForm(
        _ cursor: inout Int, into head: inout RequestHead
    ) throws(HeadStop) -> Authority {
        let authorityEnd = try endOfAuthority(cursor)
        if authorityEnd == cursor { throw unexpected(cursor, otherwise: .connectTargetNotAuthority) }
        let authority = try Authority(
            bytes, cursor, authorityEnd, violation: .connectTargetNotAuthority)
        if bytes[authorityEnd] != UInt8(ascii: " ") {
            throw unexpected(authorityEnd, otherwise: .connectTargetNotAuthority)
        }
        if authority.port < 1 || authority.host.isEmpty {
            throw .malformed(.connectTargetNotAuthority, cursor)
        }
        head.targetForm = .authority
        head.authority = ByteRange(cursor, authorityEnd &- cursor)
        head.host = authority.host
        cursor = authorityEnd
        return authority
    }

    private func readAbsoluteForm(
        _ cursor: inout Int, into head: inout RequestHead
    ) throws(HeadStop) -> Authority {
        let start = cursor
        var at = start
        while at < end, isSchemeByte(bytes[at], isFirst: at == start) { at &+= 1 }
        guard at < end else { throw atEnd }
        if at == start { throw unexpected(start, otherwise: .targetFormUnknown) }
        let schemeCount = at &- start
        try expect(UInt8(ascii: ":"), at)
        try expect(UInt8(ascii: "/"), at &+ 1)
        try expect(UInt8(ascii: "/"), at &+ 2)
        let isHTTP = equals(bytes + start, schemeCount, lowercase: "http")
        if !isHTTP, !equals(bytes + start, schemeCount, lowercase: "https") {
            throw .malformed(.schemeUnsupported, start)
        }
        at &+= 3
        let authorityEnd = try endOfAuthority(at)
        var authority = try Authority(bytes, at, authorityEnd, violation: .targetAuthorityInvalid)
        if authority.host.isEmpty { throw .malformed(.targetAuthorityInvalid, at) }
        if authority.port < 0 { authority.port = isHTTP ? 80 : 443 }
        head.targetForm = .absolute
        head.authority = ByteRange(at, authorityEnd &- at)
        head.host = authority.host
        switch bytes[authorityEnd] {
        case UInt8(ascii: "/"): cursor = try readPathAndQuery(authorityEnd, into: &head)
        case UInt8(ascii: "?"): cursor = try readQuery(authorityEnd, into: &head)
        case UInt8(ascii: " "): cursor = authorityEnd
        default: throw unexpected(authorityEnd)
        }
        return authority
    }

    private func expect(_ byte: UInt8, _ at: Int) throws(HeadStop) {
        guard at < end else { throw atEnd }
        if bytes[at] != byte { throw unexpected(at, otherwise: .targetFormUnknown) }
    }

    /// RFC 3986 §3.1.
    private func isSchemeByte(_ byte: UInt8, isFirst: Bool) -> Bool {
        if asciiLowercased(byte) &- UInt8(ascii: "a") < 26 { return true }
        if isFirst { return false }
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            return true
        default:
            return false
        }
    }

    /// The offset of the byte that ends the authority at `start`, which is a delimiter or a byte that
    /// no target has. User information is refused on the way: it is for showing one host and going to
    /// another.
    private func endOfAuthority(_ start: Int) throws(HeadStop) -> Int {
        var at = start
        while at < end {
            switch bytes[at] {
            case UInt8(ascii: "@"):
                throw .malformed(.userinfoInTarget, at)
            case 0...0x20, UInt8(ascii: "/"), UInt8(ascii: "?"), UInt8(ascii: "#"), 0x7F...0xFF:
                return at
            default:
                at &+= 1
            }
        }
        throw atEnd
    }

    /// Whether the segment `start..<segmentEnd` is "." or "..", with dots plain or percent-encoded,
    /// and parameters (";…") left aside: some servers take "..;" for "..".
    @inline(never)
    private func isDotSegment(_ start: Int, _ segmentEnd: Int) -> Bool {
        var at = start
        var dots = 0
        while at < segmentEnd, bytes[at] != UInt8(ascii: ";") {
            if bytes[at] == UInt8(ascii: ".") {
                at &+= 1
            } else if at &+ 2 < segmentEnd, bytes[at] == UInt8(ascii: "%"),
                bytes[at &+ 1] == UInt8(ascii: "2"), asciiLowercased(bytes[at &+ 2]) == UInt8(ascii: "e")
            {
                at &+= 3
            } else {
                return false
            }
            dots &+= 1
        }
        return dots == 1 || dots == 2
    }

    /// Checks the percent-encoded byte at `at`, which holds the percent sign.
    @inline(__always)
    private func checkPercent(_ at: Int) throws(HeadStop) {
        for next in at &+ 1...at &+ 2 {
            guard next < end else { throw atEnd }
            if !ByteClass.contains(bytes[next], ByteClass.hexadecimal) {
                throw .malformed(.percentEncodingInvalid, at)
            }
        }
        if bytes[at &+ 1] == UInt8(ascii: "0"), bytes[at &+ 2] == UInt8(ascii: "0") {
            throw .malformed(.encodedNUL, at)
        }
    }

    /// Why the byte at `at` cannot stand in a target.
    @inline(never)
    private func unexpected(_ at: Int, otherwise: Violation = .targetByteInvalid) -> HeadStop {
        switch bytes[at] {
        case UInt8(ascii: "#"): return .malformed(.targetFragment, at)
        case UInt8(ascii: "\r"):
            // "GET /" and nothing else is HTTP/0.9.
            guard at &+ 1 < end else { return atEnd }
            return .malformed(bytes[at &+ 1] == UInt8(ascii: "\n") ? .versionMissing : .bareCR, at)
        case UInt8(ascii: "\n"): return .malformed(.bareLF, at)
        case UInt8(ascii: "\t"): return .malformed(.requestLineWhitespace, at)
        default: return .malformed(otherwise, at)
        }
    }
}
