// Help texts, written for someone who sees Weir for the first time.

enum Help {
    static let overview = """
        weir: a reverse proxy and load balancer

        Usage: weir COMMAND [FLAGS]

        \(Verb.allCases.map { "  \(pad($0.rawValue, 9))\(summary($0))" }.joined(separator: "\n"))

        Begin with one of these:
          weir proxy --listen :8080 --to 127.0.0.1:3000    no file needed
          weir check -c weir.yaml                          is this file right?
          weir run -c weir.yaml                            serve it

        'weir help COMMAND' tells more. Exit codes: 0 done, 1 failed, 2 wrong arguments.
        """

    static func text(_ verb: Verb) -> String {
        var parts = ["\(synopsis(verb))", details(verb)]
        if !verb.flags.isEmpty {
            let rows = verb.flags.map { (left: left($0), right: meaning($0, verb)) }
            let width = (rows.map(\.left.count).max() ?? 0) + 3
            parts.append(
                "Flags:\n" + rows.map { "  \(pad($0.left, width))\($0.right)" }.joined(separator: "\n"))
        }
        let examples = examples(verb)
        if !examples.isEmpty {
            parts.append(
                "Examples:\n" + examples.map { "  \($0)" }.joined(separator: "\n"))
        }
        return parts.joined(separator: "\n\n")
    }

    static func synopsis(_ verb: Verb) -> String {
        let arguments =
            switch verb {
            case .run: " [-c FILE]"
            case .check, .cert: " [-c FILE] [--format text|json]"
            case .explain: " [-c FILE | --live] [FLAGS] METHOD URL"
            case .reload: " [--admin ADDRESS]"
            case .status: " [SERVICE] [--admin ADDRESS] [--format text|json]"
            case .proxy: " [--listen ADDRESS] [--admin ADDRESS|off] --to ADDRESS [--to ADDRESS]..."
            case .serve: " [FOLDER] [--listen ADDRESS] [--admin ADDRESS|off]"
            case .help: " [COMMAND]"
            case .schema, .version: ""
            }
        return "weir \(verb.rawValue)\(arguments)"
    }

    private static func summary(_ verb: Verb) -> String {
        switch verb {
        case .run: "serve what a configuration file says"
        case .check: "check a configuration file and report every error in it"
        case .cert: "show the certificates a file names and when they expire"
        case .explain: "show which route and service a request would meet, and why"
        case .reload: "have the running process read its file again"
        case .status: "show what the running process believes about its services"
        case .schema: "print the JSON Schema of the configuration, for editors"
        case .proxy: "balance one address over others, without a file"
        case .serve: "serve the files of a folder, without a file of configuration"
        case .version: "print the version"
        case .help: "print this, or the help of a command"
        }
    }

    private static func details(_ verb: Verb) -> String {
        switch verb {
        case .run:
            """
            Serves the listeners, routes and services of a configuration file until told to stop.
            An error anywhere in the file stops it from starting; 'weir check' lists all of them.

            Signals: SIGHUP reads the file again (a bad file changes nothing), SIGTERM and SIGQUIT finish
            the requests under way and stop, a second one stops at once.
            """
        case .check:
            """
            Reads a configuration file as 'weir run' would, without serving it, and reports every
            error with line, column, what was expected and a suggestion. Ends with 1 if there is one.
            """
        case .cert:
            """
            Reads the certificates and keys a configuration file names and shows for which names each is
            served, when it expires and whether its chain is in the file. Ends with 1 if one is expired
            or cannot be used. Nothing is sent anywhere.
            """
        case .explain:
            """
            Says which route a request would take, which rules were tried before and why they did
            not match, and which service and endpoints are behind it. Nothing is sent anywhere.
            METHOD may be left out and is GET then. URL is 'http://host/path', 'host/path' or '/path'.
            """
        case .reload:
            """
            Asks the running process to read its configuration file again, as SIGHUP does, and reports
            the result. A file with errors changes nothing: the errors are printed, the old stays.
            """
        case .status:
            """
            Shows the services of the running process: endpoints with their state and the reason,
            connections, requests, failures. With SERVICE only that one.
            """
        case .schema:
            """
            Prints the JSON Schema of the configuration file. Editors with YAML support complete and
            check with it, for example after: # yaml-language-server: $schema=weir.schema.json
            """
        case .proxy:
            """
            Accepts HTTP on one address and balances it over one or more others, with the defaults a
            configuration file would have.

            ADDRESS is 'HOST:PORT', '[IPV6]:PORT' or 'unix:/path'; for --listen also ':PORT', which
            is every IPv4 and IPv6 address of this machine. A host name is looked up again whenever
            its DNS record expires. Two at once need an --admin address each, or --admin off.
            """
        case .serve:
            """
            Serves the files of FOLDER (the current one if not given) over HTTP: index.html for folders,
            ranges, conditional requests, no hidden files, no links that lead out of the folder.

            ADDRESS is ':PORT', which is every IPv4 and IPv6 address of this machine, 'IP:PORT' or
            'unix:/path'.
            """
        case .version: "Prints the version and ends."
        case .help: "Prints an overview, or what there is to know about one command."
        }
    }

    private static func left(_ flag: Flag) -> String {
        let short = flag.short.map { "-\($0), " } ?? "    "
        return "\(short)--\(flag.rawValue)\(flag.placeholder.map { " \($0)" } ?? "")"
    }

    private static func meaning(_ flag: Flag, _ verb: Verb) -> String {
        switch flag {
        case .config: "the configuration file (\(Command.configDefault))"
        case .listen: "where to accept connections (\(Command.listenDefault))"
        case .to: "where to send them; repeat it to balance over several"
        case .header: "a request header; may be repeated"
        case .client: "the address the request comes from (127.0.0.1)"
        case .live: "ask the running process instead of a file"
        case .admin where verb == .proxy || verb == .serve:
            "where the admin API listens, or 'off' (\(verb == .proxy ? Command.adminDefault : Command.adminOff))"
        case .admin:
            "admin listener of the running process (\(Command.adminDefault))"
                + (verb == .explain ? ", with --live" : "")
        case .format: "text or json (text)"
        }
    }

    private static func examples(_ verb: Verb) -> [String] {
        switch verb {
        case .run: ["weir run -c /etc/weir/weir.yaml"]
        case .check: ["weir check -c weir.yaml", "weir check -c weir.yaml --format json"]
        case .cert: ["weir cert -c /etc/weir/weir.yaml", "weir cert -c weir.yaml --format json"]
        case .explain:
            [
                "weir explain -c weir.yaml GET http://api.example.com/v1/users",
                "weir explain --live GET /login -H 'Host: example.com' --client 203.0.113.9",
            ]
        case .reload: ["weir reload"]
        case .status: ["weir status", "weir status api --format json"]
        case .schema: ["weir schema > weir.schema.json"]
        case .proxy:
            [
                "weir proxy --to 127.0.0.1:3000",
                "weir proxy --listen :80 --to 10.0.0.11:8080 --to 10.0.0.12:8080",
            ]
        case .serve: ["weir serve public", "weir serve /srv/www --listen 127.0.0.1:8080"]
        case .version: []
        case .help: ["weir help run"]
        }
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(1, width - text.count))
    }
}
