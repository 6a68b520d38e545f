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

    /// After the last field: whether `vary: Accept-Encoding` is to be added.
    public var needsVary: Bool { varies && !hasVary }

    /// Changes the fields of a response, which stand as lines in `writer` from `start` on.
    public func apply(from start: Int, _ writer: inout ByteWriter) {
        if !changesFields { return }
        var decision = self
        FieldLines.rewrite(from: start, &writer) {
            concerns($0, $1)
        } write: { line, writer in
            decision.write(line, &writer)
        }
        decision.writeAdded(&writer)
    }

    private func concerns(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        switch count {
        case 4:
            weakensTag && equals(name, count, lowercase: "etag")
                || varies && equals(name, count, lowercase: "vary")
        case 13: coding != nil && equals(name, count, lowercase: "accept-ranges")
        case 14: coding != nil && equals(name, count, lowercase: "content-length")
        default: false
        }
    }

    /// Writes a line that it concerns as it is to be, which for some is not at all.
    private mutating func write(_ line: FieldLines.Line, _ writer: inout ByteWriter) {
        if line.nameCount != 4 { return }
        let value = line.value(in: writer)
        if equals(writer.base + line.start, line.nameCount, lowercase: "etag") {
            writer.append(line.name(in: writer))
            writer.append(EntityTag.isStrong(value) ? ": W/" : ": ")
            writer.append(value)
        } else {
            // RFC 9110 §12.5.5: "*" already says that anything may matter.
            let list = ListValue(value)
            let isExtended = !hasVary && !list.contains("accept-encoding") && !list.contains("*")
            hasVary = true
            if isExtended && line.valueCount == 0 {
                hasVary = false
                return
            }
            writer.append(line.name(in: writer))
            writer.append(": ")
            writer.append(value)
            if isExtended { writer.append(", Accept-Encoding") }
        }
        writer.append("\r\n")
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
