// The configuration language, continued: compression of responses, decompression of requests.

extension Language {
    static let compression = Section(
        name: "compression",
        keys: [
            Key(
                "encodings", .oneOrMany(.choice(["zstd", "br", "gzip"])), default: "[zstd, br, gzip]",
                "Codings to offer, the preferred one first. A client's weights (`Accept-Encoding`) come before this order.",
                example: "encodings: [br, gzip]"),
            Key(
                "levels", .section(compressionLevels), "How much work is done for each coding.",
                example: "levels: { gzip: 6, br: 5 }"),
            Key(
                "min-size", .size(0...1_073_741_824), default: "1KiB",
                "Responses known to be smaller (`Content-Length`) go as they are.", example: "min-size: 256B"),
            Key(
                "types", .oneOrMany(.text(.mediaType)),
                default: "[\(Route.Compression.standardTypes.map(\.value).joined(separator: ", "))]",
                "Content types to compress: `type/subtype`, `type/*`, `type/*+suffix` or `*/*`. `text/event-stream` is compressed, event by event, only when it is named in full.",
                example: "types: [text/*, application/json]"),
        ])

    static let compressionLevels = Section(
        name: "levels",
        keys: [
            Key("gzip", .integer(1...9), default: "5", "Level of gzip.", example: "gzip: 6"),
            Key("br", .integer(0...6), default: "4", "Level of Brotli.", example: "br: 5"),
            Key("zstd", .integer(1...9), default: "3", "Level of Zstandard.", example: "zstd: 6"),
        ])

    static let decompression = Section(
        name: "decompress-requests",
        keys: [
            Key(
                "max-size", .size(1...1_099_511_627_776), required: true,
                "Most bytes a body may have once decoded; more is refused with 413.",
                example: "max-size: 16MiB"),
            Key(
                "max-ratio", .integer(1...1_000_000), default: "100",
                "Most bytes out of the decoder for each byte into it, judged from 1 MiB on; more is refused with 413.",
                example: "max-ratio: 200"),
        ])
}
