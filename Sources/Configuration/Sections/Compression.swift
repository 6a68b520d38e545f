// The section `compression` of a route, and decoding of request bodies.

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
}

extension Route.Compression {
    static let definition = Definition(
        "compression", Self(),
        [
            Setting(
                "encodings", Distinct(OneOf(Encoding.self)), \.encodings,
                "Codings to offer, the preferred one first. A client's weights (`Accept-Encoding`) come before this order.",
                example: "encodings: [br, gzip]"),
            Setting(
                "levels", group: levels,
                "How much work is done for each coding.",
                example: "levels: { gzip: 6, br: 5 }"),
            Setting(
                "min-size", Size(0...1_073_741_824), \.bytesMin,
                "Responses known to be smaller (`Content-Length`) go as they are.",
                example: "min-size: 256B"),
            Setting(
                "types", Several(TextForm(.mediaType)), \.types,
                "Content types to compress: `type/subtype`, `type/*`, `type/*+suffix` or `*/*`. `text/event-stream` is compressed, event by event, only when it is named in full.",
                example: "types: [text/*, application/json]"),
        ])

    static let levels = Definition(
        "levels", Self(),
        [
            Setting(
                "gzip", Count(1...9), \.gzipLevel,
                "Level of gzip.",
                example: "gzip: 6"),
            Setting(
                "br", Count(0...6), \.brLevel,
                "Level of Brotli.",
                example: "br: 5"),
            Setting(
                "zstd", Count(1...9), \.zstdLevel,
                "Level of Zstandard.",
                example: "zstd: 6"),
        ])
}

extension Route {

    /// Decoding of request bodies before they are forwarded.
    public struct Decompression: Sendable, Equatable {
        /// Most decoded bytes of a body.
        public var bytesMax: Int64
        /// Most bytes out per byte in.
        public var ratioMax: Int64 = 100

        public init(bytesMax: Int64) { self.bytesMax = bytesMax }
    }
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

extension ConfigurationBuilder {
    /// Nil for `off` and for a route that does not say.
    func compression(_ node: Node?) -> Route.Compression? {
        guard let node else { return nil }
        var result = Route.Compression()
        if let text = node.text { return text == "on" ? result : nil }
        Route.Compression.definition.fill(&result, from: node)
        return result
    }

    func decompression(_ node: Node?) -> Route.Decompression? {
        guard let text = node?["max-size"]?.text, let size = try? Values.size(text) else { return nil }
        var result = Route.Decompression(bytesMax: size)
        if let ratio = node?["max-ratio"]?.text.flatMap({ Int64($0) }) { result.ratioMax = ratio }
        return result
    }
}

extension Route.Compression {
    /// For the normal form and `weir explain`.
    public var text: String {
        "encodings=\(encodings.map(\.rawValue).joined(separator: ",")) levels=gzip:\(gzipLevel),br:\(brLevel),zstd:\(zstdLevel) min-size=\(Units.size(Int64(bytesMin))) types=\(types == Self.standardTypes ? "default" : types.map(\.shown).joined(separator: ","))"
    }
}

extension Route.Decompression {
    public var text: String { "max-size=\(Units.size(bytesMax)) max-ratio=\(ratioMax)" }
}
