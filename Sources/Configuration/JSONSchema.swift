extension Configuration {
    public static func jsonSchema() -> String { "" }
}
