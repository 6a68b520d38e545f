// `weir reload`, `weir status` and `weir explain --live`: asking the running process.

import Admin

enum Ask {
    static func reload(admin: String) -> Int32 { finish(AdminQuestion.reload.ask(admin)) }

    static func status(service: String?, admin: String, format: OutputFormat) -> Int32 {
        finish(AdminQuestion.status(service: service, format).ask(admin))
    }

    /// Prints a result and gives its exit code.
    static func finish(_ result: CommandResult) -> Int32 {
        if !result.output.isEmpty { print(result.output, terminator: "") }
        if !result.complaint.isEmpty { printError(result.complaint) }
        return result.exitCode
    }
}
