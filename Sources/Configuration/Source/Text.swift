// Texts of the file, and where they were written.

/// Where a value was written. Origins never count in a comparison: a line that moved is no change, so
/// a reload can compare two configurations with `==`.
public struct Origin: Sendable, Hashable {
    /// Line, from 1; 0 when the value was not written (a default, or made by the program).
    public var line: Int
    /// Column in characters, from 1; 0 when the value was not written.
    public var column: Int
    /// Length in characters of the text to underline.
    public var length: Int
    /// Of a literal block text (`|`), which begins in the line below: the column its lines begin in. 0: the text
    /// stands where the origin points.
    var blockColumn = 0
    /// What was written there, if the text was made from references.
    var substitution: Substitution?

    public init(line: Int, column: Int, length: Int = 1) {
        self.line = line
        self.column = column
        self.length = length
    }

    /// The place of something within the text that stands here.
    ///
    /// - Parameter position: bytes from the beginning of the text.
    public func place(at position: Int, in text: String) -> Origin {
        var place = self
        if blockColumn > 0 {
            let before = text.utf8.prefix(position)
            place.line += 1 + before.count { $0 == 0x0a }
            // Characters of the line up to there: bytes that continue none.
            let column = before.reversed().prefix { $0 != 0x0a }.count { $0 & 0xc0 != 0x80 }
            place.column = blockColumn + column
            place.blockColumn = 0
            place.length = 1
        } else {
            // Between quotes, where nothing in the text is written otherwise.
            let quotes = length == text.unicodeScalars.count + 2 ? 1 : 0
            place.column += quotes + text.utf8.prefix(position).count { $0 & 0xc0 != 0x80 }
            place.length = max(1, length - position - 2 * quotes)
        }
        return place
    }

    /// The place of some bytes of the text that stands here.
    public func place(of span: Range<Int>, in text: String) -> Origin {
        var place = place(at: span.lowerBound, in: text)
        let bytes = Array(text.utf8)[
            min(span.lowerBound, text.utf8.count)..<min(span.upperBound, text.utf8.count)]
        // Of the first line: characters, not bytes.
        place.length = max(1, bytes.prefix { $0 != 0x0a }.count { $0 & 0xc0 != 0x80 })
        return place
    }

    /// The value was not written in a file.
    public static let none = Origin(line: 0, column: 0, length: 0)

    public static func == (_: Origin, _: Origin) -> Bool { true }
    public func hash(into _: inout Hasher) {}
}

/// A piece of text and where it was written.
public struct Text: Sendable, Hashable {
    public var value: String
    public var origin: Origin

    public init(_ value: String, at origin: Origin = .none) {
        self.value = value
        self.origin = origin
    }

    /// Texts are equal that mean the same. What references stand for is text in a template and in an expression, and
    /// something to be read otherwise, though the values be equal.
    public static func == (a: Text, b: Text) -> Bool {
        if a.value != b.value { return false }
        return !a.isSubstituted && !b.isSubstituted
            || a.template == b.template && a.expression == b.expression
    }
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }

    /// What may be shown: the references instead of what they stand for.
    public var shown: String { origin.substitution?.shown ?? value }
    /// Whether the text was made from references.
    public var isSubstituted: Bool { origin.substitution != nil }
    /// The text to read as a template, in which references stand for themselves.
    public var template: String { origin.substitution?.template ?? value }
    /// The text to read as an expression, in which references stand for text or numbers.
    public var expression: String { origin.substitution?.expression ?? value }
    /// The template of what may be shown.
    public var shownTemplate: String { origin.substitution?.shownTemplate ?? value }
}
