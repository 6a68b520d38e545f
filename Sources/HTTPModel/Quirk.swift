// Ways in which the responses of one endpoint may break the standard and are read all the same.
//
// None is allowed unless a service names it: whoever reads the same bytes elsewhere (a cache between Weir
// and the endpoint, say) may read them otherwise.

/// One of them.
public enum Quirk: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    /// Spaces or tabs behind a chunk's size.
    case paddedChunkSize
    /// The same Content-Length several times, in fields or in one.
    case duplicateLength
    /// `Transfer-Encoding: identity`, and no other: a coding that RFC 9112 does not have any more. It counts
    /// as absent.
    case teIdentity

    /// As in the configuration and in metrics.
    public var name: StaticString {
        switch self {
        case .paddedChunkSize: "padded-chunk-size"
        case .duplicateLength: "duplicate-length"
        case .teIdentity: "te-identity"
        }
    }
}

/// A set of them.
public struct Quirks: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt8
    @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }
    public init(_ quirk: Quirk) { rawValue = 1 << quirk.rawValue }

    /// Those in it, in order.
    public var list: [Quirk] { Quirk.allCases.filter { contains(Quirks($0)) } }

    @inlinable public static var paddedChunkSize: Quirks { Quirks(rawValue: 1) }
    @inlinable public static var duplicateLength: Quirks { Quirks(rawValue: 2) }
    @inlinable public static var teIdentity: Quirks { Quirks(rawValue: 4) }
}
