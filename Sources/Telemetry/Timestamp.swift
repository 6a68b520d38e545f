// Wall clock as RFC 3339 text in UTC. Never used in decisions.

import WeirHTTPModel

/// Formats microseconds since 1970 as "2026-11-21T04:30:00.123456Z" and keeps the text of the last
/// second.
public struct TimestampText {
    public init() {}

    private var second: UInt64 = .max
    // "2026-11-21T04:30:00" in three words, the last one partly used.
    private var text: (UInt64, UInt64, UInt64) = (0, 0, 0)

    static let secondsByteCount = 19

    /// Writes "2026-11-21T04:30:00.123456Z".
    public mutating func write(us: UInt64, to writer: inout ByteWriter) {
        let (newSecond, fraction) = us.quotientAndRemainder(dividingBy: 1_000_000)
        if newSecond != second {
            second = newSecond
            withUnsafeMutableBytes(of: &text) { bytes in
                guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
                var field = ByteWriter(base, capacity: 24)
                Self.writeSeconds(newSecond, to: &field)
            }
        }
        withUnsafeBytes(of: &text) {
            writer.append(
                UnsafeBufferPointer(rebasing: $0.bindMemory(to: UInt8.self)[..<Self.secondsByteCount]))
        }
        writer.append(".")
        writer.append(decimal: fraction, digits: 6)
        writer.append("Z")
    }

    /// Civil date from days since 1970 (Howard Hinnant's days_from_civil, inverted), years 1970…9999.
    private static func writeSeconds(_ seconds: UInt64, to writer: inout ByteWriter) {
        // 9999-12-31T23:59:59Z; later clocks are held there rather than widening the text.
        let seconds = min(seconds, 253_402_300_799)
        let (days, inDay) = seconds.quotientAndRemainder(dividingBy: 86_400)
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        writer.append(decimal: year, digits: 4)
        writer.append("-")
        writer.append(decimal: month, digits: 2)
        writer.append("-")
        writer.append(decimal: day, digits: 2)
        writer.append("T")
        writer.append(decimal: inDay / 3600, digits: 2)
        writer.append(":")
        writer.append(decimal: inDay / 60 % 60, digits: 2)
        writer.append(":")
        writer.append(decimal: inDay % 60, digits: 2)
    }
}
