// The content codings Weir writes, and in which order a route prefers them.
//
// RFC 9110 §8.4.1 (gzip), RFC 7932 (br), RFC 8878 and RFC 9659 (zstd). `deflate` is read in request
// bodies (Decoder) and never written: half of its readers expect zlib's wrapper, the other half none.

import HTTPModel

/// A content coding a response can be sent in.
public enum ContentCoding: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case gzip = 1
    case br = 2
    case zstd = 3

    /// As it stands in `Content-Encoding`, `Accept-Encoding` and the configuration.
    public var name: StaticString {
        switch self {
        case .gzip: "gzip"
        case .br: "br"
        case .zstd: "zstd"
        }
    }

    /// The levels a route may ask for. Those above take tens of MiB of memory and many times the CPU time
    /// for a few percent: they are for files compressed once, not per request.
    public var levels: ClosedRange<Int> {
        switch self {
        case .gzip: 1...9
        case .br: 0...6
        case .zstd: 1...9
        }
    }

    /// Where more CPU time stops buying much size (docs/compression.md has the figures).
    public var defaultLevel: Int {
        switch self {
        case .gzip: 5
        case .br: 4
        case .zstd: 3
        }
    }

    /// The coding a token names, ASCII case ignored; `x-gzip` is gzip (RFC 9110 §8.4.1.3).
    public init?(_ token: UnsafeBufferPointer<UInt8>) {
        guard let start = token.baseAddress else { return nil }
        if equals(start, token.count, lowercase: "gzip") || equals(start, token.count, lowercase: "x-gzip") {
            self = .gzip
        } else if equals(start, token.count, lowercase: "br") {
            self = .br
        } else if equals(start, token.count, lowercase: "zstd") {
            self = .zstd
        } else {
            return nil
        }
    }
}

/// Codings in order of preference, each at most once. Plain data.
public struct CodingOrder: Equatable, Sendable, BitwiseCopyable {
    private var places: (UInt8, UInt8, UInt8) = (0, 0, 0)
    public private(set) var count = 0

    /// What a route uses unless it says otherwise: the strongest at equal cost first.
    public static let standard = CodingOrder([.zstd, .br, .gzip])

    /// Later mentions of the same coding are left out.
    public init(_ codings: [ContentCoding]) {
        for coding in codings { append(coding) }
    }

    /// Adds a coding behind the others, unless it is among them.
    public mutating func append(_ coding: ContentCoding) {
        for i in 0..<count where self[i] == coding { return }
        switch count {
        case 0: places.0 = coding.rawValue
        case 1: places.1 = coding.rawValue
        default: places.2 = coding.rawValue
        }
        count += 1
    }

    /// The coding at a place; 0 is the preferred one. The place is below `count`.
    public subscript(place: Int) -> ContentCoding {
        precondition(place >= 0 && place < count)
        let raw = place == 0 ? places.0 : place == 1 ? places.1 : places.2
        return ContentCoding(rawValue: raw) ?? .gzip
    }

    public static func == (a: CodingOrder, b: CodingOrder) -> Bool {
        a.count == b.count && a.places == b.places
    }
}
