// The effective configuration as a file: every value, merged and with its defaults, in a fixed order. For `weir check
// --normal`, for tests, and for differences between two files. Read again it is the same configuration.

extension Configuration {
    /// A configuration file that says all of this; ends in a newline. References stand for what they were.
    public func normalForm() -> String {
        (Self.section.write(self, .all) ?? Node(content: .map([]), origin: .none)).yaml(depth: 3) + "\n"
    }
}
