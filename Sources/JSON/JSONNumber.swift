// Numbers keep their text: what a number is worth depends on who asks, and no bit is lost before that.

/// A number as it stands in a text that was read. Valid as long as the bytes that were read.
public struct JSONNumberText: BitwiseCopyable {
    public let raw: UnsafeBufferPointer<UInt8>
    /// Neither a fraction nor an exponent.
    public let isInteger: Bool

    /// Exactly this number; nil where it has a fraction or an exponent, or is out of range.
    public var int64: Int64? {
        guard isInteger else { return nil }
        let isNegative = raw.first == UInt8(ascii: "-")
        var value: Int64 = 0
        // Downward: there is one negative number more.
        for byte in raw.dropFirst(isNegative ? 1 : 0) {
            let (tenfold, isOver) = value.multipliedReportingOverflow(by: 10)
            let (next, isUnder) = tenfold.subtractingReportingOverflow(Int64(byte & 15))
            if isOver || isUnder { return nil }
            value = next
        }
        return isNegative ? value : value == .min ? nil : -value
    }

    /// The nearest number of 64 bits, which need not be this one; nil beyond the largest.
    public var double: Double? {
        guard let value = Double(String(decoding: raw, as: UTF8.self)), value.isFinite else { return nil }
        return value
    }
}

/// A number of a tree.
public struct JSONNumber: Sendable, Equatable {
    /// As it stood in the text, or as it will.
    public let text: String

    public init(_ number: JSONNumberText) { text = String(decoding: number.raw, as: UTF8.self) }
    public init(_ number: some BinaryInteger) { text = number.description }
    /// Nil for what JSON has no number for: infinities, and what is no number.
    public init?(_ number: Double) {
        guard number.isFinite else { return nil }
        text = number.description
    }

    /// Exactly this number; nil where it has a fraction or an exponent, or is out of range.
    public var int64: Int64? { read { $0.int64 } }
    /// The nearest number of 64 bits, which need not be this one; nil beyond the largest.
    public var double: Double? { read { $0.double } }

    private func read<Value>(_ body: (JSONNumberText) -> Value?) -> Value? {
        var text = text
        return text.withUTF8 { raw in
            body(JSONNumberText(raw: raw, isInteger: !raw.contains { ".eE".utf8.contains($0) }))
        }
    }
}
