// Which file answers for a path: the candidates of a folder, tried in order.
//
// One function for the data plane and for `weir explain`, so that what is explained is what is served. Each
// candidate is a path like a client's and goes through the same checks (Files/FilePath.swift); opening stays
// below the root whatever it says (Reactor/FileTree.swift).

import WeirFiles
import Glibc
import WeirHTTPModel
import Reactor
import WeirRouting

/// A place a file is looked for.
public enum FileCandidate: Sendable {
    /// `{path}`: the request's own path, as the route rewrites it.
    case path
    /// `{path}/`: the index of the folder there. A client that left the slash out is sent to it.
    case folder
    /// Any other text: templates, between which the path stands.
    case text([Template])
    /// `fallback: FILE`: one page for all paths that may be pages.
    case page

    public static func parse(_ text: String) throws(PatternError) -> FileCandidate {
        switch text {
        case "{path}": return .path
        case "{path}/": return .folder
        default:
            var templates: [Template] = []
            var start = text.startIndex
            while true {
                let end = range(of: pathMark, in: text, from: start)
                let literal = String(text[start..<(end?.lowerBound ?? text.endIndex)])
                do throws(PatternError) {
                    templates.append(try Template.parse(literal, for: .target))
                } catch {
                    let before = text.utf8.distance(from: text.startIndex, to: start)
                    throw PatternError(at: before + error.position, error.message)
                }
                guard let end else { return .text(templates) }
                start = end.upperBound
            }
        }
    }

    private static let pathMark = "{path}"

    private static func range(of mark: String, in text: String, from start: String.Index) -> Range<
        String.Index
    >? {
        var at = start
        while at < text.endIndex {
            if text[at...].hasPrefix(mark) { return at..<text.index(at, offsetBy: mark.count) }
            // A doubled brace is one of the text.
            at = text.index(at, offsetBy: text[at...].hasPrefix("{{") ? 2 : 1)
        }
        return nil
    }
}

/// A look for the file of one request.
public struct FileSearch {
    public enum Result {
        /// Open, and its path in `name`: so many bytes, then NUL.
        case found(OpenFile, count: Int)
        /// A folder, asked for without its slash.
        case folder
        /// There is something that may not be served, or could not be opened: errno.
        case failed(Int32)
        case missing
    }

    /// Room the caller gives: the path that is opened, an index or suffix behind it.
    public static let nameBytes = 8 << 10
    /// Room for a candidate's text.
    public static let textBytes = 16 << 10

    let plan: FilesPlan
    let tree: FileTree
    let name: UnsafeMutablePointer<UInt8>
    let text: UnsafeMutablePointer<UInt8>
    /// The path asked for, after the route's rewrite.
    let path: UnsafeBufferPointer<UInt8>
    /// A folder that the path leads to is to be asked for with its slash.
    let redirects: Bool

    public init(
        _ plan: FilesPlan, _ tree: FileTree, path: UnsafeBufferPointer<UInt8>, redirects: Bool,
        name: UnsafeMutablePointer<UInt8>, text: UnsafeMutablePointer<UInt8>
    ) {
        self.plan = plan
        self.tree = tree
        self.path = path
        self.redirects = redirects
        self.name = name
        self.text = text
    }

    /// The first candidate there is a file at.
    public func run(render: (Template, inout ByteWriter) -> Void) -> Result {
        for candidate in plan.candidates {
            let result = look(at: candidate, render: render)
            if case .missing = result { continue }
            return result
        }
        return .missing
    }

    /// What one candidate comes to.
    public func look(at candidate: FileCandidate, render: (Template, inout ByteWriter) -> Void) -> Result {
        switch candidate {
        case .path: return look(path, isFolder: false, redirects: redirects)
        case .folder: return look(path, isFolder: true, redirects: redirects)
        case .text(let templates):
            var writer = ByteWriter(text, capacity: Self.textBytes)
            for (i, template) in templates.enumerated() {
                if i > 0 { writer.append(path) }
                render(template, &writer)
            }
            if writer.overflowed { return .missing }
            return look(
                UnsafeBufferPointer(start: UnsafePointer(text), count: writer.count), isFolder: false,
                redirects: false)
        case .page: return page()
        }
    }

    private func look(_ path: UnsafeBufferPointer<UInt8>, isFolder: Bool, redirects: Bool) -> Result {
        switch resolve(path) {
        case .refused: return .missing
        case .file(let count):
            if isFolder {
                name[count] = UInt8(ascii: "/")
                return index(count + 1, redirects: redirects)
            }
            name[count] = 0
            return open(count)
        case .folder(let count):
            // The path can end in a slash that the client's does not have: a rewrite turned "/docs" into "/".
            return index(count, redirects: redirects)
        }
    }

    private func resolve(_ path: UnsafeBufferPointer<UInt8>) -> FilePath.Verdict {
        FilePath.resolve(
            path, allowsHidden: plan.rules.allowsHidden, into: name, capacity: FilePath.bytesMax)
    }

    /// The index of a folder whose path, with its slash, is in `name`.
    private func index(_ count: Int, redirects: Bool) -> Result {
        for index in plan.rules.index {
            let full = count + index.count
            (name + count).update(from: index, count: index.count)
            name[full] = 0
            let result = open(full)
            if case .missing = result { continue }
            guard redirects, case .found(let file, _) = result else { return result }
            file.close()
            return .folder
        }
        return .missing
    }

    private func page() -> Result {
        let count: Int
        switch resolve(path) {
        case .refused: return .missing
        case .file(let bytes), .folder(let bytes): count = bytes
        }
        guard let fallback = plan.rules.fallback,
            plan.rules.fallsBack(for: UnsafeBufferPointer(start: UnsafePointer(name), count: count))
        else { return .missing }
        name.update(from: fallback, count: fallback.count)
        name[fallback.count] = 0
        return open(fallback.count)
    }

    /// Opens what `name` says; only a file counts.
    private func open(_ count: Int) -> Result {
        switch tree.open(name, links: plan.links) {
        case .success(let file):
            if file.kind == .file { return .found(file, count: count) }
            file.close()
            return .missing
        case .failure(let error):
            switch error.code {
            case ENOENT, ENOTDIR, ENAMETOOLONG, ENXIO: return .missing
            default: return .failed(error.code)
            }
        }
    }
}
