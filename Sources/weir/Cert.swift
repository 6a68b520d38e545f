// `weir cert`: which certificates a file names, and how long they last.

import Admin
import Configuration
import Control
import Reactor

enum Cert {
    static func run(_ path: String, _ format: OutputFormat) -> Int32 {
        let report = CertificateReport(
            FileSource(name: path), nowSeconds: Int64(Clock.wallUs() / 1_000_000))
        switch format {
        case .json:
            print(String(decoding: report.json(), as: UTF8.self))
        case .text:
            for problem in report.problems { printError("\(problem)") }
            print(report.text(), terminator: "")
        }
        return report.isOk ? ExitCode.ok : ExitCode.failed
    }
}
