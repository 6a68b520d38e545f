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
    /// folders that are not there.
    /// - Parameter old: certificates in use; those that did not change are kept.
    public func load(keeping old: CertificateSet = CertificateSet()) -> Result<
        LoadedConfiguration, ConfigurationErrors
    > {
        text().flatMap { text in
            Configuration.parse(text, file: name).flatMap { configuration, warnings in
                let (compiled, errors) = CompiledRoutes.compile(configuration, file: name)
                let (certificates, found) = CertificateSet.load(
                    configuration, file: name, keeping: old, nowSeconds: Int64(Clock.wallUs() / 1_000_000))
                let all =
                    errors + configuration.missingRoots(file: name) + found.filter { $0.severity == .error }
                if !all.isEmpty {
                    return .failure(ConfigurationErrors(Configuration.located(all, text: text)))
                }
                let doubts = Configuration.located(
                    warnings + found.filter { $0.severity == .warning }, text: text)
                return .success(
                    LoadedConfiguration(
                        configuration: configuration, compiled: compiled, certificates: certificates,
                        warnings: doubts))
            }
        }
    }
}
