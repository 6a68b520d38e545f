// RFC 9110 §13 and §14 as a table: which of the conditions decides, and what comes out.

import Testing

@testable import WeirFiles

@Suite struct FileDecisionTests {
    static let current = tag(1000, modified)
    static let date = "Sun, 06 Nov 1994 08:49:37 GMT"
    static let before = "Sun, 06 Nov 1994 08:49:36 GMT"
    static let after = "Sun, 06 Nov 1994 08:49:38 GMT"

    @Test(arguments: [
        // §13.1.1 If-Match, strong
        ("If-Match: *", FileDecision.whole),
        ("If-Match: \(current)", .whole),
        ("If-Match: \"a\", \(current)", .whole),
        ("If-Match: \"a\"", .preconditionFailed),
        ("If-Match: W/\(current)", .preconditionFailed),
        ("If-Match: a", .preconditionFailed),
        ("If-Match: \"a\"\r\nIf-Match: \(current)", .whole),
        // §13.1.2 If-None-Match, weak
        ("If-None-Match: *", .notModified),
        ("If-None-Match: \(current)", .notModified),
        ("If-None-Match: W/\(current)", .notModified),
        ("If-None-Match: \"a\" , W/\(current)", .notModified),
        ("If-None-Match: \"a\",\"b\"", .whole),
        ("If-None-Match: \"a\"\r\nIf-None-Match: \(current)", .notModified),
        ("If-None-Match: \"a", .whole),
        ("If-None-Match: \"a,\(current)", .whole),
        // A tag in a tag is no tag.
        ("If-None-Match: \"x\(current)x\"", .whole),
        // §13.1.3 If-Modified-Since
        ("If-Modified-Since: \(date)", .notModified),
        ("If-Modified-Since: \(after)", .notModified),
        ("If-Modified-Since: \(before)", .whole),
        ("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT", .notModified),
        ("If-Modified-Since: yesterday", .whole),
        ("If-Modified-Since: \(after)\r\nIf-Modified-Since: \(after)", .whole),
        // §13.1.4 If-Unmodified-Since
        ("If-Unmodified-Since: \(date)", .whole),
        ("If-Unmodified-Since: \(before)", .preconditionFailed),
        ("If-Unmodified-Since: yesterday", .whole),
        // §13.2.2: tags before dates
        ("If-Match: \(current)\r\nIf-Unmodified-Since: \(before)", .whole),
        ("If-None-Match: \"a\"\r\nIf-Modified-Since: \(after)", .whole),
        ("If-Match: \"a\"\r\nIf-None-Match: \(current)", .preconditionFailed),
        ("If-Match: \(current)\r\nIf-None-Match: \(current)", .notModified),
        ("If-Unmodified-Since: \(date)\r\nIf-None-Match: \(current)", .notModified),
        // Conditions before ranges
        ("If-None-Match: \(current)\r\nRange: bytes=0-1", .notModified),
        ("If-Match: \"a\"\r\nRange: bytes=0-1", .preconditionFailed),
        ("If-Modified-Since: \(date)\r\nRange: bytes=5000-", .notModified),
        // §14.2
        ("Range: bytes=0-1", .spans(1)),
        ("Range: bytes=0-1,500-501", .spans(2)),
        ("Range: bytes=5000-", .unsatisfiable),
        ("Range: bytes=0-1\r\nRange: bytes=2-3", .whole),
        // §13.1.5 If-Range
        ("If-Range: \(current)\r\nRange: bytes=0-1", .spans(1)),
        ("If-Range: \"a\"\r\nRange: bytes=0-1", .whole),
        ("If-Range: W/\(current)\r\nRange: bytes=0-1", .whole),
        ("If-Range: \(date)\r\nRange: bytes=0-1", .spans(1)),
        ("If-Range: \(after)\r\nRange: bytes=0-1", .whole),
        ("If-Range: *\r\nRange: bytes=0-1", .whole),
        ("If-Range: \"a\"\r\nRange: bytes=5000-", .whole),
        ("If-Range: \(current)\r\nIf-Range: \(current)\r\nRange: bytes=0-1", .whole),
        ("If-Range: \(current)", .whole),
    ])
    func get(fields: String, expected: FileDecision) {
        #expect(decide([fields]).0 == expected)
    }

    @Test func headHasConditionsAndNoRanges() {
        #expect(decide(["If-None-Match: \(Self.current)"], method: "HEAD").0 == .notModified)
        #expect(decide(["If-Match: \"a\""], method: "HEAD").0 == .preconditionFailed)
        #expect(decide(["Range: bytes=0-1"], method: "HEAD").0 == .whole)
        #expect(decide(["Range: bytes=5000-"], method: "HEAD").0 == .whole)
    }

    @Test func aFileOfThisVerySecondHasNoStrongDate() {
        let fields = ["If-Range: \(Self.date)", "Range: bytes=0-1"]
        #expect(decide(fields, now: modified / 1_000_000_000).0 == .whole)
        #expect(decide(fields, now: modified / 1_000_000_000 + 1).0 == .spans(1))
    }

    @Test func aFileOfTheFutureIsDatedNow() {
        #expect(FileFacts(size: 1, modifiedNs: (now + 100) * 1_000_000_000).modifiedSeconds(now: now) == now)
        #expect(FileFacts(size: 1, modifiedNs: -1).modifiedSeconds(now: now) == -1)
    }

    @Test func tagsTellSizeTimeAndCodingApart() {
        let tags = [
            tag(1, 1), tag(2, 1), tag(1, 2), tag(1, 1, .gzip), tag(1, 1, .br), tag(0x11, 1), tag(1, 0x11),
            tag(.max, .max, .zstd), tag(.max, -1, .zstd),
        ]
        #expect(Set(tags).count == tags.count)
        #expect(tags[0] == "\"1-1\"")
        #expect(tags[7] == "\"7fffffffffffffff-ffffffffffffffff-zstd\"")
    }
}
