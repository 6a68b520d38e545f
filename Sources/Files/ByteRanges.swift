// The Range field (RFC 9110 §14.1.2, §14.2): which bytes of a representation are wanted.
//
// Defends against requests that make a small field cost a large response: the number of parts is
// bounded, overlapping ranges are merged, and what cannot be merged in order (or adds up to everything)
// is answered with the whole representation, as §14.2 allows. A field that is not well-formed, or of
// another unit than bytes, is ignored. If-Range is Preconditions.swift's business.

/// A run of bytes of a representation.
public struct ByteSpan: Equatable, Sendable, BitwiseCopyable {
    public var first: UInt64
    /// At least 1.
    public var count: UInt64

    public init(first: UInt64, count: UInt64) {
        self.first = first
        self.count = count
    }

    /// One past the last byte.
    public var end: UInt64 { first + count }
}

public enum ByteRanges {
    /// What a Range field asks for.
    public enum Verdict: Equatable, Sendable {
        /// The field is ignored: the whole representation.
        case whole
        /// So many spans, 1…`partsMax`, none overlapping another.
        case spans(Int)
        /// Well-formed, but nothing of it lies within the representation: 416.
        case unsatisfiable
    }

    /// Most ranges in one request; a request for more gets the whole representation.
    public static var partsMax: Int { 16 }
    /// Ranges with a gap up to this are sent as one: the head of a part would be longer (§15.3.7.2).
    static var gapMax: UInt64 { 80 }

    /// Reads the value of a Range field.
    ///
    /// - Parameters:
    ///   - size: bytes of the whole representation.
    ///   - spans: room for `partsMax` spans.
    public static func read(
        _ value: UnsafeBufferPointer<UInt8>, size: UInt64, into spans: UnsafeMutablePointer<ByteSpan>
    ) -> Verdict {
        var reader = Reader(bytes: value)
        guard reader.takeUnit() else { return .whole }
        var count = 0
        var asked = 0
        while let spec = reader.next() {
            asked += 1
            if asked > partsMax { return .whole }
            let span: ByteSpan
            switch spec {
            case .malformed:
                return .whole
            case .suffix(let length):
                // Of an empty representation there is no last byte, and no Content-Range to say so.
                if size == 0 { return .whole }
                if length == 0 { continue }
                let used = min(length, size)
                span = ByteSpan(first: size - used, count: used)
            case .from(let first):
                guard first < size else { continue }
                span = ByteSpan(first: first, count: size - first)
            case .between(let first, let last):
                guard first < size else { continue }
                span = ByteSpan(first: first, count: min(last, size - 1) - first + 1)
            }
            guard add(span, spans, &count) else { return .whole }
        }
        if asked == 0 { return .whole }
        if count == 0 { return .unsatisfiable }
        if count > 1 {
            var total: UInt64 = 0
            for i in 0..<count { total += spans[i].count }
            if total >= size { return .whole }
        }
        return .spans(count)
    }

    /// Adds a span behind the others or merges it into the last. False: it overlaps in a way that cannot
    /// be merged in order.
    private static func add(
        _ span: ByteSpan, _ spans: UnsafeMutablePointer<ByteSpan>, _ count: inout Int
    ) -> Bool {
        var span = span
        if count > 0 {
            let last = spans[count - 1]
            let gapEnd = last.end &+ min(gapMax, .max - last.end)
            if span.first >= last.first && span.first <= gapEnd {
                span = ByteSpan(first: last.first, count: max(last.end, span.end) - last.first)
                count -= 1
            }
        }
        for i in 0..<count where span.first < spans[i].end && spans[i].first < span.end { return false }
        spans[count] = span
        count += 1
        return true
    }

    private enum Spec {
        case malformed
        case suffix(UInt64)
        case from(UInt64)
        case between(UInt64, UInt64)
    }

    private struct Reader {
        let bytes: UnsafeBufferPointer<UInt8>
        var at = 0

        init(bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

        mutating func takeUnit() -> Bool {
            let unit: StaticString = "bytes="
            guard bytes.count >= 6 else { return false }
            for i in 0..<6 {
                let byte = bytes[i]
                guard (byte &- 65 < 26 ? byte | 0x20 : byte) == unit.utf8Start[i] else { return false }
            }
            at = 6
            return true
        }

        /// The next range; nil at the end. Empty elements of the list are skipped (§5.6.1.2).
        mutating func next() -> Spec? {
            while at < bytes.count, isSpace(bytes[at]) || bytes[at] == UInt8(ascii: ",") { at += 1 }
            guard at < bytes.count else { return nil }
            let first = number()
            guard at < bytes.count, bytes[at] == UInt8(ascii: "-") else { return .malformed }
            at += 1
            let last = number()
            while at < bytes.count, isSpace(bytes[at]) { at += 1 }
            guard at == bytes.count || bytes[at] == UInt8(ascii: ",") else { return .malformed }
            switch (first, last) {
            case (nil, nil): return .malformed
            case (nil, let length?): return .suffix(length)
            case (let first?, nil): return .from(first)
            case (let first?, let last?): return last < first ? .malformed : .between(first, last)
            }
        }

        /// Digits as a number, the largest there is when they are more than that; nil without a digit.
        private mutating func number() -> UInt64? {
            let start = at
            var value: UInt64 = 0
            while at < bytes.count, bytes[at] &- 48 < 10 {
                let (product, over) = value.multipliedReportingOverflow(by: 10)
                let (sum, more) = product.addingReportingOverflow(UInt64(bytes[at] &- 48))
                value = over || more ? .max : sum
                at += 1
            }
            return at == start ? nil : value
        }

        private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
    }
}
