// Where a UDP session is found by the address its datagrams come from.
//
// Open addressing with linear probing in a power of two of slots, at most three quarters full;
// removal closes the gap, so there are no tombstones to sweep. Sources are chosen by whoever sends: the
// hash is keyed with a secret of the worker, or an attacker could line his sources up in one chain.
// The number of entries is bounded by whoever inserts (a listener's `limits.sessions`).

import Reactor

/// Which session a datagram belongs to.
struct SessionKey: Equatable, BitwiseCopyable {
    /// The client.
    var source: IPAddress
    /// Where the client sent it, on listeners of more than one address; else `::`.
    var local: IPAddress
    var listener: Int32
    /// With balancing per datagram, the endpoint's id; else -1.
    var endpoint: Int32
    var port: UInt16

    @inline(__always)
    static func == (a: Self, b: Self) -> Bool {
        a.source.low == b.source.low && a.port == b.port && a.source.high == b.source.high
            && a.local.low == b.local.low && a.local.high == b.local.high && a.listener == b.listener
            && a.endpoint == b.endpoint
    }
}

/// Session keys → handles. Owned by one thread.
struct SessionTable: ~Copyable {
    private struct Entry {
        var key: SessionKey
        /// `.none`: the slot is free.
        var handle: Handle
    }

    private static let slotsMin = 64

    private var entries: UnsafeMutablePointer<Entry>
    private var mask: Int
    private let secret: (UInt64, UInt64, UInt64, UInt64)
    private(set) var count = 0

    /// - Parameter seed: random bits that nobody outside knows.
    init(seed: (UInt64, UInt64)) {
        // Whatever the seed, words with bits everywhere (splitmix64).
        var state = seed.0
        func word() -> UInt64 {
            state = state &+ 0x9e37_79b9_7f4a_7c15 &+ seed.1
            var z = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
            return z ^ z >> 31
        }
        secret = (word(), word(), word(), word())
        mask = Self.slotsMin - 1
        entries = Self.slots(Self.slotsMin)
    }

    deinit { entries.deallocate() }

    var slotCount: Int { mask + 1 }

    private static func slots(_ count: Int) -> UnsafeMutablePointer<Entry> {
        let made = UnsafeMutablePointer<Entry>.allocate(capacity: count)
        let free = SessionKey(source: .unspecified, local: .unspecified, listener: -1, endpoint: -1, port: 0)
        made.initialize(repeating: Entry(key: free, handle: .none), count: count)
        return made
    }

    @inline(__always)
    private static func fold(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high ^ product.low
    }

    /// The slot a key would like to have.
    @inline(__always)
    private func home(_ key: SessionKey) -> Int {
        let rest =
            UInt64(key.port) << 48 ^ UInt64(UInt32(bitPattern: key.listener)) << 24
            ^ UInt64(UInt32(bitPattern: key.endpoint))
        let first = Self.fold(key.source.low ^ secret.0, key.source.high ^ secret.1)
        let second = Self.fold(key.local.low ^ secret.2, rest ^ secret.3)
        return Int(truncatingIfNeeded: Self.fold(first ^ secret.3, second ^ key.local.high ^ secret.0)) & mask
    }

    /// The session of a key; nil when there is none.
    @inline(__always)
    func handle(of key: SessionKey) -> Handle? {
        var i = home(key)
        while entries[i].handle != .none {
            if entries[i].key == key { return entries[i].handle }
            i = (i &+ 1) & mask
        }
        return nil
    }

    /// Adds a session, or gives a key that is there already to another one.
    mutating func put(_ key: SessionKey, _ handle: Handle) {
        if (count + 1) * 4 > slotCount * 3 { resize(slotCount * 2) }
        var i = home(key)
        while entries[i].handle != .none {
            if entries[i].key == key {
                entries[i].handle = handle
                return
            }
            i = (i &+ 1) & mask
        }
        entries[i] = Entry(key: key, handle: handle)
        count += 1
    }

    /// Forgets a key; without effect when it is not there.
    mutating func forget(_ key: SessionKey) {
        var i = home(key)
        while entries[i].key != key || entries[i].handle == .none {
            if entries[i].handle == .none { return }
            i = (i &+ 1) & mask
        }
        count -= 1
        // Whoever stands behind the gap and would rather be in it moves there.
        var gap = i
        var next = (gap &+ 1) & mask
        while entries[next].handle != .none {
            let wanted = home(entries[next].key)
            if (next &- wanted) & mask >= (next &- gap) & mask {
                entries[gap] = entries[next]
                gap = next
            }
            next = (next &+ 1) & mask
        }
        entries[gap].handle = .none
        // A flood of sources that has passed does not keep its memory.
        if slotCount > Self.slotsMin, count * 8 < slotCount { resize(slotCount / 2) }
    }

    /// Most slots in a row that are in use: what a search may have to walk. For tests.
    var longestRun: Int {
        var longest = 0
        var run = 0
        for i in 0..<slotCount * 2 {
            run = entries[i & mask].handle == .none ? 0 : run + 1
            longest = max(longest, run)
        }
        return min(longest, slotCount)
    }

    private mutating func resize(_ slotCount: Int) {
        let old = entries
        let oldCount = self.slotCount
        entries = Self.slots(slotCount)
        mask = slotCount - 1
        for i in 0..<oldCount where old[i].handle != .none {
            var slot = home(old[i].key)
            while entries[slot].handle != .none { slot = (slot &+ 1) & mask }
            entries[slot] = old[i]
        }
        old.deallocate()
    }
}
