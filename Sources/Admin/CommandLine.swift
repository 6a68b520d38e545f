// The command line: arguments in, one command or one explained mistake out.
//
// Pure; reads no files and prints nothing. The help texts are made from the same table as the parser
// (CommandLineHelp.swift), so a flag cannot be parsed and undocumented. Flags may stand before or
// after other arguments; "--" ends them. A mistake names the argument, says what was expected and
// suggests the nearest spelling; nothing is guessed and run.

import Reactor

/// Exit codes of every command.
public enum ExitCode {
    /// The command did what it says.
    public static let ok: Int32 = 0
    /// It could not: a bad configuration, an unreachable process, a port in use.
    public static let failed: Int32 = 1
    /// The arguments were wrong; nothing was tried.
    public static let usage: Int32 = 2
}

/// How results are printed.
public enum OutputFormat: String, Equatable, Sendable, CaseIterable {
    case text, json
}

/// One thing to do.
public enum Command: Equatable, Sendable {
    /// Serve what the file says until a signal.
    case run(config: String)
    /// Check a file and report every error in it.
    case check(config: String, format: OutputFormat)
    /// Show the certificates a file names, and how they stand.
    case cert(config: String, format: OutputFormat)
    /// Tell what a request would meet.
    case explain(Explain)
    /// Have the running process read its file again.
    case reload(admin: String)
    /// Show what the running process believes, of one service or all.
    case status(service: String?, admin: String, format: OutputFormat)
    /// Print the JSON Schema of the configuration.
    case schema
    /// Balance one listener over endpoints without a file.
    case proxy(listen: String, to: [String], admin: String)
    /// Serve the files of a folder without a file of configuration.
    case serve(folder: String, listen: String, admin: String)
    case version
    /// Print this text and succeed.
    case help(text: String)

    /// The question of `weir explain`.
    public struct Explain: Equatable, Sendable {
        /// Where the configuration comes from.
        public enum Source: Equatable, Sendable {
            case file(String)
            /// The running process, asked at its admin address.
            case live(admin: String)
        }

        /// A request header as given with -H.
        public struct Header: Equatable, Sendable {
            public var name: String
            public var value: String

            public init(name: String, value: String) {
                self.name = name
                self.value = value
            }
        }

        public var source: Source
        /// As written: methods are case-sensitive (RFC 9110 §9.1).
        public var method: String
        /// "http://host/path", "host/path" or "/path".
        public var url: String
        public var headers: [Header] = []
        /// The client's address; nil: 127.0.0.1.
        public var client: IPAddress?
        public var format = OutputFormat.text

        public init(source: Source, method: String, url: String) {
            self.source = source
            self.method = method
            self.url = url
        }
    }

    /// What parsing came to.
    public enum Outcome: Equatable, Sendable {
        case command(Command)
        /// Print to standard error and end with `ExitCode.usage`. Ends without a newline.
        case mistake(String)
    }

    /// Where the configuration is looked for unless -c says otherwise.
    public static let configDefault = "weir.yaml"
    /// Where the admin listener of the running process is unless --admin says otherwise.
    public static let adminDefault = "127.0.0.1:9900"
    /// What --admin says to have no admin listener: the default of `weir serve`.
    public static let adminOff = "off"
    /// Where `weir proxy` and `weir serve` listen unless --listen says otherwise.
    public static let listenDefault = ":8080"

    /// Reads the arguments, program name left out.
    public static func parse(_ arguments: [String]) -> Outcome {
        do throws(Mistake) {
            return .command(try parseThrowing(arguments))
        } catch {
            return .mistake(error.text)
        }
    }
}

/// An argument that is wrong, in words for the user.
struct Mistake: Error {
    let text: String

    /// - Parameter verb: whose help to point at; nil: the overview.
    init(_ text: String, _ verb: Verb?) {
        let help = verb.map { "weir help \($0.rawValue)" } ?? "weir help"
        self.text = "weir: \(text)\nTry '\(help)'."
    }
}

