// What routes inherit: `routes-defaults` of a place, and policies by name. Both are sections of keys of routes, and
// fill nothing themselves; Inheritance.swift gives routes what they say.

enum Policies {
    /// What a policy can say. Policies name no policies.
    static let shape = Route.section.shape.excerpt("policy", of: "routes[]", .policies)
}

extension RouteDefaults {
    static let shape = Route.section.shape.excerpt("routes-defaults", of: "routes[]", .defaults)
}

extension CrossCheck {
    /// Policies nobody named, and names of policies that are not there.
    func policies(_ check: inout SchemaCheck) {
        let key = RouteDefaults.policiesKey
        let known = written[key]?.entries.map(\.key) ?? []
        let names = Set(known.map(\.value))
        let places =
            [written[RouteDefaults.key]]
            + ["listeners", "services"].flatMap { written[$0]?.entries ?? [] }.map {
                $0.value[RouteDefaults.key]
            }
            + (written["routes"]?.elements ?? [])
        var used: Set<String> = []
        for name in places.flatMap({ $0?[key]?.texts ?? [] }) where !used.contains(name.value) {
            if names.contains(name.value) {
                used.insert(name.value)
            } else {
                check.dangling(name, "policy", plural: "policies", known.map(\.value))
            }
        }
        for name in known where !used.contains(name.value) {
            check.report(
                "policy \"\(name.value.clipped(64))\" is not used", name.origin, severity: .warning)
        }
    }
}
