// A peer's end of a connection: bytes go out in pieces with pauses, and are taken in the same way, as the seed has it.

import Glibc
import Reactor

final class Wire {
    /// How large the pieces are, and how long the pauses between them.
    struct Pace {
        var bytesMax = 1 << 20
        var pauseMs = 0

        static let atOnce = Pace()
    }

    let number: Int
    private let socket: Socket
    private unowned let world: Simulation
    private var output: [UInt8] = []
    private var sent = 0
    private var canRead = false
    private var canWrite = true
    private var steps = 0
    /// Pieces so far.
    private var writesDone = 0
    private var readsDone = 0
    /// From here on nothing is taken from the other side.
    var isDeaf = false {
        didSet { if !isDeaf { wake() } }
    }
    var writes = Pace.atOnce
    var reads = Pace.atOnce
    private(set) var isClosed = false
    /// No more will come.
    private(set) var hasEnded = false
    /// What has come; valid during the call.
    var received: (UnsafeBufferPointer<UInt8>) -> Void = { _ in }
    /// The other side has ended, with an errno if not in order.
    var ended: (Int32) -> Void = { _ in }
    /// All that was to be sent is.
    var drained: () -> Void = {}

    init(_ world: Simulation, _ socket: Socket, number: Int) {
        self.world = world
        self.socket = socket
        self.number = number
    }

    var isDrained: Bool { sent == output.count }

    func send(_ bytes: [UInt8]) {
        if isDrained {
            output = bytes
            sent = 0
        } else {
            output += bytes
        }
        wake()
    }

    /// Closes it. What has not been read makes a reset of it (unix(7)).
    func close() {
        if isClosed { return }
        isClosed = true
        world.note(.closed, UInt64(number), UInt64(sent))
        socket.close()
        received = { _ in }
        ended = { _ in }
        drained = {}
    }

    /// Has sent its last.
    func shutdownWrite() { if !isClosed { socket.shutdownWrite() } }

    func noticed(_ readiness: Readiness) {
        if isClosed { return }
        if !readiness.isDisjoint(with: [.readable, .readHangUp, .hangUp, .error]) { canRead = true }
        if !readiness.isDisjoint(with: [.writable, .hangUp, .error]) { canWrite = true }
        wake()
    }

    private func wake() {
        if isClosed { return }
        scheduleStep(afterNs: world.chance.one(in: 4) ? UInt64(world.chance.below(300_000)) : 0)
    }

    private func scheduleStep(afterNs: UInt64) {
        // The first to come does all there is; the others find nothing.
        if steps > 2 { return }
        steps += 1
        world.after(ns: afterNs) { [self] in
            steps -= 1
            step()
        }
    }

    private func step() {
        if isClosed { return }
        read()
        if isClosed { return }
        write()
    }

    private func read() {
        if isDeaf || !canRead || hasEnded { return }
        let most = piece(reads, after: readsDone)
        readsDone += 1
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 65_536) { room in
            guard let start = room.baseAddress else { return }
            let count = socket.receive(start, most)
            if count > 0 {
                world.note(.received, UInt64(number), UInt64(count))
                received(UnsafeBufferPointer(start: start, count: count))
                if !isClosed { scheduleStep(afterNs: pause(reads)) }
            } else if count == -Int(EAGAIN) {
                canRead = false
            } else {
                hasEnded = true
                world.note(.ended, UInt64(number), UInt64(-count))
                ended(Int32(-count))
            }
        }
    }

    private func write() {
        if !canWrite || isDrained { return }
        let most = min(output.count - sent, piece(writes, after: writesDone))
        writesDone += 1
        let count = output.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.map { socket.send($0 + sent, most) } ?? 0
        }
        if count < 0 {
            canWrite = false
            if count == -Int(EAGAIN) { return }
            // The other side takes no more: what is left is for nobody. What it said before can still be read.
            output = []
            sent = 0
            return
        }
        world.note(.sent, UInt64(number), UInt64(count))
        sent += count
        if isDrained {
            drained()
        } else {
            scheduleStep(afterNs: pause(writes))
        }
    }

    /// The first pieces are as small as they may be; a large body does not come in single bytes to its end.
    private func piece(_ pace: Pace, after count: Int) -> Int {
        let most = min(65_536, pace.bytesMax << min(count / 16, 20))
        return pace.bytesMax >= 65_536 ? 65_536 : 1 + world.chance.below(most)
    }

    private func pause(_ pace: Pace) -> UInt64 {
        pace.pauseMs == 0 || writesDone + readsDone > 200
            ? 0 : UInt64(world.chance.below(pace.pauseMs * 1_000_000))
    }
}
