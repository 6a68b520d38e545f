// Exchanging the part of a text that a regular expression finds.
//
//   pattern: "^/user/([0-9]+)"   with: "/u/{match.1}"
//
// The first place found is exchanged, once; what stands before and behind it stays. A match has the limits
// that routing has (RegularExpression.swift): running into one is no match that could be guessed at, and the
// caller says what becomes of the text then.

import WeirHTTPModel

/// Where the groups of a match stand. Plain data, valid as long as the text.
public struct MatchedGroups: BitwiseCopyable {
    /// The highest number of a group that can be named.
    static let max = 9

    private let text: UnsafePointer<UInt8>
    private var ranges = InlineArray<10, ByteRange>(repeating: .empty)

    init(_ text: UnsafePointer<UInt8>) { self.text = text }

    /// The bytes of a group, none when it took no part; 0 is all that was found.
    public subscript(number: Int) -> UnsafeBufferPointer<UInt8> { ranges[number].bytes(in: text) }

    mutating func set(_ number: Int, _ range: ByteRange) { ranges[number] = range }
    /// Where all that was found stands.
    public var found: ByteRange { ranges[0] }
}

/// A pattern and what takes the place of what it finds.
public struct Substitution: Sendable {
    public enum Outcome {
        case found(MatchedGroups)
        case notFound
        /// The expression reached its limits.
        case failed
    }

    public let expression: RegularExpression
    public let with: Template

    public init(_ expression: RegularExpression, with: Template) {
        self.expression = expression
        self.with = with
    }

    /// Looks for the pattern in a text.
    public func find(in text: UnsafeBufferPointer<UInt8>, scratch: RouteScratch) -> Outcome {
        guard let start = text.baseAddress else {
            // An empty value has an address nowhere; a pattern may still find its emptiness.
            let none: StaticString = ""
            return find(none.utf8Start, 0, scratch)
        }
        return find(start, text.count, scratch)
    }

    /// Looks for the pattern in what decides for a path; the groups are those parts of the path itself.
    public func find(inPath path: UnsafeBufferPointer<UInt8>, scratch: RouteScratch) -> Outcome {
        guard let start = path.baseAddress else { return .notFound }
        let room = scratch.pathRoom(path.count)
        let count = PathForm.writeDeciding(start, path.count, into: room)
        switch find(room, count, scratch) {
        case .notFound: return .notFound
        case .failed: return .failed
        case .found(let deciding):
            var groups = MatchedGroups(start)
            for number in 0...MatchedGroups.max {
                let text = deciding[number]
                guard let from = text.baseAddress else { continue }
                let begin = PathForm.offset(of: from - UnsafePointer(room), in: start, path.count)
                let end = PathForm.offset(of: from - UnsafePointer(room) + text.count, in: start, path.count)
                groups.set(number, ByteRange(begin, end - begin))
            }
            return .found(groups)
        }
    }

    private func find(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: RouteScratch
    ) -> Outcome {
        switch scratch.match(expression.code, text, count) {
        case .unmatched: return .notFound
        case .failed: return .failed
        case .matched:
            var groups = MatchedGroups(text)
            for number in 0...min(expression.groupCount, MatchedGroups.max) {
                guard let range = scratch.group(number) else { continue }
                groups.set(number, ByteRange(range.start, range.end - range.start))
            }
            return .found(groups)
        }
    }
}
