// Conditions and keys as whoever uses them sees them: compiled once, asked for each request.

import WeirHTTPModel

/// A compiled condition. Immutable; asked without allocation.
public final class ConditionExpression: Sendable {
    /// The text it was compiled from.
    public let text: String
    let program: Program

    /// Compiles a condition.
    ///
    /// - Parameter known: what can be asked where it stands.
    public init(_ text: String, known: Known) throws(ExpressionError) {
        program = try Compiler.condition(text, known)
        self.text = text
    }

    /// Regular expressions in it, which whoever asks compiles: sources know them by their index.
    public var patterns: [ExpressionPattern] { program.patterns }
    /// What it asks for, so that a source computes only what is needed.
    public var properties: Set<Property> { program.properties }

    /// Whether it holds.
    public func evaluate(_ source: inout some PropertySource) -> ConditionOutcome {
        var nobody = NoObserver()
        return program.run(&source, &nobody)
    }
}

/// A compiled key: a value by which requests are told apart. Immutable.
public final class KeyExpression: Sendable {
    /// The text it was compiled from.
    public let text: String
    let program: Program

    /// Compiles a key.
    ///
    /// - Parameter known: what can be asked where it stands.
    public init(_ text: String, known: Known) throws(ExpressionError) {
        program = try Compiler.key(text, known)
        self.text = text
    }

    /// What it asks for.
    public var properties: Set<Property> { program.properties }

    /// Appends the key as text; nothing where it is missing. One that is longer than `ExpressionLimits.keyBytes`
    /// is missing too: cut short, two would be one.
    ///
    /// - Returns: whether it is there. Running out of room shows in `writer.overflowed`.
    public func write(_ source: inout some PropertySource, to writer: inout ByteWriter) -> Bool {
        let value = program.value(program.key, side: 0, &source)
        switch value.content {
        case .missing: return false
        case .boolean(let value): writer.append(value ? "true" : "false")
        case .number(let number): writer.append(decimal: UInt64(max(0, number)))
        case .address(let high, let low):
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: AddressText.bytesMax) { room in
                guard let start = room.baseAddress else { return }
                writer.append(start, AddressText.write(high, low, to: start))
            }
        case .text(let text):
            guard text.count <= ExpressionLimits.keyBytes else { return false }
            if value.folds {
                for byte in text { writer.append(asciiLowercased(byte)) }
            } else {
                writer.append(text)
            }
        }
        return true
    }
}
