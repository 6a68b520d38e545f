// Dates in HTTP (RFC 9110 §5.6.7): written as IMF-fixdate, read in all three formats.
//
// Pure: the clock is a parameter. Reading is strict about shape and ranges; it does not check that the
// day of the week belongs to the date, for nobody acts on it.

/// Conversion between HTTP dates and seconds since 1970-01-01T00:00:00Z.
public enum HTTPDate {
    /// Length of a written date in bytes.
    public static var byteCount: Int { 29 }

    /// The span of dates that have four digits for the year: 0000-01-01 to 9999-12-31.
    private static var secondsMin: Int64 { -62_167_219_200 }
    private static var secondsMax: Int64 { 253_402_300_799 }

    /// Writes the date as "Sun, 06 Nov 1994 08:49:37 GMT".
    ///
    /// - Parameters:
    ///   - secondsSinceEpoch: taken as year 0 or 9999 when it lies beyond them.
    ///   - to: room for 29 bytes.
    public static func write(secondsSinceEpoch: Int64, to: UnsafeMutablePointer<UInt8>) {
        let seconds = min(max(secondsSinceEpoch, secondsMin), secondsMax)
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let ofDay = Int(seconds - days * 86_400)
        let date = civil(days: Int(days))
        // 1970-01-01 was a Thursday.
        let weekday = ((Int(days) + 4) % 7 + 7) % 7
        copy(weekdays, at: weekday * 3, count: 3, to: to)
        to[3] = UInt8(ascii: ",")
        to[4] = UInt8(ascii: " ")
        writeTwo(date.day, to + 5)
        to[7] = UInt8(ascii: " ")
        copy(months, at: (date.month - 1) * 3, count: 3, to: to + 8)
        to[11] = UInt8(ascii: " ")
        writeTwo(date.year / 100, to + 12)
        writeTwo(date.year % 100, to + 14)
        to[16] = UInt8(ascii: " ")
        writeTwo(ofDay / 3_600, to + 17)
        to[19] = UInt8(ascii: ":")
        writeTwo(ofDay / 60 % 60, to + 20)
        to[22] = UInt8(ascii: ":")
        writeTwo(ofDay % 60, to + 23)
        copy(" GMT", at: 0, count: 4, to: to + 25)
    }

    /// Reads IMF-fixdate, the RFC 850 format and asctime's.
    ///
    /// - Parameter nowSecondsSinceEpoch: decides the century of a two-digit year: a date more than 50
    ///   years in the future is taken for the most recent past year with these digits.
    /// - Returns: seconds since the epoch, or nil when the bytes are no HTTP date.
    public static func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, nowSecondsSinceEpoch: Int64
    ) -> Int64? {
        var reader = Reader(bytes: bytes, count: count)
        guard let weekday = reader.name(in: weekdays) else { return nil }
        if reader.take(", ") {
            guard let day = reader.digits(2), reader.take(" "), let month = reader.name(in: months),
                reader.take(" "), let year = reader.digits(4), reader.take(" "),
                let time = reader.time(), reader.take(" GMT"), reader.isAtEnd
            else { return nil }
            return seconds(year, month + 1, day, time)
        }
        if reader.take(" ") {
            guard let month = reader.name(in: months), reader.take(" "),
                let day = reader.take(" ") ? reader.digits(1) : reader.digits(2), reader.take(" "),
                let time = reader.time(), reader.take(" "), let year = reader.digits(4), reader.isAtEnd
            else { return nil }
            return seconds(year, month + 1, day, time)
        }
        guard reader.take(restOfWeekday(weekday)), reader.take(", "), let day = reader.digits(2),
            reader.take("-"), let month = reader.name(in: months), reader.take("-"),
            let twoDigits = reader.digits(2), reader.take(" "), let time = reader.time(),
            reader.take(" GMT"), reader.isAtEnd
        else { return nil }
        let now = min(max(nowSecondsSinceEpoch, 0), secondsMax)
        let yearNow = civil(days: Int(now / 86_400)).year
        var year = yearNow - yearNow % 100 + 100 + twoDigits
        while year > yearNow + 50 { year -= 100 }
        return seconds(year, month + 1, day, time)
    }

    // MARK: - Calendar

    /// Days since the epoch of a date of the proleptic Gregorian calendar, by counting years from
    /// March, which puts the leap day at the end and makes the months' lengths a linear formula.
    private static func days(year: Int, month: Int, day: Int) -> Int {
        let shifted = month > 2 ? year : year - 1
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let ofEra = shifted - era * 400
        let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }

    /// The inverse of `days`.
    private static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let fromMarch = (5 * ofYear + 2) / 153
        let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, ofYear - (153 * fromMarch + 2) / 5 + 1)
    }

    private static func seconds(_ year: Int, _ month: Int, _ day: Int, _ time: Int) -> Int64? {
        let days = days(year: year, month: month, day: day)
        // Only a date that exists comes back the same.
        guard civil(days: days) == (year, month, day) else { return nil }
        return Int64(days) * 86_400 + Int64(time)
    }

    // MARK: - Text

    private static var weekdays: StaticString { "SunMonTueWedThuFriSat" }
    private static var months: StaticString { "JanFebMarAprMayJunJulAugSepOctNovDec" }

    private static func restOfWeekday(_ index: Int) -> StaticString {
        switch index {
        case 2: "sday"
        case 3: "nesday"
        case 4: "rsday"
        case 6: "urday"
        default: "day"
        }
    }

    private static func copy(
        _ text: StaticString, at offset: Int, count: Int, to: UnsafeMutablePointer<UInt8>
    ) {
        to.update(from: text.utf8Start + offset, count: count)
    }

    private static func writeTwo(_ value: Int, _ to: UnsafeMutablePointer<UInt8>) {
        to[0] = 48 &+ UInt8(truncatingIfNeeded: value / 10)
        to[1] = 48 &+ UInt8(truncatingIfNeeded: value % 10)
    }

    private struct Reader {
        let bytes: UnsafePointer<UInt8>
        let count: Int
        var at = 0

        var isAtEnd: Bool { at == count }

        init(bytes: UnsafePointer<UInt8>, count: Int) {
            self.bytes = bytes
            self.count = count
        }

        /// Takes a literal; leaves the position alone when something else is there.
        mutating func take(_ literal: StaticString) -> Bool {
            let wanted = literal.utf8CodeUnitCount
            guard count - at >= wanted else { return false }
            for index in 0..<wanted where bytes[at + index] != literal.utf8Start[index] { return false }
            at += wanted
            return true
        }

        /// Takes one of the three-letter names; its index.
        mutating func name(in names: StaticString) -> Int? {
            guard count - at >= 3 else { return nil }
            for index in 0..<names.utf8CodeUnitCount / 3 {
                let name = names.utf8Start + index * 3
                if bytes[at] == name[0], bytes[at + 1] == name[1], bytes[at + 2] == name[2] {
                    at += 3
                    return index
                }
            }
            return nil
        }

        mutating func digits(_ wanted: Int) -> Int? {
            guard count - at >= wanted else { return nil }
            var value = 0
            for index in 0..<wanted {
                let digit = bytes[at + index] &- 48
                guard digit <= 9 else { return nil }
                value = value * 10 + Int(digit)
            }
            at += wanted
            return value
        }

        /// Seconds of the day; a leap second counts as the first of the next minute.
        mutating func time() -> Int? {
            guard let hour = digits(2), hour < 24, take(":"), let minute = digits(2), minute < 60,
                take(":"), let second = digits(2), second <= 60
            else { return nil }
            return hour * 3_600 + minute * 60 + second
        }
    }
}
