// From a path or bytes to a checked configuration, or to everything that is wrong with it.

import Glibc
import NamedFiles

/// Everything that is wrong with a file, in the order of the file.
public struct ConfigurationErrors: Error, Sendable, Equatable, CustomStringConvertible {
    /// At least one.
    public var errors: [ConfigurationError]

    public init(_ errors: [ConfigurationError]) { self.errors = errors }

    public var description: String { errors.map(\.description).joined(separator: "\n") }
}

/// A file that was read and judged by itself. With errors among its problems the configuration holds what
/// could be read, so that whoever looks further finds more of them, and must not take effect.
public struct CheckedConfiguration: Sendable {
    public var configuration: Configuration
    /// Errors and warnings, in the order of the file.
    public var problems: [ConfigurationError]

    public var isRight: Bool { !problems.contains { $0.severity == .error } }
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

    /// The bytes of the file at `path` ("-" is standard input).
    public static func read(path: String) -> Result<[UInt8], ConfigurationErrors> {
        do throws(NamedFileError) {
            if path == "-" {
                return .success(try NamedFile.read(STDIN_FILENO, bytesMax: YAMLBounds.fileBytes))
            }
            return .success(try NamedFile(reading: path, bytesMax: YAMLBounds.fileBytes).bytes)
        } catch {
            var problem = ConfigurationError(
                "cannot read the file: it \(error)", file: path, line: 0, column: 0)
            if case .notRegular = error, path.hasPrefix("/dev/") || path.hasPrefix("/proc/") {
                problem.expectation = "to read from a pipe, name it \"-\" and make it the standard input"
            }
            return .failure(ConfigurationErrors([problem]))
        }
    }

    /// Checks the text of a configuration; `file` is only what messages call it.
    ///
    /// - Returns: the configuration and its warnings, or every error by position.
    public static func parse(
        _ bytes: [UInt8], file: String, in surroundings: Surroundings? = nil
    ) -> Result<(Configuration, [ConfigurationError]), ConfigurationErrors> {
        let checked = check(bytes, file: file, in: surroundings)
        // A service may look unused only because the route that uses it is wrong: errors come alone.
        let errors = checked.problems.filter { $0.severity == .error }
        guard errors.isEmpty else { return .failure(ConfigurationErrors(errors)) }
        return .success((checked.configuration, checked.problems))
    }

    /// Checks the text of a configuration, and gives what could be read of it in any case.
    ///
    /// - Parameter surroundings: where relative paths and references lead; nil: those of the process.
    public static func check(
        _ bytes: [UInt8], file: String, in surroundings: Surroundings? = nil
    ) -> CheckedConfiguration {
        var check = SchemaCheck(file: file)
        var configuration = Configuration()
        do throws(YAMLDocument.Problem) {
            let surroundings = surroundings ?? .process(file: file)
            let document = try YAMLDocument(bytes, surroundings)
            for problem in document.problems {
                check.report(
                    problem.message, problem.origin, problem.expectation, suggestion: problem.suggestion)
            }
            let root = document.root ?? Node(content: .map([]), origin: Origin(line: 1, column: 1))
            let written = (root.isNull ? Node(content: .map([]), origin: root.origin) : root)
                .withPaths(from: surroundings, .section(Configuration.section.shape))
            check.check(written, .section(Configuration.section.shape), path: "")
            let effective = RouteDefaults(root: written).applied(
                to: written.marking(faultyRoutes: check.faultyRoutes), &check)
            configuration = Configuration.section.read(effective) ?? Configuration()
            CrossCheck(configuration: configuration, root: effective, written: written).run(&check)
        } catch {
            check.report(error.message, error.origin, error.expectation, suggestion: error.suggestion)
        }
        return CheckedConfiguration(
            configuration: configuration, problems: ConfigurationError.sorted(check.problems, text: bytes))
    }

    /// Puts errors found elsewhere (patterns, templates) into the order of the file and gives each its
    /// line of text.
    public static func located(_ errors: [ConfigurationError], text: [UInt8]) -> [ConfigurationError] {
        ConfigurationError.sorted(errors, text: text)
    }
}

extension Node {
    /// With a mark on routes in which something is wrong.
    fileprivate func marking(faultyRoutes: Set<Int>) -> Node {
        guard !faultyRoutes.isEmpty, case .map(var entries) = content,
            let place = entries.firstIndex(where: { $0.key.value == "routes" }),
            case .list(var routes) = entries[place].value.content
        else { return self }
        for index in faultyRoutes { routes[index].isFaulty = true }
        entries[place].value.content = .list(routes)
        return Node(content: .map(entries), origin: origin)
    }
}
