// Endpoints as plain values, for programs that have no view of their own.

/// One endpoint as balancing sees it.
public struct Candidate: Sendable, Equatable {
    /// What it is called; its identity comes from this.
    public var name: String
    /// Relative share of traffic; 0 takes it out.
    public var weight: UInt32
    /// Requests in flight.
    public var load: Int
    /// How long it takes to answer, smoothed, in microseconds; 0: not known.
    public var latencyUs: UInt32
    /// What speaks against it.
    public var standing: Standing

    public init(
        _ name: String, weight: UInt32 = 1, load: Int = 0, latencyUs: UInt32 = 0, standing: Standing = []
    ) {
        self.name = name
        self.weight = weight
        self.load = load
        self.latencyUs = latencyUs
        self.standing = standing
    }
}

/// A list of them as a view.
public struct Candidates: EndpointView, Sendable {
    public var all: [Candidate]
    public var barring = Standing.byAnyone

    public init(_ all: [Candidate]) { self.all = all }

    public var count: Int { all.count }
    public func identity(_ index: Int) -> UInt64 { StableHash.of(all[index].name.utf8) }
    public func weight(_ index: Int) -> UInt32 { all[index].weight }
    public func load(_ index: Int) -> Int { all[index].load }
    public func latencyUs(_ index: Int) -> UInt32 { all[index].latencyUs }
    public func standing(_ index: Int) -> Standing { all[index].standing }
}
