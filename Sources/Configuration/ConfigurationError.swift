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
