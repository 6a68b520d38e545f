// Calls between the rooms of the data plane against their order, and the picture of them.

import Foundation
import Testing

@Suite("The rooms")
struct RoomsTests {
    @Test("every source of the data plane stands in a room of the list, and every room has sources")
    func roomsAreListed() {
        let sources = Repository.sources.filter { $0.module == "Proxy" }
        for source in sources {
            let room = Rooms.room(of: source)
            #expect(room.map { Rooms.all.contains($0) } ?? false, "\(source.path) is in no room of the list")
        }
        let used = Set(sources.compactMap { Rooms.room(of: $0) })
        #expect(Set(Rooms.all).subtracting(used).sorted() == [])
    }

    @Test("a room calls only rooms below its own")
    func callsPointDown() {
        // With a receiver and without one: otherwise the test would see nothing.
        #expect(Rooms.calls.contains { $0.from == "Files" && $0.to == "State" && $0.function == "fail" })
        #expect(Rooms.calls.contains { $0.from == "HTTP" && $0.to == "Phases" && $0.function == "settle" })
        for call in Rooms.calls where call.isUpward {
            Issue.record("\(call.file) calls \(call.function), which is \(call.to)'s, above \(call.from)")
        }
    }

    @Test("policies do not know each other")
    func policiesAreApart() {
        let sources = Repository.sources.filter { $0.path.hasPrefix("Sources/Proxy/Policies/") }
        func folder(_ source: Source) -> Substring { source.path.split(separator: "/")[3] }
        var owners: [Substring: Substring] = [:]
        for source in sources {
            for line in source.code {
                for match in line.matches(of: /(?:class|struct|enum) (\w+)/) {
                    owners[match.output.1] = folder(source)
                }
            }
        }
        #expect(owners.count >= 10)
        for source in sources {
            for line in source.code {
                for match in line.matches(of: /\w+/) {
                    guard let owner = owners[match.output], owner != folder(source) else { continue }
                    Issue.record("\(source.path) knows \(match.output) of \(owner)")
                }
            }
        }
    }

    @Test("ARCHITECTURE.md has a row for every room, in their order")
    func roomsAreDescribed() {
        let rows = ArchitectureTests.rows(under: "## The rooms of the data plane").compactMap {
            ArchitectureTests.quoted($0[0]).first
        }
        #expect(rows == Rooms.all)
    }

    @Test("the picture of the rooms is current (make house)")
    func pictureIsCurrent() throws {
        let path = "docs/house.svg"
        if ProcessInfo.processInfo.environment["WEIR_UPDATE_GOLDEN"] != nil {
            try Rooms.picture.write(
                to: Repository.root.appending(path: path), atomically: true, encoding: .utf8)
        }
        #expect(Repository.read(path) == Rooms.picture, "run `make house`")
    }
}