extension Command {
    private static func parseThrowing(_ arguments: [String]) throws(Mistake) -> Command {
        guard let first = arguments.first else {
            throw Mistake("say what to do, for example 'weir run' or 'weir proxy --to 127.0.0.1:3000'", nil)
        }
        switch first {
        case "-h", "--help": return .help(text: Help.overview)
        case "-V", "--version": return .version
        default: break
        }
        guard let verb = Verb(rawValue: first) else {
            if first.hasPrefix("-") {
                throw Mistake("the command comes before '\(first)', for example 'weir run \(first)'", nil)
            }
            let hint = nearest(first, Verb.allCases.map(\.rawValue)).map { "; did you mean '\($0)'?" } ?? ""
            throw Mistake("there is no command '\(first)'\(hint)", nil)
        }
        let given = try Given(verb, arguments.dropFirst())
        if given.isHelpWanted { return .help(text: Help.text(verb)) }
        return try build(verb, given)
    }

    private static func build(_ verb: Verb, _ given: Given) throws(Mistake) -> Command {
        switch verb {
        case .run:
            try given.expect(0...0)
            return .run(config: given.one(.config) ?? configDefault)
        case .cert:
            try given.expect(0...0)
            return .cert(config: given.one(.config) ?? configDefault, format: try given.format())
        case .check:
            // "weir check weir.yaml" is what fingers type.
            try given.expect(0...1)
            let flag = given.one(.config)
            if let flag, let plain = given.plain.first {
                throw Mistake("two files: '-c \(flag)' and '\(plain)'", verb)
            }
            return .check(
                config: flag ?? given.plain.first ?? configDefault, format: try given.format())
        case .explain:
            return .explain(try explain(given))
        case .reload:
            try given.expect(0...0)
            return .reload(admin: try given.address(.admin) ?? adminDefault)
        case .status:
            try given.expect(0...1)
            return .status(
                service: given.plain.first, admin: try given.address(.admin) ?? adminDefault,
                format: try given.format())
        case .schema:
            try given.expect(0...0)
            return .schema
        case .proxy:
            try given.expect(0...0)
            let to = given.all(.to)
            guard !to.isEmpty else {
                throw Mistake(
                    "'--to ADDRESS' is missing: where the traffic goes, for example "
                        + "'weir proxy --to 127.0.0.1:3000'", verb)
            }
            for address in to { try checkAddress(address, .to, verb) }
            return .proxy(
                listen: try given.address(.listen) ?? listenDefault, to: to,
                admin: try given.adminListener() ?? adminDefault)
        case .serve:
            try given.expect(0...1)
            let folder = given.plain.first ?? "."
            guard !folder.isEmpty else { throw Mistake("the name of the folder is empty", verb) }
            return .serve(
                folder: folder, listen: try given.address(.listen) ?? listenDefault,
                admin: try given.adminListener() ?? adminOff)
        case .version:
            try given.expect(0...0)
            return .version
        case .help:
            try given.expect(0...1)
            guard let topic = given.plain.first else { return .help(text: Help.overview) }
            guard let about = Verb(rawValue: topic) else {
                let hint =
                    nearest(topic, Verb.allCases.map(\.rawValue)).map { "; did you mean '\($0)'?" } ?? ""
                throw Mistake("there is no command '\(topic)'\(hint)", nil)
            }
            return .help(text: Help.text(about))
        }
    }

