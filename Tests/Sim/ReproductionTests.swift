// The same seed is the same run, event by event and record by record; another is another.

import Testing

@Suite struct ReproductionTests {
    @Test func aSeedRepeatsItsRun() throws {
        let configuration = try TrafficTests.configuration("again")
        func run(_ seed: UInt64) -> (hash: UInt64, records: [String], words: [String]) {
            let world = Simulation(seed: seed, configuration, traced: true)
            TrafficTests.play(world, configuration, faultsOneIn: 4)
            world.run(atMostMs: 60_000) { world.clients.allSatisfy(\.isDone) }
            world.expectRest()
            let records = world.records().map(\.line)
            world.close()
            return (world.trace.hash, records, world.trace.words)
        }
        var hashes: Set<UInt64> = []
        for seed in 1...UInt64(min(100, Seeds.count)) {
            let first = run(seed)
            let second = run(seed)
            let differs = zip(first.words, second.words).enumerated().first { $0.element.0 != $0.element.1 }
            #expect(
                first.hash == second.hash,
                "seed \(seed): step \(differs?.offset ?? -1) was \(differs?.element.0 ?? "") and is \(differs?.element.1 ?? "")"
            )
            #expect(first.records == second.records)
            #expect(!first.records.isEmpty, "seed \(seed)")
            if first.hash != second.hash { return }
            hashes.insert(first.hash)
        }
        #expect(hashes.count == min(100, Seeds.count))
    }
}
