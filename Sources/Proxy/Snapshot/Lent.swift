// References without counting, for what all workers share.

/// A reference to an object that something else keeps alive (a lease, a table), used without counting:
/// plans and endpoints are shared by all workers, and a count they all wrote with every request would
/// travel from core to core.
struct Lent<Object: AnyObject>: BitwiseCopyable, @unchecked Sendable {
    private let reference: Unmanaged<Object>

    init(_ object: Object) { reference = .passUnretained(object) }

    /// The object, counted: off the hot path.
    var object: Object { reference.takeUnretainedValue() }

    @inline(__always)
    func callAsFunction<Result>(_ body: (Object) -> Result) -> Result {
        reference._withUnsafeGuaranteedRef(body)
    }
}

/// What an array of shared objects looks like to those who must not count: the array stays the owner.
struct LentTable<Object: AnyObject>: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Lent<Object>?>
    let count: Int

    init(_ objects: [Object?]) {
        base = .allocate(capacity: max(1, objects.count))
        count = objects.count
        for (i, object) in objects.enumerated() { base[i] = object.map { Lent($0) } }
    }

    /// The object at an index; nil when there is none (any more).
    @inline(__always)
    subscript(_ i: Int) -> Lent<Object>? { i < count ? base[i] : nil }

    func deallocate() { base.deallocate() }
}
