// Splitting arguments into flags with values and plain arguments, by the table of flags per command.

/// What can be done, as written on the command line.
enum Verb: String, CaseIterable {
    case run, check, cert, explain, reload, status, schema, proxy, serve, version, help

    /// The flags it takes, in the order its help shows them.
    var flags: [Flag] {
        switch self {
        case .run: [.config]
        case .check, .cert: [.config, .format]
        case .explain: [.config, .live, .admin, .header, .client, .format]
        case .reload: [.admin]
        case .status: [.admin, .format]
        case .proxy: [.listen, .to, .admin]
        case .serve: [.listen, .admin]
        case .schema, .version, .help: []
        }
    }
}

enum Flag: String, CaseIterable {
    case config, listen, to, header, client, live, admin, format

    /// As written in messages: the short form where it is the better known.
    var name: String {
        switch self {
        case .header: "-H"
        default: "--\(rawValue)"
        }
    }

    var short: Character? {
        switch self {
        case .config: "c"
        case .header: "H"
        default: nil
        }
    }

    /// nil for flags without a value.
    var placeholder: String? {
        switch self {
        case .config: "FILE"
        case .listen, .to, .admin: "ADDRESS"
        case .header: "'NAME: VALUE'"
        case .client: "IP"
        case .format: "FORMAT"
        case .live: nil
        }
    }

    var isRepeatable: Bool { self == .to || self == .header }
}

/// The arguments after the command.
struct Given {
    let verb: Verb
    private(set) var plain: [String] = []
    private(set) var isHelpWanted = false
    private var flags: [(flag: Flag, value: String)] = []

    init(_ verb: Verb, _ arguments: ArraySlice<String>) throws(Mistake) {
        self.verb = verb
        var rest = arguments
        var areFlagsOver = false
        while let argument = rest.popFirst() {
            if areFlagsOver || !argument.hasPrefix("-") || argument == "-" {
                plain.append(argument)
            } else if argument == "--" {
                areFlagsOver = true
            } else if argument == "-h" || argument == "--help" {
                isHelpWanted = true
                return
            } else {
                try take(argument, &rest)
            }
        }
    }

    private mutating func take(_ argument: String, _ rest: inout ArraySlice<String>) throws(Mistake) {
        let flag: Flag
        var attached: String?
        if argument.hasPrefix("--") {
            let parts = argument.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            flag = try find(String(parts[0]))
            if parts.count == 2 { attached = String(parts[1]) }
        } else {
            // "-c FILE" and "-cFILE".
            let letter = argument[argument.index(after: argument.startIndex)]
            guard let known = verb.flags.first(where: { $0.short == letter }) else {
                throw unknown("-\(letter)", Flag.allCases.first { $0.short == letter })
            }
            flag = known
            let value = argument.dropFirst(2)
            if !value.isEmpty { attached = String(value) }
        }

        guard let placeholder = flag.placeholder else {
            guard attached == nil else { throw Mistake("'\(flag.name)' takes no value", verb) }
            flags.append((flag, ""))
            return
        }
        // A flag in the place of a value is a forgotten value, not a file called "--live".
        if attached == nil, let next = rest.first, next == "-" || !next.hasPrefix("-") {
            attached = rest.removeFirst()
        }
        guard let attached, !attached.isEmpty else {
            throw Mistake("'\(flag.name)' needs a value: \(flag.name) \(placeholder)", verb)
        }
        if !flag.isRepeatable, let earlier = flags.first(where: { $0.flag == flag }) {
            throw Mistake(
                "'\(flag.name)' is given twice: '\(earlier.value)' and '\(attached)'", verb)
        }
        flags.append((flag, attached))
    }

    private func find(_ name: String) throws(Mistake) -> Flag {
        // "--header" is spelled out nowhere but understood.
        if let flag = verb.flags.first(where: { $0.rawValue == name }) { return flag }
        if name == "version" || name == "V" {
            throw Mistake("'--version' stands alone: 'weir version'", verb)
        }
        throw unknown("--\(name)", Flag(rawValue: name))
    }

    private func unknown(_ written: String, _ elsewhere: Flag?) -> Mistake {
        if let elsewhere {
            let owners = Verb.allCases.filter { $0.flags.contains(elsewhere) }.map { "'weir \($0.rawValue)'" }
            return Mistake(
                "'\(written)' is not a flag of 'weir \(verb.rawValue)', but of \(owners.joined(separator: ", "))",
                verb)
        }
        if let near = Command.nearest(String(written.drop { $0 == "-" }), verb.flags.map(\.rawValue)) {
            return Mistake("there is no flag '\(written)'; did you mean '--\(near)'?", verb)
        }
        return Mistake("there is no flag '\(written)' of 'weir \(verb.rawValue)'", verb)
    }

    // MARK: Asking

    func all(_ flag: Flag) -> [String] { flags.filter { $0.flag == flag }.map(\.value) }

    func has(_ flag: Flag) -> Bool { flags.contains { $0.flag == flag } }

    func one(_ flag: Flag) -> String? { all(flag).first }

    func address(_ flag: Flag) throws(Mistake) -> String? {
        guard let text = all(flag).first else { return nil }
        try Command.checkAddress(text, flag, verb)
        return text
    }

    /// Where an admin listener is to listen, or "off".
    func adminListener() throws(Mistake) -> String? {
        if all(.admin).first == Command.adminOff { return Command.adminOff }
        return try address(.admin)
    }

    func format() throws(Mistake) -> OutputFormat {
        guard let text = all(.format).first else { return .text }
        guard let format = OutputFormat(rawValue: text) else {
            throw Mistake("'--format \(text)': expected 'text' or 'json'", verb)
        }
        return format
    }

    /// Checks the number of plain arguments.
    func expect(_ count: ClosedRange<Int>) throws(Mistake) {
        if plain.count > count.upperBound {
            throw Mistake(
                "'\(plain[count.upperBound])' is one argument too many for 'weir \(verb.rawValue)'", verb)
        }
        if plain.count < count.lowerBound {
            throw Mistake("an argument is missing: \(Help.synopsis(verb))", verb)
        }
    }
}
