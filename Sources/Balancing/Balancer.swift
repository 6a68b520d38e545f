// The balancer of a service in one worker: one method, chosen by configuration, and the rule for when nobody is left.

/// A method and its state. The state stays where it is (mutating an enum's payload would copy it): a copy of a
/// balancer is the same balancer.
public struct Balancer: @unchecked Sendable {
    public let method: BalancingMethodName
    /// The method's own value.
    @usableFromInline let state: UnsafeMutableRawPointer
    private let owner: Owner

    public init(_ method: BalancingMethodName) {
        self.method = method
        state = method.open(Make())
        owner = Owner(method, state)
    }

    /// Adopts the endpoints and weights of the view. Call it whenever either changes; allocates.
    @inlinable
    public mutating func prepare<V: EndpointView, R: RandomNumberGenerator>(_ view: V, using random: inout R)
    {
        withUnsafeMutablePointer(to: &random) { method.open(Prepare(state: state, view: view, random: $0)) }
    }

    /// An endpoint for an attempt.
    ///
    /// 1. One nothing speaks against that has not been tried.
    /// 2. When none is left of those, **panic**: one that has not been tried, whatever its health and its source say.
    ///    Somebody believed to be ill may answer; nobody at all certainly does not.
    /// 3. When all have been tried, the same once more with all of them.
    ///
    /// What the operator took out (`Standing.byOperator`, weight 0) is never picked: nil when nothing else is there.
    @inlinable @inline(__always)
    public mutating func choose<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64? = nil, excluded: inout Excluded, using random: inout R
    ) -> Int? {
        // One alone is asked whatever it has done.
        if view.count == 1 {
            return view.standing(0).isDisjoint(with: .byOperator) && view.weight(0) > 0 ? 0 : nil
        }
        if let i = pick(view, key: key, excluded: excluded, using: &random) { return i }
        return chooseInPanic(view, key: key, excluded: &excluded, using: &random)
    }

    @inlinable @inline(never)
    mutating func chooseInPanic<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64?, excluded: inout Excluded, using random: inout R
    ) -> Int? {
        var anyone = view
        anyone.barring = .byOperator
        if let i = pick(anyone, key: key, excluded: excluded, using: &random) { return i }
        guard !excluded.isEmpty else { return nil }
        excluded = Excluded()
        return pick(view, key: key, excluded: excluded, using: &random)
            ?? pick(anyone, key: key, excluded: excluded, using: &random)
    }

    /// An endpoint by the method alone.
    @inlinable
    public mutating func pick<V: EndpointView, R: RandomNumberGenerator>(
        _ view: V, key: UInt64? = nil, excluded: Excluded, using random: inout R
    ) -> Int? {
        withUnsafeMutablePointer(to: &random) {
            method.open(Pick(state: state, view: view, key: key, excluded: excluded, random: $0))
        }
    }

    /// Frees the state with the last copy.
    private final class Owner {
        let method: BalancingMethodName
        let state: UnsafeMutableRawPointer

        init(_ method: BalancingMethodName, _ state: UnsafeMutableRawPointer) {
            self.method = method
            self.state = state
        }

        deinit { method.open(Destroy(state: state)) }
    }
}

// MARK: what is done with a method's state

private struct Make: BalancingMethodUse {
    func with<Method: BalancingMethod>(_: Method.Type) -> UnsafeMutableRawPointer {
        let state = UnsafeMutablePointer<Method>.allocate(capacity: 1)
        state.initialize(to: Method())
        return UnsafeMutableRawPointer(state)
    }
}

private struct Destroy: BalancingMethodUse {
    let state: UnsafeMutableRawPointer

    func with<Method: BalancingMethod>(_: Method.Type) {
        let state = state.assumingMemoryBound(to: Method.self)
        state.deinitialize(count: 1)
        state.deallocate()
    }
}

@usableFromInline
struct Prepare<V: EndpointView, R: RandomNumberGenerator>: BalancingMethodUse {
    @usableFromInline let state: UnsafeMutableRawPointer
    @usableFromInline let view: V
    @usableFromInline let random: UnsafeMutablePointer<R>

    @inlinable
    init(state: UnsafeMutableRawPointer, view: V, random: UnsafeMutablePointer<R>) {
        self.state = state
        self.view = view
        self.random = random
    }

    @inlinable
    func with<Method: BalancingMethod>(_: Method.Type) {
        state.assumingMemoryBound(to: Method.self).pointee.prepare(view, using: &random.pointee)
    }
}

@usableFromInline
struct Pick<V: EndpointView, R: RandomNumberGenerator>: BalancingMethodUse {
    @usableFromInline let state: UnsafeMutableRawPointer
    @usableFromInline let view: V
    @usableFromInline let key: UInt64?
    @usableFromInline let excluded: Excluded
    @usableFromInline let random: UnsafeMutablePointer<R>

    @inlinable
    init(
        state: UnsafeMutableRawPointer, view: V, key: UInt64?, excluded: Excluded,
        random: UnsafeMutablePointer<R>
    ) {
        self.state = state
        self.view = view
        self.key = key
        self.excluded = excluded
        self.random = random
    }

    @inlinable @inline(__always)
    func with<Method: BalancingMethod>(_: Method.Type) -> Int? {
        state.assumingMemoryBound(to: Method.self).pointee.pick(
            view, key: key, excluded: excluded, using: &random.pointee)
    }
}
