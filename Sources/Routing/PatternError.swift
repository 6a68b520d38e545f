// What is wrong with a pattern or template, and where.

/// A text of the configuration that does not parse. The configuration shows it under the text.
public struct PatternError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes from the start of the text to the first byte that is wrong (may be its length).
    public var position: Int
    /// What was expected there, ready to be printed.
    public var message: String

    public init(at position: Int, _ message: String) {
        self.position = position
        self.message = message
    }

    public var description: String { "at \(position): \(message)" }
}

/// Bytes allowed in names of captures and variables.
func isNameByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x5f: true
    default: false
    }
}

/// RFC 9110 §5.6.2 token bytes: field names, methods, cookie names.
func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x30...0x39, 0x41...0x5a, 0x5e...0x7a, 0x7c, 0x7e: true
    default: false
    }
}
