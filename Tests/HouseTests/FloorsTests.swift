// Imports against the floors, banned calls, sizes of files, to-do markers.

import Testing

/// `import X`, with or without attributes and access levels before it, by the folder of the module: those that other
/// programs can use are called Weir and their folder's name.
private func imports(_ source: Source) -> [String] {
    source.code.compactMap { line in
        let words = line.split(separator: " ")
        guard let i = words.firstIndex(of: "import"), i + 1 < words.count else { return nil }
        let isImport = words[..<i].allSatisfy {
            $0.hasPrefix("@") || ["public", "internal", "private", "package"].contains($0)
        }
        guard isImport else { return nil }
        let rest = words[(i + 1)...].filter {
            !["struct", "class", "enum", "func", "protocol", "let", "var", "typealias"].contains($0)
        }
        guard let name = rest.first?.split(separator: ".").first else { return nil }
        let folder = name.trimmingPrefix("Weir")
        return String(Repository.modules.contains(String(folder)) ? folder : name)
    }
}

@Suite("The floors")
struct FloorsTests {
    @Test("there are sources to look at")
    func sourcesAreFound() {
        #expect(Repository.sources.count > 100)
        #expect(
            Repository.sources.contains {
                $0.path == "Sources/Proxy/Phases/Engine.swift" && imports($0).contains("HTTPModel")
            })
    }

    @Test("every module stands on a floor", arguments: Repository.modules)
    func moduleHasAFloor(module: String) {
        #expect(Floors.number(of: module) != nil, "\(module) is missing in Tests/HouseTests/Floors.swift")
    }

    @Test("a module imports only from floors below its own", arguments: Repository.sources)
    func importsPointDown(source: Source) throws {
        let floor = try #require(Floors.number(of: source.module))
        for name in imports(source) where !Floors.system.contains(name) {
            if let below = Floors.number(of: name) {
                let isNeighbour = Floors.neighbours[source.module]?.contains(name) ?? false
                #expect(below < floor || isNeighbour, "\(source.path) imports \(name), which is not below it")
                #expect(
                    !(Floors.forbidden[source.module]?.contains(name) ?? false),
                    "\(source.path) must not know \(name)")
                if let allowed = Floors.wrappers[name] {
                    #expect(
                        allowed.contains(source.module),
                        "\(name) is called through its wrapper in \(allowed.sorted())")
                }
            } else {
                // Foundation would multiply size and start-up time; what is needed of it is written here.
                #expect(floor >= 5 && name != "Foundation", "\(source.path) imports \(name)")
            }
        }
    }

    /// What must not be called, where it may be after all, and why not.
    struct Ban: Sendable {
        let call: String
        var except: Set<String> = []
        let because: String
    }
    static let bans = [
        Ban(call: "try!", because: "an error a peer or a file can cause must not end the process"),
        Ban(call: "as!", because: "a wrong guess would end the process"),
        Ban(
            call: "fatalError(",
            except: [
                "Sources/Reactor/Poller.swift", "Sources/Reactor/Mailbox.swift",
                "Sources/Reactor/Threads.swift",
            ],
            because: "only where the process cannot begin to work"),
        Ban(call: "ContinuousClock", because: "time is a parameter; the clock is Reactor/Clock"),
        Ban(call: "SuspendingClock", because: "time is a parameter; the clock is Reactor/Clock"),
        Ban(
            call: "clock_gettime(", except: ["Sources/Reactor/Clock.swift"],
            because: "the clock is Reactor/Clock"),
        Ban(call: "SystemRandomNumberGenerator", because: "randomness is a parameter"),
        Ban(
            call: ".random(in:", except: ["Sources/Control/ControlPlane.swift"],
            because: "without `using:` it asks the system's generator; only the control plane's edge may"),
        Ban(call: "usleep(", because: "nothing waits but the poller"),
        Ban(call: "nanosleep(", because: "nothing waits but the poller"),
        Ban(call: " sleep(", because: "nothing waits but the poller"),
        Ban(call: " Mutex<", because: "ThreadSanitizer does not see it: Locked"),
        Ban(call: " Mutex(", because: "ThreadSanitizer does not see it: Locked"),
    ]

    @Test("banned calls", arguments: bans)
    func bannedCallIsNotMade(ban: Ban) {
        for source in Repository.sources where !ban.except.contains(source.path) {
            for (i, line) in source.code.enumerated() where line.contains(ban.call) {
                if ban.call == ".random(in:" && line.contains("using:") { continue }
                Issue.record("\(source.path):\(i + 1): \(ban.call) \(ban.because)")
            }
        }
    }

    @Test("no phase asks which version of HTTP it serves")
    func phasesKnowNoVersion() {
        let version = /\.(isStream|stream|h2|h3|http2|http3)\b|HTTP[23]/
        let phases = Repository.sources.filter { $0.path.hasPrefix("Sources/Proxy/Phases/") }
        #expect(phases.count >= 10)
        for source in phases {
            for (i, line) in source.code.enumerated() {
                guard let found = line.firstMatch(of: version) else { continue }
                Issue.record(
                    "\(source.path):\(i + 1): \(found.output.0) belongs into Sources/Proxy/Codecs or Carriers"
                )
            }
        }
    }

    @Test("a bound inside Weir is told by its one maker (law 3)")
    func boundsHaveOneMaker() {
        var makers: [String] = []
        for source in Repository.sources where ["Proxy", "Resilience"].contains(source.module) {
            for line in source.code where line.contains("internalLimit") && !line.contains("case ") {
                makers.append(source.path)
            }
        }
        #expect(makers == ["Sources/Resilience/Failure.swift"])
    }

    @Test("no room knows a version of HTTP that carries streams but by the seam")
    func roomsKnowNoVersion() {
        // What a version brings of its own, and how it puts heads and bodies.
        let own: Set = ["HTTP2", "Codecs"]
        let version = /\.(h2|h3|http2|http3)\b|\b(Weir)?HTTP[23]\w*/
        var knowing: Set<String> = []
        for source in Repository.sources {
            guard let room = Rooms.room(of: source) else { continue }
            for (i, line) in source.code.enumerated() where !line.contains("import ") || !own.contains(room) {
                guard let found = line.firstMatch(of: version) else {
                    continue
                }
                knowing.insert(room)
                if own.contains(room) { continue }
                Issue.record(
                    "\(source.path):\(i + 1): \(found.output.0): rooms see a StreamSession, whatever its version"
                )
            }
        }
        // Otherwise the test would see nothing.
        #expect(knowing == own)
    }

    @Test("a file is read in one sitting", arguments: Repository.sources)
    func fileIsNotTooLong(source: Source) {
        let lines = source.text.split(separator: "\n", omittingEmptySubsequences: false).count
        #expect(lines <= 700, "\(source.path) has \(lines) lines")
    }

    @Test("a file says what it is for", arguments: Repository.sources)
    func fileHasAHeader(source: Source) {
        #expect(source.text.hasPrefix("//"), "\(source.path) does not begin with a comment")
    }

    @Test("what is left to do has an issue")
    func markersHaveANumber() {
        let marker = /(TODO|FIXME|XXX|HACK)(?!\(#\d+\))/
        for path in Repository.files("Sources", ending: [".swift", ".c", ".h"]) {
            for (i, line) in (Repository.read(path) ?? "").split(
                separator: "\n", omittingEmptySubsequences: false
            ).enumerated()
            where line.contains(marker) {
                Issue.record("\(path):\(i + 1): write it as TODO(#12), or do it")
            }
        }
    }

    @Test("no two kinds of token have one number: events of one would go to the other")
    func kindsOfTokens() throws {
        var owners: [Int: String] = [:]
        for source in Repository.sources where source.module == "Proxy" {
            let text = source.code.joined(separator: "\n")
            for block in text.matches(of: /(?:extension|enum) TokenKind \{([^}]*)\}/) {
                for kind in block.1.matches(of: /static let (\w+): UInt8 = (\d+)/) {
                    let number = try #require(Int(kind.2))
                    #expect(number < 64, "\(source.path): \(kind.1)")
                    let other = owners.updateValue("\(kind.1) in \(source.path)", forKey: number)
                    #expect(other == nil, "\(kind.1) in \(source.path) has the number of \(other ?? "")")
                }
                let kinds = block.1.matches(of: /static let/).count
                let read = block.1.matches(of: /static let (\w+): UInt8 = (\d+)/).count
                #expect(kinds == read, "\(source.path): kinds are written `static let name: UInt8 = 17`")
            }
        }
        #expect(owners.count > 10)
    }
}
