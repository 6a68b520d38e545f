// The content codings Weir sends and reads, and orders of them: for responses it codes, for files that
// lie around coded, for request bodies it decodes.
//
// RFC 9110 §8.4.1 (gzip), RFC 7932 (br), RFC 8878 and RFC 9659 (zstd). Names only: what codes and
// decodes is in Compression. `deflate` is read in request bodies and never sent: half of its readers
// expect zlib's wrapper, the other half none.

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

    private init() {}

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

    /// Takes a coding out; those behind it move up.
    public mutating func remove(_ coding: ContentCoding) {
        var rest = CodingOrder()
        for i in 0..<count where self[i] != coding { rest.append(self[i]) }
        self = rest
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

/// Codings a request body is decoded from.
public enum DecodedCoding: UInt8, Sendable, CaseIterable, BitwiseCopyable {
    case gzip = 1
    case br, zstd, deflate

    public var name: StaticString {
        switch self {
        case .gzip: "gzip"
        case .br: "br"
        case .zstd: "zstd"
        case .deflate: "deflate"
        }
    }

    /// The one coding a `Content-Encoding` value names; nil for none, several or an unknown one.
    public init?(_ value: UnsafeBufferPointer<UInt8>) {
        if let coding = ContentCoding(value) {
            switch coding {
            case .gzip: self = .gzip
            case .br: self = .br
            case .zstd: self = .zstd
            }
        } else if let start = value.baseAddress, equals(start, value.count, lowercase: "deflate") {
            self = .deflate
        } else {
            return nil
        }
    }
}
