// A service that answers from a folder: what its requests need of the configuration, and the folder as
// each worker has it open.
//
// The folder is opened by its path again every second of use, so that a symbolic link that is switched
// to a new release takes effect without a reload; in between, opening a file costs no walk to it.

import WeirFiles
import WeirHTTPModel
import Reactor

/// The `files:` section of a service, compiled. Immutable.
public final class FilesPlan: Sendable {
    public let rules: FileRules
    /// Where symbolic links may lead.
    public let links: FileTree.Links
    /// Where a file is looked for, in order.
    public let candidates: [FileCandidate]
    /// Who answers when there is none.
    public let otherwise: Otherwise

    public enum Otherwise: Sendable {
        case status(UInt16)
        /// That of the route's `RouteAction.files`.
        case service
    }

    /// The root as configured.
    public let root: String
    /// The same for system calls, NUL-terminated.
    private let path: StaticBytes

    public init(
        root: String, links: FileTree.Links, rules: FileRules,
        candidates: [FileCandidate], otherwise: Otherwise
    ) {
        self.candidates = candidates
        self.otherwise = otherwise
        self.root = root
        self.links = links
        self.rules = rules
        path = StaticBytes(Array(root.utf8) + [0])
    }

    public func openRoot() -> FileTree {
        path.base.withMemoryRebound(to: CChar.self, capacity: path.count) { FileTree(folder: $0) }
    }
}

/// A service's root as one worker has it open.
struct FileRoot {
    private var tree = FileTree.none
    private var plan: FilesPlan?
    private var openedMs: UInt64 = 0
    private static let keptMs: UInt64 = 1_000

    /// The root, opened afresh when it is due; -errno in `fd` when it cannot be had.
    mutating func open(_ wanted: FilesPlan, nowMs: UInt64) -> FileTree {
        if plan === wanted, tree.fd >= 0, nowMs &- openedMs < Self.keptMs { return tree }
        forget()
        tree = wanted.openRoot()
        plan = wanted
        openedMs = nowMs
        return tree
    }

    /// Closes the root, for a service that is gone.
    mutating func forget() {
        if tree.fd >= 0 { tree.close() }
        tree = .none
        plan = nil
    }
}
