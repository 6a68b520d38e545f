// Names of Unix sockets, and what is in their place.

import Glibc
import Testing

@testable import Reactor

@Suite struct UnixSocketPlaceTests {
    @Test(arguments: [
        (S_IFREG, "a regular file"), (S_IFDIR, "a folder"), (S_IFLNK, "a symbolic link"), (S_IFIFO, "a FIFO"),
        (S_IFCHR, "a device"),
    ])
    func whatIsNoSocketIsNeverAsked(_ kind: mode_t, _ name: String) {
        let place = UnixSocketPlace(kind: UInt32(kind)) {
            Issue.record("asked \(name)")
            return ECONNREFUSED
        }
        #expect(place == .refused(.notASocket(name)))
    }

    @Test func onlyARefusedSocketIsLeft() {
        let socket = UInt32(S_IFSOCK)
        #expect(UnixSocketPlace(kind: nil) { 0 } == .free)
        #expect(UnixSocketPlace(kind: socket) { ECONNREFUSED } == .left)
        #expect(UnixSocketPlace(kind: socket) { ENOENT } == .free)
        for answer in [0, EINPROGRESS, EAGAIN, EPROTOTYPE] {
            #expect(UnixSocketPlace(kind: socket) { answer } == .refused(.inUse))
        }
        #expect(UnixSocketPlace(kind: socket) { EACCES } == .refused(.system("connect", EACCES)))
    }
}
