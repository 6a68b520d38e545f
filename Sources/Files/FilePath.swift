// From the path of a URL to the path of a file below a root.
//
// Defends against everything that makes a URL name a file it should not: dot segments in any encoding,
// an encoded slash or backslash, NUL and other control characters, hidden files, empty segments (a
// route for /private/* must not be gone round as //private/). A path is decoded exactly once
// (RFC 3986 §2.4) and refused, never cleaned up: plain dot segments of a request are resolved before
// (HTTPModel/PathForm.swift), those that arrive here are somebody else's. That the path stays below the root when the folder
// holds symbolic links is the opener's doing (Reactor/FileTree.swift); nothing is opened here.

/// URL path → relative file path.
public enum FilePath {
    /// What a path came to.
    public enum Verdict: Equatable, Sendable {
        /// A file, or a folder asked for without its slash: this many bytes, then NUL.
        case file(count: Int)
        /// A folder: this many bytes, the last of them "/" (none at all for the root), then NUL.
        case folder(count: Int)
        case refused(Refusal)
    }

    /// Why a path names no file. Numbers are stable: they stand in logs.
    public enum Refusal: UInt8, Equatable, Sendable, CaseIterable {
        /// Does not begin with a slash.
        case notAbsolute = 1
        /// "%" without two hexadecimal digits.
        case badEscape
        /// NUL or another control character.
        case control
        /// An encoded slash, or a backslash in any form.
        case separator
        /// "." or "..".
        case dotSegment
        /// Two slashes in a row.
        case emptySegment
        /// A name that begins with a dot.
        case hidden
        /// More than fits.
        case tooLong
    }

    /// Longest path with its NUL, PATH_MAX of Linux.
    public static var bytesMax: Int { 4096 }

    /// Decodes and checks a path.
    ///
    /// `/.well-known/` (RFC 8615) is there for everybody and not a hidden folder.
    /// - Parameters:
    ///   - path: in normal form or from a rewrite, without query.
    ///   - allowsHidden: whether names may begin with a dot.
    ///   - out: room for `capacity` bytes; holds the result, NUL-terminated, without a slash before it.
    public static func resolve(
        _ path: UnsafeBufferPointer<UInt8>, allowsHidden: Bool, into out: UnsafeMutablePointer<UInt8>,
        capacity: Int
    ) -> Verdict {
        guard path.first == slash else { return .refused(.notAbsolute) }
        var at = 1
        var written = 0
        var segment = 0
        while at < path.count {
            var byte = path[at]
            at += 1
            if byte == slash {
                if written == segment { return .refused(.emptySegment) }
                if let refusal = check(out, segment, written, allowsHidden) { return .refused(refusal) }
                guard written < capacity - 1 else { return .refused(.tooLong) }
                out[written] = slash
                written += 1
                segment = written
                continue
            }
            if byte == UInt8(ascii: "%") {
                guard at + 1 < path.count, let high = hexadecimal(path[at]),
                    let low = hexadecimal(path[at + 1])
                else { return .refused(.badEscape) }
                byte = high << 4 | low
                at += 2
                if byte == slash { return .refused(.separator) }
            }
            if byte == UInt8(ascii: "\\") { return .refused(.separator) }
            if byte < 0x20 || byte == 0x7f { return .refused(.control) }
            guard written < capacity - 1 else { return .refused(.tooLong) }
            out[written] = byte
            written += 1
        }
        if written > segment, let refusal = check(out, segment, written, allowsHidden) {
            return .refused(refusal)
        }
        guard written < capacity else { return .refused(.tooLong) }
        out[written] = 0
        return written == segment ? .folder(count: written) : .file(count: written)
    }

    private static var slash: UInt8 { UInt8(ascii: "/") }
    private static var dot: UInt8 { UInt8(ascii: ".") }

    /// What is wrong with the segment between two places.
    private static func check(
        _ bytes: UnsafeMutablePointer<UInt8>, _ start: Int, _ end: Int, _ allowsHidden: Bool
    ) -> Refusal? {
        guard bytes[start] == dot else { return nil }
        let count = end - start
        if count == 1 || (count == 2 && bytes[start + 1] == dot) { return .dotSegment }
        if allowsHidden { return nil }
        return start == 0 && isWellKnown(bytes, count) ? nil : .hidden
    }

    private static func isWellKnown(_ bytes: UnsafeMutablePointer<UInt8>, _ count: Int) -> Bool {
        let name: StaticString = ".well-known"
        guard count == name.utf8CodeUnitCount else { return false }
        for i in 0..<count where bytes[i] != name.utf8Start[i] { return false }
        return true
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte &- 0x30
        case 0x41...0x46: byte &- 0x37
        case 0x61...0x66: byte &- 0x57
        default: nil
        }
    }
}
