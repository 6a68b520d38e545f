// What happens to the fields of a response that is, or could have been, compressed.
//
//     Content-Length     goes: the length is not known before the end
//     Content-Encoding   comes
//     ETag               a strong tag becomes weak: other bytes, same meaning (RFC 9110 §8.8.1)
//     Accept-Ranges      goes: a range of the plain bytes is no range of these
//     Vary               gains Accept-Encoding, also when this client wanted the plain response, or a
//                        cache would give one client's coding to another (RFC 9110 §12.5.5)

import WeirHTTPModel

/// The judgement on one response, and the writer of its fields. Plain data; lives as long as the head
/// is being written.
public struct CompressionDecision: Equatable, Sendable, BitwiseCopyable {
    /// How the body is to be coded; nil: as it is.
    public let coding: ContentCoding?
    /// Whether what the encoder holds back has to go out whenever the endpoint has nothing more to say at
    /// the moment: the response may be a live stream.
    public let flushesWhenIdle: Bool
    /// Whether `Vary` must name Accept-Encoding.
    let varies: Bool
    /// A strong ETag becomes weak.
    var weakensTag: Bool
    private var hasVary = false

    /// Nothing to do with compression: every field as it came.
    public static let pass = CompressionDecision(varies: false)

    init(coding: ContentCoding? = nil, flushesWhenIdle: Bool = false, varies: Bool = true) {
        self.coding = coding
        self.flushesWhenIdle = flushesWhenIdle
        self.varies = varies
        weakensTag = coding != nil
    }

    /// The same for a response that goes as it is after all.
    public var asItIs: CompressionDecision { CompressionDecision(varies: varies) }

    /// Whether fields have to be looked at one by one.
    public var changesFields: Bool { varies || coding != nil || weakensTag }

    /// What a field of the endpoint's head becomes.
    public enum Change: Equatable, Sendable, BitwiseCopyable {
        case keep
        case drop
        /// The value behind `W/`.
        case weaken
        /// The value, and behind it `, Accept-Encoding`.
        case extendVary
    }

    /// What becomes of a field. To be asked once for each field that is passed on, in order; afterwards
    /// `needsVary` says whether a Vary field has to be added.
    public mutating func change(_ field: Field, _ base: UnsafePointer<UInt8>) -> Change {
        switch field.id {
        case .contentLength:
            return coding != nil ? .drop : .keep
        case .etag where weakensTag:
            return EntityTag.isStrong(field.value.bytes(in: base)) ? .weaken : .keep
        case .vary where varies && !hasVary:
            hasVary = true
            let value = ListValue(field.value.bytes(in: base))
            // RFC 9110 §12.5.5: "*" already says that anything may matter.
            if value.contains("accept-encoding") || value.contains("*") { return .keep }
            return field.valueCount == 0 ? .drop : .extendVary
        case .other where coding != nil:
            let isRanges = equals(
                base + Int(field.nameOffset), Int(field.nameCount), lowercase: "accept-ranges")
            return isRanges ? .drop : .keep
        default:
            return .keep
        }
    }

    /// After the last field: whether `vary: Accept-Encoding` is to be added.
    public var needsVary: Bool { varies && !hasVary }

    /// Writes a field as HTTP/1.1 the way `change` says.
    public mutating func write(_ field: Field, _ base: UnsafePointer<UInt8>, _ writer: inout ByteWriter) {
        switch change(field, base) {
        case .keep:
            writer.appendField(field, base)
        case .drop:
            break
        case .weaken:
            writer.append(field.name.bytes(in: base))
            writer.append(": W/")
            writer.append(field.value.bytes(in: base))
            writer.append("\r\n")
        case .extendVary:
            writer.append(field.name.bytes(in: base))
            writer.append(": ")
            writer.append(field.value.bytes(in: base))
            writer.append(", Accept-Encoding\r\n")
        }
    }

    /// Writes the fields that are added, behind all others.
    public func writeAdded(_ writer: inout ByteWriter) {
        if let coding {
            writer.append("content-encoding: ")
            writer.append(coding.name)
            writer.append("\r\n")
        }
        if needsVary { writer.append("vary: Accept-Encoding\r\n") }
    }
}
