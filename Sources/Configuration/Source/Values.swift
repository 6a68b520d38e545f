// Text → durations, sizes, rates and percentages: the values that carry a unit.
//
// Each reader gives the value or says what was wrong with the text and, when it can be guessed, what
// was meant. Nothing is repaired: a number without its unit is an error with a suggestion.

/// Why a text is not the value it should be.
struct ValueProblem: Error {
    var message: String
    var expectation: String?
    var suggestion: String?
    /// What of the text is wrong, in bytes; nil: all of it.
    var span: Range<Int>?
}

enum Values {
    static let durationUnits: [(name: String, factor: Int64)] = [
        ("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000),
    ]
    static let sizeUnits: [(name: String, factor: Int64)] = [
        ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1_000), ("KB", 1_000),
        ("MB", 1_000_000), ("GB", 1_000_000_000),
    ]
    /// What people write for units, in lower case.
    private static let unitsMeant = [
        "msec": "ms", "millis": "ms", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m",
        "mins": "m",
        "minute": "m", "minutes": "m", "hr": "h", "hour": "h", "hours": "h", "day": "d", "days": "d",
        "k": "KiB",
        "m": "MiB", "g": "GiB", "byte": "B", "bytes": "B",
    ]
    static let durationExpectation = "expected a duration such as 250ms, 10s, 5m or 1h"
    static let sizeExpectation = "expected a size such as 512B, 64KiB or 10MB"
    static let byteRateExpectation = "expected a rate such as 240B/s or 1KiB/s"
    static let rateExpectation = "expected a rate such as 3/s"
    static let percentExpectation = "expected a percentage such as 20% or 0.5%"

    /// "10s" → milliseconds.
    static func duration(_ text: String) throws(ValueProblem) -> Int64 {
        try quantity(text, durationUnits, what: "a duration", durationExpectation, fallback: "s")
    }

    /// "64KiB" → bytes.
    static func size(_ text: String) throws(ValueProblem) -> Int64 {
        try quantity(
            text, sizeUnits, what: "a size", sizeExpectation,
            fallback: (Int64(text) ?? 0) < 1024 ? "KiB" : "B")
    }

    /// "240B/s" → bytes per second.
    static func byteRate(_ text: String) throws(ValueProblem) -> Int64 {
        guard text.hasSuffix("/s") else {
            let (number, unit) = split(text)
            let known = sizeUnits.contains { $0.name == unit }
            throw ValueProblem(
                message: "\"\(text.clipped(40))\" is not a rate", expectation: byteRateExpectation,
                suggestion: number.isEmpty || !(known || unit.isEmpty)
                    ? nil : "\(number)\(unit.isEmpty ? "B" : unit)/s")
        }
        return try quantity(
            String(text.dropLast(2)), sizeUnits, what: "a rate", byteRateExpectation, fallback: "B",
            suffix: "/s")
    }

    /// "3/s" → events per second.
    static func rate(_ text: String) throws(ValueProblem) -> Int64 {
        let (number, unit) = split(text)
        guard unit == "/s", let value = Int64(number) else {
            throw ValueProblem(
                message: "\"\(text.clipped(40))\" is not a rate", expectation: rateExpectation,
                suggestion: unit.isEmpty && !number.isEmpty ? "\(number)/s" : nil)
        }
        return value
    }

    /// "20%" → 200 parts per thousand.
    static func perMille(_ text: String) throws(ValueProblem) -> Int64 {
        let problem = ValueProblem(
            message: "\"\(text.clipped(40))\" is not a percentage", expectation: percentExpectation,
            suggestion: Int64(text) != nil ? "\(text)%" : nil)
        guard text.hasSuffix("%") else { throw problem }
        let parts = text.dropLast().split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), parts.allSatisfy({ isDigits($0) && $0.utf8.count <= 4 }),
            let whole = Int64(parts[0])
        else { throw problem }
        guard parts.count == 2 else { return whole * 10 }
        guard parts[1].utf8.count == 1, let tenth = Int64(parts[1]) else { throw problem }
        return whole * 10 + tenth
    }

    private static func isDigits(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { $0 &- 48 < 10 }
    }

    private static func split(_ text: String) -> (number: String, unit: String) {
        let digits = text.utf8.prefix { $0 &- 48 < 10 }.count
        return (
            String(decoding: text.utf8.prefix(digits), as: UTF8.self),
            String(decoding: text.utf8.dropFirst(digits), as: UTF8.self)
        )
    }

    private static func quantity(
        _ text: String, _ units: [(name: String, factor: Int64)], what: String, _ expectation: String,
        fallback: String, suffix: String = ""
    ) throws(ValueProblem) -> Int64 {
        let (number, unit) = split(text)
        let written = "\"\((text + suffix).clipped(40))\""
        guard !number.isEmpty else {
            throw ValueProblem(message: "\(written) is not \(what)", expectation: expectation)
        }
        guard let factor = units.first(where: { $0.name == unit })?.factor else {
            if unit.hasPrefix(".") {
                throw ValueProblem(
                    message: "\(written) is not a whole number with a unit", expectation: expectation)
            }
            let known = units.map(\.name)
            let near =
                known.first { $0.lowercased() == unit.lowercased() }
                ?? unitsMeant[unit.lowercased()].flatMap { known.contains($0) ? $0 : nil }
            throw ValueProblem(
                message: unit.isEmpty
                    ? "\(written) has no unit"
                    : "\"\(unit.clipped(20))\" in \(written) is not a unit of \(what)",
                expectation: expectation,
                suggestion: unit.isEmpty
                    ? number + fallback + suffix : near.map { number + $0 + suffix })
        }
        guard let value = Int64(number), !value.multipliedReportingOverflow(by: factor).overflow else {
            throw ValueProblem(message: "\(written) is too large", expectation: expectation)
        }
        return value * factor
    }
}

enum Suggestion {
    /// The candidate that is nearest in edits (insert, delete, exchange, swap of neighbours), if it is
    /// near enough to be probably meant: at most a third of the length, at least one edit.
    static func nearest(to word: String, in candidates: [String]) -> String? {
        guard word.utf8.count <= 64 else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let allowed = max(1, max(word.utf8.count, candidate.utf8.count) / 3)
            let distance = distance(Array(word.lowercased().utf8), Array(candidate.lowercased().utf8))
            if distance <= allowed, distance < candidate.utf8.count, distance < best?.distance ?? .max {
                best = (candidate, distance)
            }
        }
        return best?.name
    }

    private static func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
        var older: [Int] = []
        var previous = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var cost = min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, row[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { cost = min(cost, older[j - 1] + 1) }
                row.append(cost)
            }
            older = previous
            previous = row
        }
        return previous[b.count]
    }
}
