// What every balancing algorithm sees and returns.
//
// A balancer is given a view of the endpoints and the endpoints already tried, and names one. It keeps
// no list of endpoints, no health and no load of its own: those are the caller's, read through the
// view. Everything is generic and inlinable so that the caller's view is compiled into the pick.

/// The endpoints of a service as a balancer reads them. Implement it with a small struct of pointers.
public protocol EndpointView {
    /// Number of endpoints; valid indexes are 0..<count.
    var count: Int { get }
    /// Relative share of traffic; 0 takes the endpoint out.
    func weight(_ index: Int) -> UInt32
    /// Requests in flight.
    func load(_ index: Int) -> Int
    /// Whether the endpoint may be chosen now (administration, discovery, health, breaker).
    func isAvailable(_ index: Int) -> Bool
}

extension EndpointView {
    @inlinable @inline(__always)
    func isEligible(_ index: Int, _ excluded: Excluded) -> Bool {
        isAvailable(index) && weight(index) > 0 && !excluded.contains(index)
    }
}

/// The endpoints a request has already tried. Plain data with a fixed capacity.
public struct Excluded: Sendable, BitwiseCopyable {
    /// More attempts than this per request are not remembered.
    public static let capacity = 8

    @usableFromInline var indexes = InlineArray<8, Int32>(repeating: -1)
    public private(set) var count: Int = 0

    public init() {}

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
