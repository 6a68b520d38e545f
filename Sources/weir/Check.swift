// `weir check`: everything that is wrong with a file, in one run.

import Admin
import Configuration
import Control

enum Check {
    static func run(_ path: String, _ format: OutputFormat) -> Int32 {
        switch FileSource(name: path).load() {
        case .failure(let failure):
            return report(CheckReport(file: path, problems: failure.errors), format)
        case .success(let loaded):
            return report(CheckReport(file: path, problems: loaded.warnings), format)
        }
    }

    /// Text: what is wrong goes to standard error, "ok" to standard output. JSON: all to standard output.
    static func report(_ report: CheckReport, _ format: OutputFormat) -> Int32 {
        switch format {
        case .json:
            print(String(decoding: report.json(), as: UTF8.self))
        case .text:
            for problem in report.problems { printError("\(problem)") }
            if report.isOk { print(report.summary) } else { printError(report.summary) }
        }
        return report.isOk ? ExitCode.ok : ExitCode.failed
    }
}
