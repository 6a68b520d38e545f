// Services that answer from a folder of files.

/// A folder of files, served by Weir itself.
public struct ServedFiles: Sendable, Equatable {
    /// Where symbolic links below the root may lead.
    public enum Links: String, Sendable, CaseIterable {
        case inside, none, anywhere
    }
    public enum Precompressed: String, Sendable, CaseIterable {
        case zstd, br, gzip
    }
    /// What caches are told about the files that match.
    public struct Cache: Sendable, Equatable {
        public enum Action: Sendable, Equatable {
            /// The value of Cache-Control.
            case control(Text)
            /// Fresh for so many seconds.
            case expires(seconds: Int64)
        }
        /// At least one. "/…" is compared with the whole path, others with the file's name.
        public var paths: [Text]
        public var action: Action

        public init(paths: [Text], action: Action) {
            self.paths = paths
            self.action = action
        }
    }
    public struct ContentType: Sendable, Equatable {
        /// Without its dot; "*" is all that is not known.
        public var fileExtension: Text
        public var type: Text

        public init(fileExtension: Text, type: Text) {
            self.fileExtension = fileExtension
            self.type = type
        }
    }

    /// An absolute path.
    public var root: Text
    /// Names tried in order when a folder is asked for; may be empty.
    public var index = [Text("index.html")]
    /// Relative to the root: answers for paths at which there is no file.
    public var fallback: Text?
    /// Where a file is looked for, in order; `fallback` comes behind.
    public var candidates = [Text("{path}"), Text("{path}/")]
    /// Who answers when there is none.
    public var otherwise = Otherwise.status(404)

    public enum Otherwise: Sendable, Equatable {
        case service(Text)
        /// 400…599.
        case status(Int)
    }
    /// Serve names that begin with a dot.
    public var hidden = false
    public var links = Links.inside
    /// In order of preference, without duplicates.
    public var precompressed: [Precompressed] = []
    /// The first that matches decides.
    public var cache: [Cache] = []
    public var types: [ContentType] = []

    public init(root: Text) { self.root = root }
}

extension ServedFiles {
    static let section = Section(
        "files", { _ in ServedFiles(root: Text("")) }, later: ["listing"],
        uses: { $0.fallback == nil ? .candidates : .fallback }
    ) {
        Key(
            "root", TextRule.folder, \.root, required: true,
            "The folder whose files are served. It has to exist. What it leads to may change at any time: a symbolic link that is switched is noticed within a second.",
            example: "root: /srv/www")
        Key(
            "index", OneOrMany(TextRule.fileName), \.index,
            "Names tried in order when a folder is asked for; `[]` is none. There are no listings of folders: without an index the answer is a 404.",
            example: "index: [index.html, index.htm]")
        Key(
            "fallback", TextRule.filePath, \.fallback,
            "The file that answers, with status 200, for paths at which there is no file, as applications with routes of their own in the browser need it. Not for paths whose extension stands for something else than a page: a missing script is still a 404.",
            example: "fallback: index.html")
        Key(
            "try", ListOf(Entry.form), get: \.entries, set: { $0.entries = $1 }, for: .candidates,
            "Where a file is looked for, in order: `{path}` stands for the path after the route's rewrite, `{path}/` for the index of the folder there, other variables as in header rules. The last entry may say who answers when there is no file: a service with endpoints, which then also gets every request that is neither GET nor HEAD, or a status. Instead of `fallback`.",
            example: "try: [\"{path}\", \"{path}/\", { service: app }]")
        Key(
            "hidden", Flag(), \.hidden,
            "Serve files and folders whose names begin with a dot. `/.well-known/` is always served.",
            example: "hidden: true")
        Key(
            "symlinks", Choice(), \.links,
            "Symbolic links that are followed: those that stay below the root (a link to an absolute path does not), none, or all.",
            example: "symlinks: none")
        Key(
            "precompressed", OneOrMany(Choice<Precompressed>()).unique, \.precompressed,
            "Codings in which files lie beside the originals (`app.js.zst`, `app.js.br`, `app.js.gz`), in order of preference. One is sent to clients that accept it. The original has to exist too.",
            example: "precompressed: [br, gzip]")
        Key(
            "cache", ListOf(Cache.section), \.cache,
            "What caches are told, by the path of the file that is served. The first entry that matches decides; without one there is no Cache-Control, and caches go by Last-Modified.",
            example:
                "cache:\n  - { path: /assets/*, control: \"max-age=31536000, immutable\" }\n  - { path: \"*.html\", control: no-cache }"
        )
        Key(
            "types",
            MapOf(
                .fileExtension, TextRule.fieldValue, { ContentType(fileExtension: $0, type: $1) },
                { ($0.fileExtension, $0.type) }), \.types,
            "Content types by extension, besides and before the built-in ones; `\"*\"` is the type of all that is not known, application/octet-stream if not given.",
            example: "types: { log: text/plain, \"*\": application/octet-stream }")
    }

    /// An entry of `try`.
    fileprivate enum Entry: Sendable {
        case path(Text)
        case otherwise(Otherwise)

        static let form = TextOrMap(
            TextRule.fileCandidate.mapped(
                to: { Entry.path($0) }, from: { if case .path(let text) = $0 { text } else { nil } }),
            Otherwise.section.mapped(
                to: { Entry.otherwise($0) }, from: { if case .otherwise(let who) = $0 { who } else { nil } }))
    }

    /// Where to look, and behind it who answers if there is nothing.
    fileprivate var entries: [Entry]? {
        get { candidates.map { .path($0) } + [.otherwise(otherwise)] }
        set {
            candidates = []
            for entry in newValue ?? [] {
                switch entry {
                case .path(let text): candidates.append(text)
                case .otherwise(let who): otherwise = who
                }
            }
        }
    }
}

extension ServedFiles.Otherwise {
    fileprivate static let section = Section(
        "try", { _ in ServedFiles.Otherwise.status(404) }, exactlyOne: [["service", "status"]]
    ) {
        Key(
            "service", TextRule.name, get: { if case .service(let name) = $0 { name } else { nil } },
            set: { $0 = .service($1) },
            "The service that answers, with the route's rewrite and header rules.",
            example: "service: app")
        Key(
            "status", Whole<Int>(400...599),
            get: { if case .status(let status) = $0 { status } else { nil } }, set: { $0 = .status($1) },
            "The status of the answer.",
            example: "status: 410")
    }
}

extension ServedFiles.Cache {
    fileprivate static let section = Section(
        "cache", { _ in ServedFiles.Cache(paths: [], action: .expires(seconds: 0)) },
        exactlyOne: [["control", "expires"]]
    ) {
        Key(
            "path", OneOrMany(TextRule.filePattern), \.paths, required: true,
            "Patterns, in which `*` is any run of characters. With a slash at the start: the whole path below the root. Otherwise: the name of the file.",
            example: "path: [\"*.css\", \"*.js\"]")
        Key(
            "control", TextRule.fieldValue,
            get: { if case .control(let text) = $0.action { text } else { nil } },
            set: { $0.action = .control($1) },
            "The value of Cache-Control.",
            example: "control: \"public, max-age=3600\"")
        Key(
            "expires", Duration(0...315_360_000_000),
            get: { if case .expires(let seconds) = $0.action { seconds * 1000 } else { nil } },
            set: { $0.action = .expires(seconds: $1 / 1000) },
            "How long the file may be used without asking again: Cache-Control with max-age, and Expires.",
            example: "expires: 1h")
    }
}
