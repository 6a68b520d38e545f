// What every balancing method sees and returns.
//
// A method is given a view of the endpoints and the endpoints already tried, and names one. It keeps no list
// of endpoints, no health and no load of its own: those are the caller's, read through the view, and may
// change between two picks. Everything is generic and inlinable so that the caller's view is compiled into the pick.

/// The endpoints of a service as a method reads them. Implement it with a small struct of pointers.
public protocol EndpointView {
    /// Number of endpoints; valid indexes are 0..<count.
    var count: Int { get }
    /// Who the endpoint is: the same after a reload, in every worker and in every process that has the same
    /// configuration, whatever its place among the others (`StableHash`).
    func identity(_ index: Int) -> UInt64
    /// Relative share of traffic; 0 takes the endpoint out.
    func weight(_ index: Int) -> UInt32
    /// Requests in flight.
    func load(_ index: Int) -> Int
    /// How long it takes to answer, smoothed, in microseconds; 0: not known.
    func latencyUs(_ index: Int) -> UInt32
    /// What speaks against it now.
    func standing(_ index: Int) -> Standing
    /// What keeps an endpoint from being picked: everything, until nobody is left (`Balancer.choose`).
    var barring: Standing { get set }
}

extension EndpointView {
    @inlinable @inline(__always)
    func isEligible(_ index: Int, _ excluded: Excluded) -> Bool {
        standing(index).isDisjoint(with: barring) && weight(index) > 0 && !excluded.contains(index)
    }
}

/// What speaks against an endpoint, by who says so. Empty: nothing. The three do not know of each other: a check
/// that succeeds does not end a drain.
public struct Standing: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt16

    @inlinable
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    /// The operator: nothing new, but whoever belongs to it may stay.
    public static let draining = Standing(rawValue: 1 << 0)
    /// The operator: nothing at all.
    public static let down = Standing(rawValue: 1 << 1)
    /// The source of endpoints does not name it any more; a request that began before still may.
    public static let withdrawn = Standing(rawValue: 1 << 2)
    /// Health, by checks.
    public static let failing = Standing(rawValue: 1 << 3)
    /// Health, by observation: something went wrong with it just now, for a while others are preferred.
    public static let resting = Standing(rawValue: 1 << 4)

    @inlinable public static var byOperator: Standing { Standing(rawValue: 0b11) }
    @inlinable public static var byAnyone: Standing { Standing(rawValue: .max) }
}

/// The endpoints a request has already tried. Plain data with a fixed capacity.
public struct Excluded: Sendable, BitwiseCopyable {
    /// More attempts than this per request are not remembered.
    public static let capacity = 8

    @usableFromInline var indexes = InlineArray<8, Int32>(repeating: -1)
    public private(set) var count: Int = 0

    @inlinable public init() {}

    @inlinable public var isEmpty: Bool { count == 0 }

    /// Remembers an endpoint.
    /// - Returns: false when the set is full and the endpoint was not added.
    @discardableResult
    public mutating func insert(_ index: Int) -> Bool {
        if contains(index) { return true }
        guard count < Self.capacity else { return false }
        indexes[count] = Int32(truncatingIfNeeded: index)
        count += 1
        return true
    }

    @inlinable
    public func contains(_ index: Int) -> Bool {
        var i = 0
        while i < count {
            if indexes[i] == Int32(truncatingIfNeeded: index) { return true }
            i &+= 1
        }
        return false
    }
}
