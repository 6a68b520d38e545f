// `weir explain`: what a request would meet, and why.

import Admin

enum Explain {
    static func run(_ question: Command.Explain) -> Int32 { ExitCode.failed }
}
