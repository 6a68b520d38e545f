// What policies say on a route, each in a type of its own: a policy brings its key, and routes have no field for it.

/// What the key of a policy fills on a route. The key stands beside it, and is a line in `Route.section`:
///
///     extension Toll: PolicySetting {
///         static let key = Key("toll", policy: Toll.section, "What a passage costs.", example: "toll: { coins: 2 }").inherited()
///     }
public protocol PolicySetting: Sendable, Equatable {}

/// Values of several such types, one of each at most.
public struct PolicySettings: Sendable, Equatable {
    /// Few; those that were set.
    private var values: [any PolicySetting] = []

    public subscript<Setting: PolicySetting>(_ kind: Setting.Type) -> Setting? {
        get { values.lazy.compactMap { $0 as? Setting }.first }
        set {
            values.removeAll { $0 is Setting }
            if let newValue { values.append(newValue) }
        }
    }

    public static func == (one: Self, other: Self) -> Bool {
        one.values.count == other.values.count && one.values.allSatisfy { $0.isSame(in: other) }
    }
}

extension PolicySetting {
    fileprivate func isSame(in settings: PolicySettings) -> Bool { settings[Self.self] == self }
}

extension Key where Model == Route {
    /// The key of a policy.
    init<F: Form>(
        _ name: String, policy form: @escaping @autoclosure @Sendable () -> F, for uses: Uses = .all,
        since: String = KeyShape.firstVersion,
        _ doc: String, example: String
    ) where F.Value: PolicySetting {
        self.init(
            name, form(), get: { $0.settings[F.Value.self] }, set: { $0.settings[F.Value.self] = $1 },
            for: uses, since: since, doc, example: example)
    }
}
