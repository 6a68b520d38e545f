// Compression of responses, and decoding of request bodies.

extension Route {
    /// Compression of responses.
    public struct Compression: Sendable, Hashable {
        public enum Encoding: String, Sendable, CaseIterable {
            case zstd, br, gzip
        }
        /// What shrinks: text, and formats made of it.
        public static let standardTypes = [
            "text/*", "application/json", "application/*+json", "application/javascript", "application/xml",
            "application/*+xml", "application/x-ndjson", "application/wasm", "image/svg+xml", "image/x-icon",
            "font/ttf", "font/otf", "application/vnd.ms-fontobject",
        ].map { Text($0) }

        /// In order of preference, without duplicates; at least one.
        public var encodings: [Encoding] = [.zstd, .br, .gzip]
        public var gzipLevel = 5
        public var brLevel = 4
        public var zstdLevel = 3
        /// Smallest known length that is compressed, in bytes.
        public var bytesMin = 1024
        /// "type/subtype", "type/*", "type/*+suffix" or "*/*", as written.
        public var types = standardTypes

        public init() {}
    }

    /// Decoding of request bodies before they are forwarded.
    public struct Decompression: Sendable, Equatable {
        /// Most decoded bytes of a body.
        public var bytesMax: Int64
        /// Most bytes out per byte in.
        public var ratioMax: Int64 = 100

        public init(bytesMax: Int64) { self.bytesMax = bytesMax }
    }
}

extension Route {
    /// Nil: responses go as they come.
    public var compression: Compression? {
        get { settings[Compression.self] }
        set { settings[Compression.self] = newValue }
    }

    /// Nil: request bodies go as they come.
    public var decompression: Decompression? {
        get { settings[Decompression.self] }
        set { settings[Decompression.self] = newValue }
    }
}

extension Route.Compression: PolicySetting {
    static let key = Key(
        "compression", section.or("off").or("on", shortFor: Self()), \Route.compression,
        for: [.forward, .respond],
        "Compresses responses for clients that take it: of endpoints, of files, and of `respond`. `on` is all defaults.",
        example: "compression: { encodings: [zstd, gzip], min-size: 2KiB }"
    ).inherited()

    static let section = Section("compression", { _ in Route.Compression() }) {
        Key(
            "encodings", OneOrMany(Choice<Encoding>()).unique, \.encodings,
            "Codings to offer, the preferred one first. A client's weights (`Accept-Encoding`) come before this order.",
            example: "encodings: [br, gzip]")
        Key(
            "levels", group: levels,
            "How much work is done for each coding.",
            example: "levels: { gzip: 6, br: 5, zstd: 6 }")
        Key(
            "min-size", Size(0...1_073_741_824), \.bytesMin,
            "Responses known to be smaller (`Content-Length`) go as they are.",
            example: "min-size: 256B")
        Key(
            "types", OneOrMany(TextRule.mediaType), \.types,
            "Content types to compress: `type/subtype`, `type/*`, `type/*+suffix` or `*/*`. `text/event-stream` is compressed, event by event, only when it is named in full.",
            example: "types: [text/*, application/json]")
    }

    private static let levels = Section("levels", { _ in Route.Compression() }) {
        Key(
            "gzip", Whole(1...9), \.gzipLevel,
            "Level of gzip.",
            example: "gzip: 6")
        Key(
            "br", Whole(0...6), \.brLevel,
            "Level of Brotli.",
            example: "br: 5")
        Key(
            "zstd", Whole(1...9), \.zstdLevel,
            "Level of Zstandard.",
            example: "zstd: 6")
    }

    /// For `weir explain`.
    public var text: String {
        "encodings=\(encodings.map(\.rawValue).joined(separator: ",")) levels=gzip:\(gzipLevel),br:\(brLevel),zstd:\(zstdLevel) min-size=\(Units.size(Int64(bytesMin))) types=\(types == Self.standardTypes ? "default" : types.map(\.shown).joined(separator: ","))"
    }
}

extension Route.Decompression: PolicySetting {
    static let key = Key(
        "decompress-requests", policy: section, for: .forward,
        "Decodes request bodies in gzip, br, zstd or deflate before they go to the service; other codings are refused with 415. Without it they go as they are.",
        example: "decompress-requests: { max-size: 16MiB }"
    ).inherited()

    static let section = Section("decompress-requests", { _ in Route.Decompression(bytesMax: 0) }) {
        Key(
            "max-size", Size(1...1_099_511_627_776), \.bytesMax, required: true,
            "Most bytes a body may have once decoded; more is refused with 413.",
            example: "max-size: 16MiB")
        Key(
            "max-ratio", Whole(1...1_000_000), \.ratioMax,
            "Most bytes out of the decoder for each byte into it, judged from 1 MiB on; more is refused with 413.",
            example: "max-ratio: 200")
    }

    /// For `weir explain`.
    public var text: String { "max-size=\(Units.size(bytesMax)) max-ratio=\(ratioMax)" }
}

extension CrossCheck {
    /// Lists that would switch compression off in a way nobody sees.
    func compression(_ route: Node, _ check: inout SchemaCheck) {
        for key in ["encodings", "types"] {
            guard let list = route["compression"]?[key], case .list(let elements) = list.content,
                elements.isEmpty
            else { continue }
            check.report(
                "\(key) of compression is empty", list.origin,
                "expected at least one, or compression: off")
        }
    }
}
