// What arguments mean, and what a mistake says.

import Reactor
import Testing

@testable import Admin

/// Splits at spaces; "_" stands for a space inside an argument.
private func parse(_ line: String) -> Command.Outcome {
    Command.parse(line.split(separator: " ").map { String($0.replacing("_", with: " ")) })
}

private func mistake(_ outcome: Command.Outcome) -> String {
    if case .mistake(let text) = outcome { text } else { "no mistake: \(outcome)" }
}

private func help(_ line: String) -> String? {
    if case .command(.help(let text)) = parse(line) { text } else { nil }
}

@Suite struct CommandLineTests {
    @Test(arguments: [
        ("run", Command.run(config: "weir.yaml")),
        ("run -c a.yaml", .run(config: "a.yaml")),
        ("run -ca.yaml", .run(config: "a.yaml")),
        ("run --config a.yaml", .run(config: "a.yaml")),
        ("run --config=a=b.yaml", .run(config: "a=b.yaml")),
        ("run -c -", .run(config: "-")),
        ("check", .check(config: "weir.yaml", format: .text)),
        ("check a.yaml", .check(config: "a.yaml", format: .text)),
        ("check -- -a.yaml", .check(config: "-a.yaml", format: .text)),
        ("check --format json -c a.yaml", .check(config: "a.yaml", format: .json)),
        ("reload", .reload(admin: "127.0.0.1:9900")),
        ("reload --admin [::1]:9900", .reload(admin: "[::1]:9900")),
        ("status", .status(service: nil, admin: "127.0.0.1:9900", format: .text)),
        (
            "status api --format=json --admin unix:/run/weir.sock",
            .status(service: "api", admin: "unix:/run/weir.sock", format: .json)
        ),
        ("schema", .schema),
        (
            "proxy --to 127.0.0.1:3000",
            .proxy(listen: ":8080", to: ["127.0.0.1:3000"], admin: "127.0.0.1:9900")
        ),
        ("proxy --admin off --to a:1", .proxy(listen: ":8080", to: ["a:1"], admin: "off")),
        ("proxy --to a:1 --admin :9901", .proxy(listen: ":8080", to: ["a:1"], admin: ":9901")),
        ("serve", .serve(folder: ".", listen: ":8080", admin: "off")),
        ("serve x --admin unix:/run/a", .serve(folder: "x", listen: ":8080", admin: "unix:/run/a")),
        (
            "proxy --to a:1 --listen :80 --to b.example:65535 --to [::1]:3 --to unix:/run/a",
            .proxy(
                listen: ":80", to: ["a:1", "b.example:65535", "[::1]:3", "unix:/run/a"],
                admin: "127.0.0.1:9900")
        ),
        (
            "proxy --listen 127.0.0.1:0 --to a:1",
            .proxy(listen: "127.0.0.1:0", to: ["a:1"], admin: "127.0.0.1:9900")
        ),
        ("version", .version), ("--version", .version), ("-V", .version),
    ])
    func commands(_ line: String, _ command: Command) {
        #expect(parse(line) == .command(command))
    }

    @Test func explain() {
        var wanted = Command.Explain(source: .file("weir.yaml"), method: "GET", url: "/x")
        #expect(parse("explain GET /x") == .command(.explain(wanted)))
        #expect(parse("explain /x") == .command(.explain(wanted)))

        wanted = Command.Explain(
            source: .live(admin: "127.0.0.1:9900"), method: "purge", url: "http://a/b?c=d")
        wanted.headers = [.init(name: "Host", value: "a:b"), .init(name: "X-Empty", value: "")]
        wanted.client = IPAddress(v4: 0xcb00_7109)
        wanted.format = .json
        #expect(
            parse(
                "explain --live purge -H Host:_a:b_ http://a/b?c=d --client 203.0.113.9 --format json -HX-Empty:"
            )
                == .command(.explain(wanted)))

