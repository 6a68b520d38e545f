// `weir reload` and `weir status`: asking the running process over its admin address.

import Admin

enum Ask {
    static func reload(admin: String) -> Int32 { ExitCode.failed }
    static func status(service: String?, admin: String, format: OutputFormat) -> Int32 { ExitCode.failed }
}
