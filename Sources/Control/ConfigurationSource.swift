// Where a configuration comes from, and all that has to be right before it may take effect.
//
// `weir run`, `weir check`, `weir explain` and a reload go through `load` here, so that none of them
// accepts what another refuses.

import Configuration
import Reactor

/// A text to read the configuration from: a file, again at every reload, or a fixed one.
public protocol ConfigurationSource: Sendable {
    /// As errors name it.
    var name: String { get }
    func text() -> Result<[UInt8], ConfigurationErrors>
    /// What to do when somebody else listens where the admin API would.
    var adminHint: String { get }
}

extension ConfigurationSource {
    public var adminHint: String { "another address in admin.address, or `admin: off`" }
}

/// A configuration that is right in itself, with its routes compiled.
public struct LoadedConfiguration: Sendable {
    public var configuration: Configuration
    public var compiled: CompiledRoutes
    public var certificates: CertificateSet
    public var warnings: [ConfigurationError]
}

extension ConfigurationSource {
    /// Reads and checks everything that can be judged without a process: keys and values, cross
    /// references, patterns, templates, routes that can never match, certificates and keys,
    /// folders that are not there. Each looks at what could be read, whatever the others found: all
    /// errors are reported at once.
    /// - Parameter old: what is in use; what did not change of it is kept.
    public func load(keeping old: LoadedConfiguration? = nil) -> Result<
        LoadedConfiguration, ConfigurationErrors
    > {
        text().flatMap { text in
            let checked = Configuration.check(text, file: name)
            let configuration = checked.configuration
            let (compiled, errors) = CompiledRoutes.compile(
                configuration, file: name, keeping: old.map { ($0.configuration, $0.compiled) })
            let (certificates, found) = CertificateSet.load(
                configuration, file: name, keeping: old?.certificates ?? CertificateSet(),
                nowSeconds: Int64(Clock.wallUs() / 1_000_000))
            // Whoever looks further finds more, and sometimes the same: the first word at a place counts.
            var places = Set(checked.problems.filter { $0.severity == .error }.map(Place.init))
            let further = (errors + configuration.missingFiles(file: name) + found).filter { problem in
                problem.severity == .warning || places.insert(Place(problem)).inserted
            }
            let all = Configuration.located(checked.problems + further, text: text)
            let wrong = all.filter { $0.severity == .error }
            if !wrong.isEmpty { return .failure(ConfigurationErrors(wrong)) }
            return .success(
                LoadedConfiguration(
                    configuration: configuration, compiled: compiled, certificates: certificates,
                    warnings: all))
        }
    }
}

private struct Place: Hashable {
    let line: Int
    let column: Int

    init(_ error: ConfigurationError) {
        line = error.line
        column = error.column
    }
}
