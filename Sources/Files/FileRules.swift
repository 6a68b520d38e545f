// How a folder is served: the decisions of one `files:` section, compiled.
//
// Immutable and shared by all workers. Opening files, and all about descriptors, is elsewhere.

import WeirHTTPModel

public final class FileRules: Sendable {
    /// Names tried, in order, when a folder is asked for.
    public let index: [[UInt8]]
    /// The file that answers for paths at which there is none, relative to the root.
    public let fallback: [UInt8]?
    /// Whether names that begin with a dot are served.
    public let allowsHidden: Bool
    /// Codings of siblings that are looked for, in order of preference.
    public let precompressed: CodingOrder
    public let cache: [CacheRule]
    public let types: ContentTypes

    public init(
        index: [String], fallback: String?, allowsHidden: Bool, precompressed: [ContentCoding],
        cache: [CacheRule], types: ContentTypes
    ) {
        self.index = index.map { Array($0.utf8) }
        self.fallback = fallback.map { Array($0.utf8) }
        self.allowsHidden = allowsHidden
        self.precompressed = CodingOrder(precompressed)
        self.cache = cache
        self.types = types
    }

    /// Whether the fallback may answer for a path without a file: not for one that plainly names
    /// something else than a page, so that a missing script is a 404 and not a page in its place.
    public func fallsBack(for path: UnsafeBufferPointer<UInt8>) -> Bool {
        guard fallback != nil else { return false }
        guard let type = types.known(path) else { return true }
        return type.starts(with: "text/html".utf8)
    }

    /// The rule for a file, by its path relative to the root.
    public func cacheRule(_ path: UnsafeBufferPointer<UInt8>) -> CacheRule? {
        for rule in cache where rule.matches(path) { return rule }
        return nil
    }
}
