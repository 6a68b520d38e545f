// The access log.

public struct AccessLog: Sendable, Equatable {
    public enum Destination: Sendable, Hashable {
        case stdout, stderr
        case file(String)
    }
    public enum Format: String, Sendable, CaseIterable {
        case json, text
    }
    public var destination = Destination.stdout
    public var format = Format.json
    /// Which records are written; nil: all.
    public var when: Text?
    public var origin = Origin.none

    public init() {}
}

extension AccessLog {
    static let section = Section(
        "access-log",
        { node in
            var log = AccessLog()
            log.origin = node.origin
            return log
        }
    ) {
        Key(
            "path", LogPath(), \.destination, origin: \AccessLog.origin,
            "Where the lines go. Files are appended to.",
            example: "path: /var/log/weir/access.log")
        Key(
            "format", Choice(), \.format,
            "One JSON object, or one line of text, per request.",
            example: "format: text")
        Key(
            "when", ConditionText(known: .end), \.when, default: "always",
            "Which records are written: a condition in the language of [expressions](expressions.md).",
            example: "when: response.status >= 400 || request.duration > 1s")
    }
}

/// `stdout`, `stderr` or a file.
private struct LogPath: ScalarForm {
    typealias Value = AccessLog.Destination

    let syntax = "stdout | stderr | FILE"
    let expectation = "stdout, stderr or the path of a file"
    var schema: [JSONMember] { SchemaText.pattern("^(stdout|stderr|.*[/.].*)$") }

    func parse(_ scalar: Scalar) throws(ValueProblem) -> AccessLog.Destination {
        switch scalar.value {
        case "stdout": return .stdout
        case "stderr": return .stderr
        case let path where path.hasPrefix("/") && !path.utf8.contains(0): return .file(path)
        case let text:
            throw ValueProblem(
                message: "\"\(text.clipped(60))\" is not a place for a log",
                expectation: "expected \(expectation)",
                suggestion: Suggestion.nearest(to: text, in: ["stdout", "stderr"]))
        }
    }

    func print(_ value: AccessLog.Destination) -> Node? {
        switch value {
        case .stdout: .plain("stdout")
        case .stderr: .plain("stderr")
        case .file(let path): .text(Text(path))
        }
    }

    func located(_ text: String, _ surroundings: Surroundings, besidesWords: Bool) -> String? {
        text.isEmpty || Surroundings.isBare(text) ? nil : surroundings.path(text)
    }
}
