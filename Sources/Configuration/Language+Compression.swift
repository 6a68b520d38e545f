// The configuration language, continued: compression of responses, decompression of requests.

extension Language {
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