    private static func explain(_ given: Given) throws(Mistake) -> Explain {
        try given.expect(1...2)
        let file = given.one(.config)
        let admin = try given.address(.admin)
        if given.has(.live), let file {
            throw Mistake("'--live' asks the running process, '-c \(file)' a file: give one", .explain)
        }
        if let admin, !given.has(.live) {
            throw Mistake("'--admin \(admin)' goes with '--live'", .explain)
        }
        let method = given.plain.count == 2 ? given.plain[0] : "GET"
        guard !method.isEmpty, method.utf8.allSatisfy(isTokenByte) else {
            throw Mistake(
                "'\(method)' is not a method; expected METHOD URL, for example "
                    + "'weir explain GET http://example.com/'", .explain)
        }
        let url = given.plain[given.plain.count - 1]
        guard !url.isEmpty, url.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw Mistake("the URL is empty or has spaces or control characters in it", .explain)
        }
        if given.plain.count == 1, url.utf8.allSatisfy({ $0 &- 65 < 26 }) {
            throw Mistake("the URL after '\(url)' is missing", .explain)
        }
        var result = Explain(
            source: given.has(.live) ? .live(admin: admin ?? adminDefault) : .file(file ?? configDefault),
            method: method, url: url)
        for text in given.all(.header) { result.headers.append(try header(text)) }
        if let client = given.one(.client) {
            guard let address = IPAddress(client: client) else {
                throw Mistake(
                    "'--client \(client)': expected an IP address, for example 203.0.113.9, or unix", .explain
                )
            }
            result.client = address
        }
        result.format = try given.format()
        return result
    }

    private static func header(_ text: String) throws(Mistake) -> Explain.Header {
        guard let colon = text.firstIndex(of: ":"), colon > text.startIndex,
            text[..<colon].utf8.allSatisfy(isTokenByte),
            !text.utf8.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 })
        else {
            throw Mistake("'-H \(text)': expected a header 'Name: value'", .explain)
        }
        var value = text[text.index(after: colon)...]
        while value.first == " " || value.first == "\t" { value.removeFirst() }
        while value.last == " " || value.last == "\t" { value.removeLast() }
        return Explain.Header(name: String(text[..<colon]), value: String(value))
    }

    /// RFC 9110 §5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }

    /// ":8080", "host:8080", "[::1]:8080", "unix:/path" or "unix:@name". Whether the host exists is found out
    /// later.
    static func checkAddress(_ text: String, _ flag: Flag, _ verb: Verb) throws(Mistake) {
        func wrong(_ why: String) -> Mistake { Mistake("'\(flag.name) \(text)': \(why)", verb) }
        // ":PORT" is a place to listen, and to ask on this machine.
        let needsHost = flag == .to
        let form =
            !needsHost ? "':8080', '127.0.0.1:8080' or 'unix:/path'" : "'127.0.0.1:3000' or 'unix:/path'"
        if text.hasPrefix("unix:") {
            let count = text.utf8.count - 5
            guard count > 0, count <= 107, !text.utf8.contains(0) else {
                throw wrong("a socket path has 1 to 107 bytes")
            }
            return
        }
        for scheme in ["http://", "https://", "tcp://"] where text.lowercased().hasPrefix(scheme) {
            throw wrong("an address, not a URL: leave out '\(scheme)' and the path; expected \(form)")
        }
        guard let colon = text.lastIndex(of: ":") else {
            if let port = UInt16(text), !needsHost { throw wrong("did you mean ':\(port)'?") }
            throw wrong("the port is missing; expected \(form)")
        }
        let host = text[..<colon]
        let port = text[text.index(after: colon)...]
        guard let number = UInt16(port), number > 0 || flag == .listen,
            port.utf8.allSatisfy({ $0 &- 48 < 10 })
        else { throw wrong("'\(port)' is not a port; expected \(form)") }
        if host.isEmpty {
            guard !needsHost else { throw wrong("the host is missing; expected \(form)") }
        } else if host.contains(":") {
            // "[fe80::1%eth0]" is looked up later, like a name.
            let address = host.firstIndex(of: "%").map { host[..<$0] + "]" } ?? host
            guard host.hasPrefix("["), host.hasSuffix("]"), IPAddress(address) != nil else {
                throw wrong("an IPv6 address stands in brackets: '[::1]:8080'")
            }
        } else {
            guard host.utf8.allSatisfy({ isTokenByte($0) && $0 != UInt8(ascii: "|") }) else {
                throw wrong("'\(host)' is not a host; expected \(form)")
            }
        }
    }

    /// The candidate nearest to what was written, if it is near at all.
    static func nearest(_ text: String, _ candidates: [String]) -> String? {
        let best = candidates.map { ($0, distance(text.lowercased(), $0)) }.min { $0.1 < $1.1 }
        guard let best, best.1 <= max(1, best.0.count / 3) else { return nil }
        return best.0
    }

    /// Edits (insert, delete, replace, swap of neighbours) from one text to the other.
    private static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.utf8.prefix(64))
        let b = Array(b.utf8.prefix(64))
        var before: [Int] = []
        var above = Array(0...b.count)
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var best = min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
                row.append(best)
            }
            before = above
            above = row
        }
        return above[b.count]
    }
}
