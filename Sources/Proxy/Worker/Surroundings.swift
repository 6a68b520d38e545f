// What a worker has from outside besides its events: time and chance. The machine's, or, where what happens is to happen
// again in the same way, a hand that is moved and a seed.

import Glibc
import Reactor

public struct Surroundings: Sendable {
    public var time = TimeSource.machine
    /// Everything random follows from it; nil: from what nobody outside knows.
    public var seed: UInt64?

    public init() {}

    /// Bits to begin with, another time each.
    mutating func bits() -> UInt64 {
        if let seed {
            var from = WorkerRandom(seed: seed)
            self.seed = from.next()
            return from.next()
        }
        var bits: UInt64 = 0
        getentropy(&bits, 8)
        return bits
    }
}
