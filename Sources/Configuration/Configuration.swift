// From a path or bytes to a checked configuration, or to everything that is wrong with it.

import Glibc

/// Everything that is wrong with a file, in the order of the file.
public struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// At least one.
    public var errors: [ConfigurationError]

    public init(_ errors: [ConfigurationError]) { self.errors = errors }

    public var description: String { errors.map(\.description).joined(separator: "\n") }
}

extension Configuration {
    /// Reads and checks the file at `path` ("-" is standard input).
    ///
    /// - Returns: the configuration and its warnings, or every error (and warning) by position.
    public static func load(path: String) -> Result<
        (Configuration, [ConfigurationError]), ConfigurationErrors
    > {
        read(path: path).flatMap { parse($0, file: path) }
    }

    /// The bytes of the file at `path` ("-" is standard input), at most one more than may be parsed.
    public static func read(path: String) -> Result<[UInt8], ConfigurationErrors> {
        var bytes: [UInt8] = []
        let descriptor = path == "-" ? dup(0) : open(path, O_RDONLY | O_CLOEXEC)
        func failure() -> Result<[UInt8], ConfigurationErrors> {
            let reason = String(cString: strerror(errno))
            return .failure(
                ConfigurationErrors([
                    ConfigurationError("cannot read the file: \(reason)", file: path, line: 0, column: 0)
                ]))
        }
        guard descriptor >= 0 else { return failure() }
        defer { close(descriptor) }
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= YAMLBounds.fileBytes {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return failure() }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return .success(bytes)
    }

    /// Checks the text of a configuration; `file` is only what messages call it.
    ///
    /// - Returns: the configuration and its warnings, or every error by position.
    public static func parse(
        _ bytes: [UInt8], file: String
    ) -> Result<(Configuration, [ConfigurationError]), ConfigurationErrors> {
        var check = SchemaCheck(file: file)
        var configuration = Configuration()
        do throws(YAMLDocument.Problem) {
            let document = try YAMLDocument(bytes)
            for problem in document.problems {
                check.report(problem.message, problem.origin, problem.expectation)
            }
            let root = document.root ?? Node(content: .map([]), origin: Origin(line: 1, column: 1))
            let empty = root.isNull ? Node(content: .map([]), origin: root.origin) : root
            check.check(empty, .section(Language.file), path: "")
            configuration = ConfigurationBuilder(root: empty).configuration()
            CrossCheck(configuration: configuration, root: empty).run(&check)
        } catch {
            check.report(error.message, error.origin, error.expectation)
        }
        let problems = ConfigurationError.sorted(check.problems, text: bytes)
        // A service may look unused only because the route that uses it is wrong: errors come alone.
        let errors = problems.filter { $0.severity == .error }
        guard errors.isEmpty else { return .failure(ConfigurationErrors(errors)) }
        return .success((configuration, problems))
    }

    /// Puts errors found elsewhere (patterns, templates) into the order of the file and gives each its
    /// line of text.
    public static func located(_ errors: [ConfigurationError], text: [UInt8]) -> [ConfigurationError] {
        ConfigurationError.sorted(errors, text: text)
    }
}
