// A property is run over many seeds; the first that violates it is named, and can be run again alone:
//
//     WEIR_SIM_SEED=17 swift test --filter TrafficTests        with all that happened
//     WEIR_SIM_SEEDS=10000 swift test --filter SimTests        more of them

import Configuration
import Glibc
import Testing

@testable import Proxy
@testable import Telemetry

enum Seeds {
    static let count = number("WEIR_SIM_SEEDS") ?? 1_000
    static let only = number("WEIR_SIM_SEED").map { UInt64($0) }

    private static func number(_ name: String) -> Int? {
        getenv(name).flatMap { Int(String(cString: $0)) }
    }
}

/// Runs a scene once for each seed. A scene plays, and says what it finds wrong by `violated`.
func overSeeds(
    _ configuration: PlaneConfiguration, sourceLocation: SourceLocation = #_sourceLocation,
    further: @escaping @Sendable (Route) -> [Policy] = { _ in [] }, _ scene: (Simulation) -> Void
) {
    let seeds = Seeds.only.map { $0...$0 } ?? 1...UInt64(Seeds.count)
    for seed in seeds {
        let world = Simulation(seed: seed, configuration, traced: Seeds.only != nil, further: further)
        scene(world)
        world.close()
        if Seeds.only != nil {
            let said = world.trace.words + world.records().map(\.line)
            print(said.joined(separator: "\n"))
        }
        guard world.violations.isEmpty else {
            Issue.record(
                "seed \(seed) (WEIR_SIM_SEED=\(seed) runs it alone): \(world.violations.prefix(5).joined(separator: "; "))",
                sourceLocation: sourceLocation)
            return
        }
    }
}
