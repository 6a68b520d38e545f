// ARCHITECTURE.md and the documents against the sources they speak of.

import WeirHTTP2
import WeirResilience
import Testing

@Suite("Documents")
struct ArchitectureTests {
    static let page = Repository.read("ARCHITECTURE.md") ?? ""

    /// Rows of the table under a heading, as cells; header and ruler left out.
    static func rows(under heading: String) -> [[String]] {
        let lines = page.split(separator: "\n", omittingEmptySubsequences: false)
        guard let start = lines.firstIndex(where: { $0 == heading }) else { return [] }
        var rows: [[String]] = []
        for line in lines[(start + 1)...] {
            if line.hasPrefix("## ") { break }
            guard line.hasPrefix("|"), !line.hasPrefix("|--") else { continue }
            rows.append(line.split(separator: "|").map { $0.trimmingPrefix { $0 == " " }.description })
        }
        return Array(rows.dropFirst())
    }

    /// What stands between backticks.
    static func quoted(_ cell: String) -> [String] {
        cell.matches(of: /`([^`]+)`/).map { String($0.output.1) }
    }

    @Test("the life of a request has all ten phases, in order")
    func phasesAreComplete() {
        let phases = Self.rows(under: "## The life of a request").compactMap { Self.quoted($0[0]).first }
        #expect(phases == Phase.allCases.map { "\($0.name)" })
    }

    @Test("every file of the table exists and has the functions named beside it")
    func functionsExist() throws {
        let rows = Self.rows(under: "## The life of a request")
        #expect(rows.count == 10)
        for row in rows {
            try #require(row.count >= 3)
            let files = Self.quoted(row[1])
            let functions = Self.quoted(row[2])
            if row[0].contains("handshake") { continue }
            #expect(!files.isEmpty && !functions.isEmpty, "\(row[0])")
            let texts = files.map { Repository.read($0) }
            for (file, text) in zip(files, texts) { #expect(text != nil, "\(file) does not exist") }
            for function in functions {
                let found = texts.contains { $0?.contains("func \(function)(") ?? false }
                #expect(found, "no func \(function)( in \(files)")
            }
        }
    }

    @Test("every path the page names exists")
    func pathsExist() {
        let paths = Self.page.matches(
            of: /`((?:Sources|Tests|Benchmarks|Fuzz|docs|scripts|examples)\/[A-Za-z0-9_+.\/-]*)`/)
        #expect(paths.count > 10)
        for path in paths.map({ String($0.output.1) }) {
            #expect(
                Repository.exists(path), "\(path) is named in ARCHITECTURE.md and does not exist")
        }
    }

    @Test("every module has a row", arguments: Repository.modules)
    func moduleHasARow(module: String) {
        let named = Self.rows(under: "## Floors and modules").flatMap { $0.flatMap(Self.quoted) }
        #expect(named.contains(module), "\(module) has no row in ARCHITECTURE.md")
    }

    // MARK: reasons and violations

    /// The words that stand as headings `### word` in a page.
    static func headings(_ path: String) -> [String] {
        (Repository.read(path) ?? "").matches(of: /(?m)^### ([a-zA-Z0-9-]+)$/).map { String($0.output.1) }
    }

    @Test("every reason has a paragraph, and no other has one")
    func reasonsAreDocumented() {
        let documented = Self.headings("docs/reasons.md")
        let existing = Reason.allCases.filter { $0 != .none }.map { "\($0.name)" }
        #expect(Set(documented).count == documented.count, "a reason is described twice")
        #expect(Set(existing).subtracting(documented).sorted() == [])
        #expect(Set(documented).subtracting(existing).sorted() == [])
    }

    @Test(
        "the status a reason's paragraph gives is the one that is sent",
        arguments: Reason.allCases.filter { $0 != .none })
    func reasonStatusIsRight(reason: Reason) throws {
        let page = try #require(Repository.read("docs/reasons.md"))
        let start = try #require(page.range(of: "\n### \(reason.name)\n"))
        let line = page[start.upperBound...].split(separator: "\n").first.map(String.init) ?? ""
        let status = reason.status == 0 ? "no response" : "\(reason.status)"
        #expect(line.contains("\(reason.side.name)") && line.contains(status), "\(reason.name): \(line)")
    }

    @Test("every violation stands in docs/conformance.md, with its number")
    func violationsAreDocumented() throws {
        let source = try #require(Repository.read("Sources/HTTP1/Violation.swift"))
        let start = try #require(source.range(of: "public enum Violation"))
        let end = try #require(source.range(of: "public var text"))
        // Names in the order of the enum, which counts up from 0.
        let names = source[start.upperBound..<end.lowerBound].split(separator: "\n")
            .filter { $0.trimmingPrefix { $0 == " " }.hasPrefix("case ") }
            .flatMap { $0.trimmingPrefix { $0 == " " }.dropFirst(5).split(separator: ",") }
            .map { String($0.split(separator: "=")[0].split(separator: " ")[0]) }
        #expect(names.first == "none" && names.count > 40)
        let page = try #require(Repository.read("docs/conformance.md"))
        for (number, name) in names.enumerated().dropFirst() {
            #expect(page.contains("| \(number) | `\(name)` |"), "no row \(number) for \(name)")
        }
        let own = HTTP2Violation.allCases.filter { $0 != .none }
        for violation in own {
            let number = Detail(.http2, violation.rawValue).number
            let row = "| \(number) | `\(violation)` | \(violation.text) | \(violation.section) |"
            #expect(page.contains(row), "no row \(row)")
        }
        #expect(page.matches(of: /(?m)^\| [0-9]+ \| `/).count == names.count - 1 + own.count)
        #expect(names.count <= 100, "the numbers of HTTP/2 begin at 101")
    }

    @Test("the pages link to what exists")
    func linksLead() {
        let pages =
            Repository.files("docs", ending: [".md"]) + [
                "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md",
            ]
        for page in pages {
            let text = Repository.read(page) ?? ""
            let folder = page.split(separator: "/").dropLast().joined(separator: "/")
            for match in text.matches(of: /\]\(([^)#: ]+)(#[^)]*)?\)/) {
                let target = String(match.output.1)
                #expect(
                    Repository.exists(folder.isEmpty ? target : "\(folder)/\(target)"),
                    "\(page) links to \(target)")
            }
        }
    }
}
