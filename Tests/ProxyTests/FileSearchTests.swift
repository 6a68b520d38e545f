// Candidates of a folder: how they are written, and which of them answers.

import WeirFiles
import Glibc
import WeirHTTPModel
import Reactor
import WeirRouting
import Testing

@testable import Proxy

@Suite("Looking for a file") struct FileSearchTests {
    @Test func candidatesAreReadByTheirForm() throws {
        guard case .path = try FileCandidate.parse("{path}") else { throw Wrong() }
        guard case .folder = try FileCandidate.parse("{path}/") else { throw Wrong() }
        guard case .text(let parts) = try FileCandidate.parse("/a{path}{path}.html") else { throw Wrong() }
        #expect(parts.map(\.source) == ["/a", "", ".html"])
        guard case .text(let plain) = try FileCandidate.parse("/{path.id}") else { throw Wrong() }
        guard case .text(let braces) = try FileCandidate.parse("/{{path}}{{{path}") else { throw Wrong() }
        #expect(braces.map(\.source) == ["/{{path}}{{", ""])
        #expect(plain.map(\.source) == ["/{path.id}"])
    }

    @Test func anErrorStandsAtItsPlace() {
        let error = #expect(throws: PatternError.self) {
            try FileCandidate.parse("/a{path}{request.hots}")
        }
        #expect(error?.position == 9)
    }

    private struct Wrong: Error {}

    /// What is found under `root`, given paths and candidates.
    private func look(
        _ path: String, _ candidates: [String], redirects: Bool = false, fallback: String? = nil
    )
        throws -> String
    {
        var template = Array("/tmp/weir-search-XXXXXX".utf8CString)
        _ = mkdtemp(&template)
        let root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        mkdir(root + "/docs", 0o755)
        mkdir(root + "/empty", 0o755)
        for name in ["a.css", "index.html", "docs/index.html", "docs/x.html"] {
            guard let file = fopen(root + "/" + name, "w") else { throw Wrong() }
            fclose(file)
        }
        symlink("/etc/passwd", root + "/out")
        let rules = FileRules(
            index: ["index.html"], fallback: fallback, allowsHidden: false, precompressed: [], cache: [],
            types: ContentTypes())
        let plan = FilesPlan(
            root: root, links: .inside, rules: rules,
            candidates: try candidates.map { try FileCandidate.parse($0) }
                + (fallback == nil ? [] : [.page]), otherwise: .status(404))
        let tree = plan.openRoot()
        defer { tree.close() }
        var name = [UInt8](repeating: 0, count: FileSearch.nameBytes)
        var text = [UInt8](repeating: 0, count: FileSearch.textBytes)
        return name.withUnsafeMutableBufferPointer { name in
            text.withUnsafeMutableBufferPointer { text in
                Array(path.utf8).withUnsafeBufferPointer { path in
                    guard let nameStart = name.baseAddress, let textStart = text.baseAddress else {
                        return ""
                    }
                    let search = FileSearch(
                        plan, tree, path: path, redirects: redirects, name: nameStart, text: textStart)
                    // Templates without variables: their own text.
                    switch search.run(render: { $1.append(Array($0.source.utf8)) }) {
                    case .found(let file, let count):
                        file.close()
                        return String(
                            decoding: UnsafeBufferPointer(start: nameStart, count: count), as: UTF8.self)
                    case .folder: return "301"
                    case .failed(let error): return "errno \(error)"
                    case .missing: return "missing"
                    }
                }
            }
        }
    }

    @Test(arguments: [
        ("/a.css", "a.css"), ("/", "index.html"), ("/docs/", "docs/index.html"), ("/docs", "301"),
        ("/empty", "missing"), ("/empty/", "missing"), ("/none", "missing"), ("/a.css/", "missing"),
        ("/out", "errno \(EXDEV)"), ("/.git", "missing"), ("//a.css", "missing"), ("/..", "missing"),
    ])
    func theUsualTwo(_ path: String, _ expected: String) throws {
        #expect(try look(path, ["{path}", "{path}/"], redirects: !path.hasSuffix("/")) == expected)
    }

    @Test(arguments: [
        ("/docs", ["{path}"], "missing"), ("/docs/x", ["{path}", "{path}.html"], "docs/x.html"),
        ("/x", ["/docs{path}.html"], "docs/x.html"), ("/x", ["/docs/"], "docs/index.html"),
        ("/x", ["/../etc/passwd", "/a.css"], "a.css"), ("/x", ["/out", "/a.css"], "errno \(EXDEV)"),
        ("/x", ["no-slash", "/a.css"], "a.css"),
    ])
    func others(_ path: String, _ candidates: [String], _ expected: String) throws {
        #expect(try look(path, candidates) == expected)
    }

    @Test(arguments: [
        ("/users/7", "index.html"), ("/app.js", "missing"), ("/.git/config", "missing"), ("/a.css", "a.css"),
    ])
    func aPageForPages(_ path: String, _ expected: String) throws {
        #expect(try look(path, ["{path}", "{path}/"], fallback: "index.html") == expected)
    }
}
