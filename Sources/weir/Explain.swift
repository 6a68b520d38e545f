// `weir explain`: what a request would meet, and why.
//
// Ends with 0 when it could be explained, also when the answer is that Weir refuses it.

import Admin
import Configuration
import Control

enum Explain {
    static func run(_ command: Command.Explain) -> Int32 {
        var question = ExplainQuestion(
            method: command.method, url: command.url,
            headers: command.headers.map { .init(name: $0.name, value: $0.value) })
        if let client = command.client { question.client = client }
        switch command.source {
        case .live(let admin):
            return Ask.finish(AdminQuestion.explain(question, command.format).ask(admin))
        case .file(let path):
            return explain(question, path, command.format)
        }
    }

    private static func explain(_ question: ExplainQuestion, _ path: String, _ format: OutputFormat) -> Int32
    {
        switch FileSource(name: path).load() {
        case .failure(let failure):
            return Check.report(CheckReport(file: path, problems: failure.errors), .text)
        case .success(let loaded):
            let explanation = Explainer(loaded.configuration, loaded.compiled, file: path).explain(question)
            switch format {
            case .text: print(explanation.text(), terminator: "")
            case .json: print(String(decoding: explanation.json(), as: UTF8.self))
            }
            return ExitCode.ok
        }
    }
}
