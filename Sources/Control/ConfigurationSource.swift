// Where a configuration comes from, and all that has to be right before it may take effect.
//
// `weir run`, `weir check`, `weir explain` and a reload go through `load` here, so that none of them
// accepts what another refuses.

import Configuration

/// A text to read the configuration from: a file, again at every reload, or a fixed one.
public protocol ConfigurationSource: Sendable {
    /// As errors name it.
    var name: String { get }
    func text() -> Result<[UInt8], ConfigurationErrors>
}

/// A configuration that is right in itself, with its routes compiled.
public struct LoadedConfiguration: Sendable {
    public var configuration: Configuration
    public var compiled: CompiledRoutes
    public var warnings: [ConfigurationError]
}

extension ConfigurationSource {
    /// Reads and checks everything that can be judged without a process: keys and values, cross
    /// references, patterns, templates, routes that can never match, folders that are not there.
    public func load() -> Result<LoadedConfiguration, ConfigurationErrors> {
        text().flatMap { text in
            Configuration.parse(text, file: name).flatMap { configuration, warnings in
                var (compiled, errors) = CompiledRoutes.compile(configuration, file: name)
                errors += configuration.missingRoots(file: name)
                if !errors.isEmpty {
                    return .failure(ConfigurationErrors(Configuration.located(errors, text: text)))
                }
                return .success(
                    LoadedConfiguration(configuration: configuration, compiled: compiled, warnings: warnings))
            }
        }
    }
}
