// The table of rooms: whose a token is, and what stops the program.

import Reactor
import Testing

@testable import Proxy

private final class Claiming: Room {
    let claimed: [UInt8]
    init(_ claimed: [UInt8]) { self.claimed = claimed }
    override var kinds: [UInt8] { claimed }
}

@Suite struct RoomTableTests {
    @Test func aKindIsItsRooms() {
        let rooms = [Claiming([0, 63]), Claiming([17])]
        let table = RoomTable(rooms)
        #expect(table.byKind[63].takeUnretainedValue() === rooms[0])
        #expect(table.byKind[17].takeUnretainedValue() === rooms[1])
    }

    @Test func theDataPlaneHasATable() {
        let table = RoomTable.dataPlane()
        #expect(Set(table.all.flatMap(\.kinds)).count == table.all.flatMap(\.kinds).count)
    }

    @Test func twoClaimsStopTheProgram() async {
        await #expect(processExitsWith: .failure) { _ = RoomTable([Claiming([3]), Claiming([3])]) }
    }

    @Test func aKindBeyondTheBoundStopsTheProgram() async {
        await #expect(processExitsWith: .failure) { _ = RoomTable([Claiming([64])]) }
    }

    /// Nobody's entries all trap.
    @Test func whatNobodyClaimsIsNotIgnored() {
        let table = RoomTable([Claiming([3])])
        #expect(table.byKind[3].takeUnretainedValue() is Claiming)
        for kind in [0, 4, 63] { #expect(table.byKind[kind].takeUnretainedValue() is Nobody) }
    }
}
