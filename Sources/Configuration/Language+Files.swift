// The configuration language, continued: services that answer from a folder of files.

extension Language {
    static let files = Section(
        name: "files",
        keys: [
            Key(
                "root", .text(.folder), required: true,
                "The folder whose files are served. It has to exist. What it leads to may change at any time: a symbolic link that is switched is noticed within a second.",
                example: "root: /srv/www"),
            Key(
                "index", .oneOrMany(.text(.fileName)), default: "index.html",
                "Names tried in order when a folder is asked for; `[]` is none. There are no listings of folders: without an index the answer is a 404.",
                example: "index: [index.html, index.htm]"),
            Key(
                "fallback", .text(.filePath),
                "The file that answers, with status 200, for paths at which there is no file, as applications with routes of their own in the browser need it. Not for paths whose extension stands for something else than a page: a missing script is still a 404.",
                example: "fallback: index.html"),
            Key(
                "try", .list(.either([.text(.fileCandidate), .section(otherwise)])),
                default: "[\"{path}\", \"{path}/\", { status: 404 }]",
                "Where a file is looked for, in order: `{path}` stands for the path after the route's rewrite, `{path}/` for the index of the folder there, other variables as in header rules. The last entry may say who answers when there is no file: a service with endpoints, which then also gets every request that is neither GET nor HEAD, or a status. Instead of `fallback`.",
                example: "try: [\"{path}\", \"{path}/\", { service: app }]"),
            Key(
                "hidden", .bool, default: "false",
                "Serve files and folders whose names begin with a dot. `/.well-known/` is always served.",
                example: "hidden: true"),
            Key(
                "symlinks", .choice(["inside", "none", "anywhere"]), default: "inside",
                "Symbolic links that are followed: those that stay below the root (a link to an absolute path does not), none, or all.",
                example: "symlinks: none"),
            Key(
                "precompressed", .oneOrMany(.choice(["zstd", "br", "gzip"])), default: "[]",
                "Codings in which files lie beside the originals (`app.js.zst`, `app.js.br`, `app.js.gz`), in order of preference. One is sent to clients that accept it. The original has to exist too.",
                example: "precompressed: [br, gzip]"),
            Key(
                "cache", .list(.section(fileCache)), default: "[]",
                "What caches are told, by the path of the file that is served. The first entry that matches decides; without one there is no Cache-Control, and caches go by Last-Modified.",
                example:
                    "cache:\n  - { path: /assets/*, control: \"max-age=31536000, immutable\" }\n  - { path: \"*.html\", control: no-cache }"
            ),
            Key(
                "types", .map(.text(.fieldValue), of: .fileExtension),
                "Content types by extension, besides and before the built-in ones; `\"*\"` is the type of all that is not known, application/octet-stream if not given.",
                example: "types: { log: text/plain, \"*\": application/octet-stream }"),
        ],
        later: ["listing"])

    static let otherwise = Section(
        name: "try",
        keys: [
            Key(
                "service", .text(.name),
                "The service that answers, with the route's rewrite and header rules.",
                example: "service: app"),
            Key("status", .integer(400...599), "The status of the answer.", example: "status: 404"),
        ],
        exactlyOne: [["service", "status"]])

    static let fileCache = Section(
        name: "cache",
        keys: [
            Key(
                "path", .oneOrMany(.text(.filePattern)), required: true,
                "Patterns, in which `*` is any run of characters. With a slash at the start: the whole path below the root. Otherwise: the name of the file.",
                example: "path: [\"*.css\", \"*.js\"]"),
            Key(
                "control", .text(.fieldValue), "The value of Cache-Control.",
                example: "control: \"public, max-age=3600\""),
            Key(
                "expires", .duration(0...315_360_000_000),
                "How long the file may be used without asking again: Cache-Control with max-age, and Expires.",
                example: "expires: 1h"),
        ],
        exactlyOne: [["control", "expires"]])
}
