import Testing

@testable import WeirFiles

@Suite struct ByteRangesTests {
    /// "whole", "none", or the spans as "first-last".
    static func read(_ value: String, size: UInt64) -> String {
        let spans = UnsafeMutablePointer<ByteSpan>.allocate(capacity: ByteRanges.partsMax)
        defer { spans.deallocate() }
        switch withBytes(value, { ByteRanges.read($0, size: size, into: spans) }) {
        case .whole: return "whole"
        case .unsatisfiable: return "none"
        case .spans(let count):
            return (0..<count).map { "\(spans[$0].first)-\(spans[$0].end - 1)" }.joined(separator: " ")
        }
    }

    @Test(arguments: [
        // One range
        ("bytes=0-499", "0-499"),
        ("bytes=500-999", "500-999"),
        ("bytes=-500", "500-999"),
        ("bytes=500-", "500-999"),
        ("bytes=0-0", "0-0"),
        ("bytes=-1", "999-999"),
        ("bytes=0-", "0-999"),
        ("bytes=-1000", "0-999"),
        ("bytes=-99999", "0-999"),
        ("bytes=0-99999999999999999999999", "0-999"),
        ("BYTES=0-1", "0-1"),
        ("bytes= 0-1 ", "0-1"),
        ("bytes=,,0-1,", "0-1"),
        // Nothing within
        ("bytes=1000-", "none"),
        ("bytes=1000-1001,2000-", "none"),
        ("bytes=-0", "none"),
        ("bytes=99999999999999999999999-", "none"),
        // Not for us, or not well-formed
        ("items=0-1", "whole"),
        ("bytes", "whole"),
        ("bytes=", "whole"),
        ("bytes=,", "whole"),
        ("bytes=-", "whole"),
        ("bytes=a-b", "whole"),
        ("bytes=5-2", "whole"),
        ("bytes=0-1;x", "whole"),
        ("bytes=0 - 1", "whole"),
        ("bytes=0-1 2-3", "whole"),
        ("bytes=+0-1", "whole"),
        ("bytes=0x0-1", "whole"),
        ("bytes =0-1", "whole"),
        // Several
        ("bytes=0-0,500-599,-1", "0-0 500-599 999-999"),
        ("bytes=500-599, 0-0", "500-599 0-0"),
        ("bytes=0-0,5000-,300-300", "0-0 300-300"),
        // Merged: overlapping, adjoining, or with a gap less than a part's head
        ("bytes=0-99,50-149", "0-149"),
        ("bytes=0-99,100-199", "0-199"),
        ("bytes=0-99,180-199", "0-199"),
        ("bytes=0-99,181-199", "0-99 181-199"),
        ("bytes=0-499,100-199", "0-499"),
        ("bytes=0-99,0-99,0-99,0-99", "0-99"),
        // Overlapping out of order
        ("bytes=100-199,0-150", "whole"),
        ("bytes=500-599,0-99,550-600", "whole"),
        ("bytes=0-,0-,0-", "0-999"),
        // All of it in pieces
        ("bytes=500-999,0-499", "whole"),
    ])
    func ofAThousandBytes(value: String, expected: String) {
        #expect(Self.read(value, size: 1000) == expected)
    }

    @Test func ofNothing() {
        #expect(Self.read("bytes=0-", size: 0) == "none")
        #expect(Self.read("bytes=0-0", size: 0) == "none")
        #expect(Self.read("bytes=-5", size: 0) == "whole")
    }

    @Test func ofTheLargest() {
        #expect(Self.read("bytes=-1", size: .max) == "\(UInt64.max - 1)-\(UInt64.max - 1)")
        #expect(Self.read("bytes=0-18446744073709551615", size: .max) == "0-\(UInt64.max - 1)")
    }

    @Test func manyRangesAreNotServed() {
        func ask(_ count: Int) -> String {
            Self.read(
                "bytes=" + (0..<count).map { "\($0 * 1000)-\($0 * 1000)" }.joined(separator: ","),
                size: 1 << 20)
        }
        #expect(ask(ByteRanges.partsMax).split(separator: " ").count == ByteRanges.partsMax)
        #expect(ask(ByteRanges.partsMax + 1) == "whole")
        // Counted as asked for, not as what is left after merging.
        #expect(Self.read("bytes=" + String(repeating: "0-1,", count: 17), size: 10) == "whole")
    }
}
