// The table of UDP sessions against a dictionary, and at its edges.

import Reactor
import Testing

@testable import Proxy

@Suite struct SessionTableTests {
    private func key(
        _ n: Int, port: UInt16 = 53, listener: Int32 = 0, endpoint: Int32 = -1, local: UInt32 = 0
    )
        -> SessionKey
    {
        SessionKey(
            source: IPAddress(v4: UInt32(truncatingIfNeeded: n)), local: IPAddress(v4: local),
            listener: listener, endpoint: endpoint, port: port)
    }

    private func handle(_ n: Int) -> Handle { Handle(index: UInt32(n), generation: 1) }

    @Test func everyPartOfAKeyCounts() {
        var table = SessionTable(seed: (1, 2))
        let keys = [
            key(1), key(2), key(1, port: 54), key(1, listener: 1), key(1, endpoint: 0), key(1, local: 7),
            SessionKey(
                source: IPAddress(high: 1, low: key(1).source.low), local: .unspecified, listener: 0,
                endpoint: -1, port: 53),
        ]
        for (n, key) in keys.enumerated() { table.put(key, handle(n)) }
        #expect(table.count == keys.count)
        for (n, key) in keys.enumerated() { #expect(table.handle(of: key) == handle(n)) }
        table.forget(keys[0])
        #expect(table.handle(of: keys[0]) == nil)
        for (n, key) in keys.enumerated().dropFirst() { #expect(table.handle(of: key) == handle(n)) }
    }

    @Test func aKeyInsertedAgainChangesItsHandle() {
        var table = SessionTable(seed: (1, 2))
        table.put(key(1), handle(1))
        table.put(key(1), handle(2))
        #expect(table.count == 1)
        #expect(table.handle(of: key(1)) == handle(2))
    }

    @Test func removingWhatIsNotThereChangesNothing() {
        var table = SessionTable(seed: (1, 2))
        table.forget(key(1))
        table.put(key(1), handle(1))
        table.forget(key(2))
        #expect(table.count == 1)
        #expect(table.handle(of: key(1)) == handle(1))
    }

    /// Few keys in a small table, added and removed at random, so that chains run into each other and
    /// round the end; the same done to a dictionary.
    @Test(arguments: [UInt64(1), 2, 3, 4]) func agreesWithADictionary(seed: UInt64) {
        var table = SessionTable(seed: (seed &* 0x9e37_79b9_7f4a_7c15, seed))
        var model: [Int: Handle] = [:]
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        for step in 0..<20_000 {
            // Phases of growth and of shrinking.
            let bound = step / 2_000 % 2 == 0 ? 3 : 1
            let n = random(400)
            if random(4) < bound {
                table.put(key(n), handle(step))
                model[n] = handle(step)
            } else {
                table.forget(key(n))
                model[n] = nil
            }
            if step % 500 == 0 {
                #expect(table.count == model.count)
                for n in 0..<400 { #expect(table.handle(of: key(n)) == model[n]) }
            }
        }
    }

    @Test func memoryFollowsTheNumberOfSessions() {
        var table = SessionTable(seed: (5, 6))
        for n in 0..<100_000 { table.put(key(n), handle(n)) }
        #expect(table.slotCount >= 100_000 * 4 / 3)
        #expect(table.slotCount <= 262_144)
        for n in 0..<100_000 { table.forget(key(n)) }
        #expect(table.count == 0)
        #expect(table.slotCount == 64)
    }

    /// Sources that differ in few bits (one network, ports in a row) must not share a chain, and no
    /// fixed choice of sources may do badly for every secret.
    @Test func neighboursAreSpread() {
        for secret in [UInt64(0), 1, 0xffff_ffff_ffff_ffff, 0x0123_4567_89ab_cdef] {
            var table = SessionTable(seed: (secret, secret &* 3))
            for n in 0..<3_000 { table.put(key(0x0a00_0000, port: UInt16(1024 + n)), handle(n)) }
            #expect(table.longestRun < 128)
        }
    }
}
