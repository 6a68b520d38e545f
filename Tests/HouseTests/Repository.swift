// The repository as text, for the tests of the house.

import Foundation

/// One Swift source under Sources/.
struct Source: Sendable, CustomStringConvertible {
    /// The module, which is the folder.
    let module: String
    /// From the root of the repository ("Sources/HTTP1/Framing.swift").
    let path: String
    let text: String
    /// `text` in lines, comments and string literals blanked out, so that a word in prose is no call.
    let code: [String]

    var description: String { path }
}

enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// A file's text; nil when there is none.
    static func read(_ path: String) -> String? {
        try? String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Paths of all files below a folder that end in one of the given ways, sorted.
    static func files(_ folder: String, ending endings: [String]) -> [String] {
        let base = root.appending(path: folder)
        guard let walk = FileManager.default.enumerator(atPath: base.path()) else { return [] }
        return walk.compactMap { $0 as? String }.filter { name in endings.contains { name.hasSuffix($0) } }
            .map { "\(folder)/\($0)" }.sorted()
    }

    static let sources: [Source] = files("Sources", ending: [".swift"]).compactMap { path in
        guard let text = read(path) else { return nil }
        return Source(
            module: String(path.split(separator: "/")[1]), path: path, text: text, code: code(of: text))
    }

    /// Names of the folders in Sources/.
    static let modules: [String] =
        (try? FileManager.default.contentsOfDirectory(atPath: root.appending(path: "Sources").path()))?
        .sorted() ?? []

    /// Lines without comments and without what stands between quotes. Knows no nested block comments
    /// and no raw strings, of which the sources have none that matter here.
    static func code(of text: String) -> [String] {
        var isMultiline = false
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            if line.contains("\"\"\"") {
                isMultiline.toggle()
                return ""
            }
            if isMultiline { return "" }
            var kept = ""
            var isQuoted = false
            var previous: Character = " "
            for character in line {
                if character == "\"" && previous != "\\" { isQuoted.toggle() }
                if !isQuoted {
                    if character == "/" && previous == "/" {
                        kept.removeLast()
                        break
                    }
                    kept.append(character)
                }
                previous = character
            }
            return kept
        }
    }
}

extension Repository {
    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appending(path: path).standardized.path())
    }
}
