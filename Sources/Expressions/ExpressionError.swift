// What is wrong with an expression, and where; and what was probably meant.

/// An expression that does not compile. The configuration shows it under the text.
public struct ExpressionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Bytes from the start of the text to the first byte that is wrong (may be its length).
    public var position: Int
    /// Bytes that are wrong.
    public var length: Int
    /// What is wrong: one clause, no full stop.
    public var message: String
    /// What would be right here.
    public var expectation: String?
    /// A text that was probably meant.
    public var suggestion: String?

    public init(
        at position: Int, length: Int = 1, _ message: String, expected expectation: String? = nil,
        meant suggestion: String? = nil
    ) {
        self.position = position
        self.length = max(1, length)
        self.message = message
        self.expectation = expectation.map { "expected \($0)" }
        self.suggestion = suggestion
    }

    init(
        _ span: Range<Int>, _ message: String, expected expectation: String? = nil,
        meant suggestion: String? = nil
    ) {
        self.init(at: span.lowerBound, length: span.count, message, expected: expectation, meant: suggestion)
    }

    /// The suggestion for messages that put quotes around it: a text in quotes has them already.
    public var bareSuggestion: String? {
        suggestion.map { text in
            let isQuoted = text.count > 2 && text.hasPrefix("\"") && text.hasSuffix("\"")
            return isQuoted ? String(text.dropFirst().dropLast()) : text
        }
    }

    public var description: String {
        var text = "at \(position): \(message)"
        if let expectation { text += "; \(expectation)" }
        if let suggestion { text += "; did you mean \(suggestion)?" }
        return text
    }
}

/// Names that were probably meant.
public enum Nearest {
    /// The nearest of some names in edits (insert, delete, exchange), ASCII case ignored, and how many they are.
    public static func name(to text: String, in names: [String]) -> (name: String, edits: Int)? {
        let text = Array(text.lowercased().utf8.prefix(128))
        var best: (name: String, edits: Int)?
        for name in names {
            let edits = distance(Array(name.lowercased().utf8), text)
            if edits < best?.edits ?? .max { best = (name, edits) }
        }
        return best
    }

    /// The same where it is near enough to be meant: at most a third of the letters differ.
    static func meant(by text: String, in names: [String]) -> String? {
        guard let best = name(to: text, in: names) else { return nil }
        return best.edits <= max(1, max(text.utf8.count, best.name.utf8.count) / 3) ? best.name : nil
    }

    /// Edit distance (Levenshtein) in bytes.
    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var row = Array(0...b.count)
        for i in a.indices {
            var diagonal = row[0]
            row[0] = i + 1
            for j in b.indices {
                let next = min(row[j + 1] + 1, row[j] + 1, diagonal + (a[i] == b[j] ? 0 : 1))
                diagonal = row[j + 1]
                row[j + 1] = next
            }
        }
        return row[b.count]
    }
}
