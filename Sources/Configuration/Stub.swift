extension Configuration {
    public static func jsonSchema() -> String { "" }
    public static func load(path: String) -> Result<(Configuration, [ConfigurationError]), ConfigurationErrors> { .failure(ConfigurationErrors([])) }
}
public struct ConfigurationErrors: Error, Sendable {
    public let errors: [ConfigurationError]
    public init(_ errors: [ConfigurationError]) { self.errors = errors }
}
