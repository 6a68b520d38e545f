// Max-Forwards: how many more times a request may be passed on (RFC 9110 §7.6.2).

/// The value of a Max-Forwards field.
public struct MaxForwards: Sendable, Equatable, BitwiseCopyable {
    public let count: UInt32

    /// Nil for what is no number: such a field says nothing. A number too large for us is our largest, as
    /// the clause allows.
    public init?(_ text: UnsafeBufferPointer<UInt8>) {
        guard !text.isEmpty else { return nil }
        var value: UInt32 = 0
        for byte in text {
            let digit = byte &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            let (tenfold, isLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isLarger) = tenfold.addingReportingOverflow(UInt32(digit))
            value = isLarge || isLarger ? .max : sum
        }
        count = value
    }

    /// What the next hop is told; nil: nobody is asked any more.
    public var next: UInt32? { count == 0 ? nil : count - 1 }
}
