// What is wrong with a configuration file, and where.
//
// Printed like a compiler's messages: position, what, the line, a mark under the text, what was
// expected. Everything wrong with a file is reported in one run, sorted by position.

/// One thing that is wrong (or, for a warning, suspicious) in a configuration file.
public struct ConfigurationError: Error, Sendable, Equatable {
    public enum Severity: String, Sendable {
        case error, warning
    }
    public var severity: Severity
    /// The file as the user named it.
    public var file: String
    /// From 1; 0 when the problem has no place in the file (it could not be read).
    public var line: Int
    /// In characters, from 1.
    public var column: Int
    /// Characters to underline.
    public var length: Int
    /// One clause, no full stop: `unknown key "servce" in routes[0]`.
    public var message: String
    /// What would be right here: `expected one of: service, redirect`. Nil when the message says it.
    public var expectation: String?
    /// A text that was probably meant; printed as `did you mean "service"?`.
    public var suggestion: String?
    /// The line of the file, without its newline; nil when there is none to show.
    public var sourceLine: String?

    public init(
        _ message: String, file: String, line: Int, column: Int, length: Int = 1,
        expectation: String? = nil, suggestion: String? = nil, sourceLine: String? = nil,
        severity: Severity = .error
    ) {
        self.severity = severity
        self.file = file
        self.line = line
        self.column = column
        self.length = length
        self.message = message
        self.expectation = expectation
        self.suggestion = suggestion
        self.sourceLine = sourceLine
    }
}

extension ConfigurationError {
    /// An error at a place of the model. What references stand for is not shown.
    public init(
        _ message: String, at origin: Origin, file: String, expectation: String? = nil,
        suggestion: String? = nil, severity: Severity = .error
    ) {
        guard let hidden = origin.substitution else {
            self.init(
                message, file: file, line: origin.line, column: origin.column, length: max(1, origin.length),
                expectation: expectation, suggestion: suggestion, severity: severity)
            return
        }
        // A suggestion is made of the value.
        self.init(
            hidden.hide(in: message) ?? "what \"\(hidden.shown)\" stands for cannot stand here", file: file,
            line: origin.line, column: origin.column, length: max(1, origin.length),
            expectation: expectation.flatMap { hidden.hide(in: $0) }, severity: severity)
    }
}

extension ConfigurationError: CustomStringConvertible {
    /// Several lines, without a newline at the end.
    public var description: String {
        var result = file
        if line > 0 { result += ":\(line):\(column)" }
        result += ": \(severity.rawValue): \(message)"
        if let sourceLine, line > 0 {
            let number = "\(line)"
            let margin = String(repeating: " ", count: max(0, 5 - number.utf8.count))
            result += "\n\(margin)\(number) | \(sourceLine.tabless)"
            let width = sourceLine.unicodeScalars.count
            let mark = min(length, max(1, width - column + 1))
            if column <= width + 1 {
                result += "\n      | " + String(repeating: " ", count: max(0, column - 1)) + "^"
                result += String(repeating: "~", count: max(0, mark - 1))
            }
        }
        let hints = [expectation, suggestion.map { "did you mean \"\($0)\"?" }].compactMap { $0 }
        if !hints.isEmpty { result += "\n      " + hints.joined(separator: "; ") }
        return result
    }

    /// By position, errors without a place first; each gets its line of the file.
    static func sorted(_ errors: [ConfigurationError], text: [UInt8]) -> [ConfigurationError] {
        var wanted = Set(errors.filter { $0.sourceLine == nil }.map(\.line))
        var lines: [Int: String] = [:]
        var number = 1
        var start = text.starts(with: SourceText.mark) ? SourceText.mark.count : 0
        var index = 0
        // One pass over the file, decoding only the lines somebody asked for.
        while !wanted.isEmpty, index <= text.count {
            if index == text.count || text[index] == 10 {
                if wanted.remove(number) != nil {
                    let line = text[start..<index].prefix(400)
                    lines[number] = String(decoding: line.last == 13 ? line.dropLast() : line, as: UTF8.self)
                }
                number += 1
                start = index + 1
            }
            index += 1
        }
        let located = errors.map { error in
            var error = error
            if error.sourceLine == nil { error.sourceLine = lines[error.line] }
            return error
        }
        // The order of reports decides between errors at one place: sort is stable by offset.
        return located.enumerated().sorted {
            ($0.element.line, $0.element.column, $0.offset) < ($1.element.line, $1.element.column, $1.offset)
        }.map(\.element)
    }
}

extension String {
    /// With tabs and other control characters as single spaces, so that the mark stays below its text.
    fileprivate var tabless: String { clipped(.max) }
}
