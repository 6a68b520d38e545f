// Accept-Encoding: which codings a client takes, and how much it likes them (RFC 9110 §12.5.3).
//
//     Accept-Encoding = #( codings [ weight ] )      codings = content-coding / "identity" / "*"
//     weight = OWS ";" OWS "q=" qvalue
//
// Anything else is malformed, and a malformed field counts as no field: the client gets the response as
// it is, which every client can read. The cost is linear in the value, whose length the head's limits bound.

/// What a client said about codings. Weights are parts per thousand. Plain data.
public struct AcceptedCodings: Equatable, Sendable, BitwiseCopyable {
    private static let unsaid: UInt16 = .max
    /// A client that names no weight for identity takes it, but everything it named rather.
    private static let lowest: UInt16 = 1

    private var gzip = AcceptedCodings.unsaid
    private var br = AcceptedCodings.unsaid
    private var zstd = AcceptedCodings.unsaid
    private var identity = AcceptedCodings.unsaid
    private var star = AcceptedCodings.unsaid
    private var isMalformed = false
    private var isPresent = false

    /// No field at all.
    public init() {}

    /// What a request says in all its fields of this name.
    public init(of request: RequestView) {
        for i in 0..<Int(request.head.pointee.fieldCount) where request.fields[i].id == .acceptEncoding {
            add(request.fields[i].value.bytes(in: request.bytes))
        }
    }

    /// Adds one field value. Several fields are one list (RFC 9110 §5.3); one malformed value spoils all.
    public mutating func add(_ value: UnsafeBufferPointer<UInt8>) {
        isPresent = true
        var cursor = 0
        guard let bytes = value.baseAddress else { return }
        while cursor < value.count {
            if Weight.isSpace(bytes[cursor]) || bytes[cursor] == UInt8(ascii: ",") {
                // Empty elements are allowed in what is received (RFC 9110 §5.6.1.2).
                cursor += 1
                continue
            }
            let start = cursor
            let nameCount = Weight.skipToken(bytes, value.count, &cursor)
            guard nameCount > 0, let weight = Self.weight(bytes, value.count, &cursor) else {
                isMalformed = true
                return
            }
            note(bytes + start, nameCount, weight)
        }
    }

    /// The weight of a coding, 0…1000; 0 is "not acceptable".
    public func weight(of coding: ContentCoding) -> Int {
        if isMalformed { return 0 }
        let own =
            switch coding {
            case .gzip: gzip
            case .br: br
            case .zstd: zstd
            }
        if own != Self.unsaid { return Int(own) }
        return star == Self.unsaid ? 0 : Int(star)
    }

    /// The weight of the response as it is, 0…1000.
    public var identityWeight: Int {
        if isMalformed || !isPresent { return 1000 }
        if identity != Self.unsaid { return Int(identity) }
        return star == Self.unsaid ? Int(Self.lowest) : Int(star)
    }

    /// The best coding: the greatest weight, then the configured order; nil when the client rather has
    /// the response as it is. A client that refuses everything, identity included, gets the response as
    /// it is too: RFC 9110 §12.5.3 prefers that to an error.
    public func choice(among order: CodingOrder) -> ContentCoding? {
        var best: ContentCoding?
        var bestWeight = max(1, identityWeight)
        for place in 0..<order.count {
            let weight = weight(of: order[place])
            if weight > bestWeight || (weight == bestWeight && best == nil) {
                best = order[place]
                bestWeight = weight
            }
        }
        return best
    }

    // MARK: - Parsing

    private mutating func note(_ name: UnsafePointer<UInt8>, _ count: Int, _ weight: UInt16) {
        // Said twice, the smaller weight counts: what was refused once is not sent.
        if let coding = ContentCoding(UnsafeBufferPointer(start: name, count: count)) {
            switch coding {
            case .gzip: gzip = min(gzip, weight)
            case .br: br = min(br, weight)
            case .zstd: zstd = min(zstd, weight)
            }
        } else if equals(name, count, lowercase: "identity") {
            identity = min(identity, weight)
        } else if count == 1, name[0] == UInt8(ascii: "*") {
            star = min(star, weight)
        }
    }

    /// What follows a name up to the end of its element; nil when that is not well-formed.
    private static func weight(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int) -> UInt16? {
        Weight.skipSpace(bytes, count, &cursor)
        if cursor == count || bytes[cursor] == UInt8(ascii: ",") { return Weight.full }
        guard bytes[cursor] == UInt8(ascii: ";") else { return nil }
        cursor += 1
        Weight.skipSpace(bytes, count, &cursor)
        guard cursor + 1 < count, asciiLowercased(bytes[cursor]) == UInt8(ascii: "q"),
            bytes[cursor + 1] == UInt8(ascii: "=")
        else { return nil }
        cursor += 2
        guard let weight = Weight.value(bytes, count, &cursor) else { return nil }
        Weight.skipSpace(bytes, count, &cursor)
        guard cursor == count || bytes[cursor] == UInt8(ascii: ",") else { return nil }
        return weight
    }
}