        #expect(
            parse("explain --live --admin 10.0.0.1:9900 GET /")
                == .command(.explain(.init(source: .live(admin: "10.0.0.1:9900"), method: "GET", url: "/"))))
    }

    @Test(arguments: [
        ("", "say what to do"),
        ("-c weir.yaml", "the command comes before '-c'"),
        ("rnu", "there is no command 'rnu'; did you mean 'run'?"),
        ("Check", "did you mean 'check'?"),
        ("frobnicate", "there is no command 'frobnicate'\n"),
        ("run x", "'x' is one argument too many for 'weir run'"),
        ("run -c", "'--config' needs a value: --config FILE"),
        ("run --config=", "'--config' needs a value"),
        ("run -c --live", "'--config' needs a value"),
        ("run -c a -c b", "'--config' is given twice: 'a' and 'b'"),
        ("run --confg a", "there is no flag '--confg'; did you mean '--config'?"),
        ("run --to a:1", "'--to' is not a flag of 'weir run', but of 'weir proxy'"),
        ("run -H a:b", "'-H' is not a flag of 'weir run', but of 'weir explain'"),
        ("run -x", "there is no flag '-x' of 'weir run'"),
        ("run --version", "'--version' stands alone"),
        ("check a.yaml -c b.yaml", "two files: '-c b.yaml' and 'a.yaml'"),
        ("check --format xml", "'--format xml': expected 'text' or 'json'"),
        ("explain", "an argument is missing: weir explain"),
        ("explain GET", "the URL after 'GET' is missing"),
        ("explain GET /a /b", "'/b' is one argument too many"),
        ("explain G(T /a", "'G(T' is not a method"),
        ("explain GET /a_b", "spaces or control characters"),
        ("explain GET / -H Host", "'-H Host': expected a header 'Name: value'"),
        ("explain GET / -H :x", "expected a header"),
        ("explain GET / -H a_b:x", "expected a header"),
        ("explain GET / -H a:x\r\ny:z", "expected a header"),
        ("explain GET / --client example.com", "'--client example.com': expected an IP address"),
        ("explain --live -c a.yaml GET /", "give one"),
        ("explain --admin :1 GET /", "'--admin :1' goes with '--live'"),
        ("explain --admin a:1 GET /", "'--admin a:1' goes with '--live'"),
        ("explain --live=yes GET /", "'--live' takes no value"),
        ("reload now", "'now' is one argument too many"),
        ("status --admin 9900", "did you mean ':9900'?"),
        ("proxy", "'--to ADDRESS' is missing"),
        ("proxy --to 127.0.0.1", "'--to 127.0.0.1': the port is missing"),
        ("proxy --to http://127.0.0.1:3000", "leave out 'http://'"),
        ("proxy --to a:0", "'0' is not a port"),
        ("proxy --to a:65536", "'65536' is not a port"),
        ("proxy --to a:+1", "'+1' is not a port"),
        ("proxy --to a:", "'' is not a port"),
        ("proxy --to :3000", "the host is missing"),
        ("proxy --to ::1:3000", "an IPv6 address stands in brackets"),
        ("proxy --to [::1:3000", "an IPv6 address stands in brackets"),
        ("proxy --to a/b:3000", "'a/b' is not a host"),
        ("proxy --to unix:", "a socket path has 1 to 107 bytes"),
        ("proxy --to a:1 --listen 8080", "'--listen 8080': did you mean ':8080'?"),
        ("proxy --to a:1 --listen :1 --listen :2", "'--listen' is given twice: ':1' and ':2'"),
        ("proxy --live --to a:1", "'--live' is not a flag of 'weir proxy', but of 'weir explain'"),
        ("help rnu", "did you mean 'run'?"),
        ("help run run", "one argument too many"),
    ])
    func mistakes(_ line: String, _ part: String) {
        let text = mistake(parse(line))
        #expect(text.contains(part), "\(text)")
        #expect(text.hasPrefix("weir: "))
        #expect(text.contains("\nTry 'weir help"))
    }

    @Test func mistakePointsAtTheHelpOfItsCommand() {
        #expect(mistake(parse("proxy")).hasSuffix("\nTry 'weir help proxy'."))
        #expect(mistake(parse("nonsense")).hasSuffix("\nTry 'weir help'."))
    }

    @Test func helpIsReachedEveryWay() throws {
        let overview = try #require(help("help"))
        #expect(help("--help") == overview && help("-h") == overview)
        let run = try #require(help("help run"))
        #expect(run != overview)
        #expect(help("run --help") == run && help("run -c x -h") == run)
    }

    /// Nothing that can be written is left undocumented, and every example is right.
    @Test func helpIsCompleteAndItsExamplesWork() throws {
        let overview = try #require(help("help"))
        for verb in Verb.allCases {
            #expect(overview.contains("\n  \(verb.rawValue) "))
            let text = try #require(help("help \(verb.rawValue)"))
            #expect(text.hasPrefix("weir \(verb.rawValue)"))
            for flag in verb.flags { #expect(text.contains("--\(flag.rawValue)"), "\(verb) \(flag)") }
            for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
            for line in text.split(separator: "\n") where line.hasPrefix("  weir ") {
                let words = line.split(separator: ">")[0].replacing("'Host: example.com'", with: "Host:x")
                    .split(separator: " ").dropFirst()
                if case .mistake(let why) = Command.parse(words.map(String.init)) {
                    Issue.record("\(line): \(why)")
                }
            }
        }
    }

    @Test(arguments: [
        ("rn", "run"), ("rnu", "run"), ("chekc", "check"), ("explian", "explain"), ("statuss", "status"),
        ("STATUS", "status"), ("scheme", "schema"),
    ])
    func nearest(_ written: String, _ meant: String) {
        #expect(Command.nearest(written, Verb.allCases.map(\.rawValue)) == meant)
    }

    @Test func nothingIsNear() {
        for text in ["", "x", "serve-the-file", "zzzzzz", String(repeating: "r", count: 10_000)] {
            #expect(Command.nearest(text, Verb.allCases.map(\.rawValue)) == nil, "\(text)")
        }
    }
}
