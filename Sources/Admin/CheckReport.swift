// What `weir check` found, as a value, with its text and its JSON.

import Configuration
import WeirJSON

/// Everything wrong or suspicious in one file.
public struct CheckReport: Sendable, Equatable {
    public var file: String
    /// Errors and warnings, in the order found.
    public var problems: [ConfigurationError]

    public init(file: String, problems: [ConfigurationError]) {
        self.file = file
        self.problems = problems
    }

    public var errorCount: Int { problems.count { $0.severity == .error } }
    public var isOk: Bool { errorCount == 0 }

    /// The last line of the text: "weir.yaml: ok", "weir.yaml: 2 errors, 1 warning".
    public var summary: String {
        func count(_ n: Int, _ word: String) -> String { "\(n) \(word)\(n == 1 ? "" : "s")" }
        let warnings = problems.count - errorCount
        let tail = warnings == 0 ? "" : ", " + count(warnings, "warning")
        return "\(file): \(isOk ? "ok" : count(errorCount, "error"))\(tail)"
    }

    /// For scripts and editors: {"file", "ok", "problems": [{"severity", "line", …}]}.
    public func json() -> [UInt8] {
        var json = JSONWriter()
        json.object {
            $0.member("file", file)
            $0.member("ok", isOk)
            $0.member("problems", problems) { json, problem in
                json.object {
                    $0.member("severity", problem.severity.rawValue)
                    $0.member("file", problem.file)
                    $0.member("line", problem.line)
                    $0.member("column", problem.column)
                    $0.member("length", problem.length)
                    $0.member("message", problem.message)
                    $0.member("expectation", problem.expectation ?? "")
                    $0.member("suggestion", problem.suggestion ?? "")
                }
            }
        }
        return json.bytes
    }
}
