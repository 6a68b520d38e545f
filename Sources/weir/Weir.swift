// The command line: what the user asked for, done.

import Admin
import Configuration
import Control
import Glibc
import Telemetry

@main
struct Weir {
    static let build = BuildInfo(version: "0.1.0")

    static func main() {
        switch Command.parse(Array(CommandLine.arguments.dropFirst())) {
        case .mistake(let text):
            printError(text)
            exit(ExitCode.usage)
        case .command(let command):
            exit(perform(command))
        }
    }

    private static func perform(_ command: Command) -> Int32 {
        switch command {
        case .run(let path):
            return Serve.run(FileSource(name: path))
        case .proxy(let listen, let to, let admin):
            return Serve.run(ProxySource(listen: listen, endpoints: to, admin: admin))
        case .serve(let folder, let listen, let admin):
            return Serve.run(FolderSource(folder: folder, listen: listen, admin: admin))
        case .check(let path, let format):
            return Check.run(path, format)
        case .cert(let path, let format):
            return Cert.run(path, format)
        case .explain(let question):
            return Explain.run(question)
        case .reload(let admin):
            return Ask.reload(admin: admin)
        case .status(let service, let admin, let format):
            return Ask.status(service: service, admin: admin, format: format)
        case .schema:
            print(Configuration.jsonSchema())
            return ExitCode.ok
        case .version:
            print("weir \(build.version)")
            return ExitCode.ok
        case .help(let text):
            print(text)
            return ExitCode.ok
        }
    }
}

/// A line on standard error.
func printError(_ text: String) {
    var line = text + "\n"
    line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
