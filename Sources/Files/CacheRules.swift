// Which Cache-Control a file gets, by patterns of its path.
//
// Patterns know one sign, "*": any run of bytes, slashes included. One that begins with a slash is
// compared with the whole path below the root, any other with the name of the file. The first that
// matches decides. Compared with the path of the file that is served, so "*.html" is also for "/" when
// that is answered with index.html.

/// A pattern for paths of files.
public struct FilePattern: Equatable, Sendable {
    private let bytes: [UInt8]
    private let isAnchored: Bool

    public init(_ text: String) {
        isAnchored = text.hasPrefix("/")
        bytes = Array(isAnchored ? text.utf8.dropFirst() : text.utf8[...])
    }

    /// - Parameter path: relative to the root, without a slash before it.
    public func matches(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
        var start = 0
        if !isAnchored {
            for i in 0..<path.count where path[i] == UInt8(ascii: "/") { start = i + 1 }
        }
        return bytes.withUnsafeBufferPointer { Self.glob($0, UnsafeBufferPointer(rebasing: path[start...])) }
    }

    /// Going back to the last star only: never more than pattern × text steps.
    private static func glob(
        _ pattern: UnsafeBufferPointer<UInt8>, _ text: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        var at = 0
        var p = 0
        var star = -1
        var mark = 0
        while at < text.count {
            if p < pattern.count, pattern[p] == UInt8(ascii: "*") {
                star = p
                mark = at
                p += 1
            } else if p < pattern.count, pattern[p] == text[at] {
                p += 1
                at += 1
            } else if star >= 0 {
                p = star + 1
                mark += 1
                at = mark
            } else {
                return false
            }
        }
        while p < pattern.count, pattern[p] == UInt8(ascii: "*") { p += 1 }
        return p == pattern.count
    }
}

/// What caches are told about the files a pattern is for.
public struct CacheRule: Sendable {
    public let patterns: [FilePattern]
    /// The Cache-Control field's value.
    public let control: [UInt8]
    /// Seconds from now of the Expires field; nil: no such field.
    public let expiresSeconds: Int64?

    /// - Parameter control: the value of the field as it is sent.
    public init(patterns: [FilePattern], control: String) {
        self.patterns = patterns
        self.control = Array(control.utf8)
        expiresSeconds = nil
    }

    /// Fresh for so long: `max-age`, and Expires for caches that know only that.
    public init(patterns: [FilePattern], expiresSeconds: Int64) {
        self.patterns = patterns
        control = Array("max-age=\(expiresSeconds)".utf8)
        self.expiresSeconds = expiresSeconds
    }

    public func matches(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
        for pattern in patterns where pattern.matches(path) { return true }
        return false
    }
}
