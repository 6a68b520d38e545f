// `weir check`: everything that is wrong with a file, in one run.

import Admin
import Configuration
import Control

enum Check {
    static func run(_ path: String, _ format: OutputFormat) -> Int32 {
        let source = FileSource(name: path)
        switch source.load() {
        case .failure(let failure):
            return report(path, failure.errors)
        case .success(let (configuration, warnings)):
            for warning in warnings { printError("\(warning)") }
            let (_, errors) = CompiledRoutes.compile(configuration, file: path)
            if !errors.isEmpty { return report(path, errors) }
            print("\(path): ok")
            return ExitCode.ok
        }
    }

    private static func report(_ path: String, _ errors: [ConfigurationError]) -> Int32 {
        for error in errors { printError("\(error)") }
        printError("\(path): \(errors.count) error\(errors.count == 1 ? "" : "s")")
        return ExitCode.failed
    }
}
