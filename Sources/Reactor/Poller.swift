// Readiness notification: epoll, edge-triggered.
//
// A socket is registered once with IN|OUT|RDHUP|ET and never touched again (docs/decisions/001-epoll-first.md);
// the kernel drops the registration when the descriptor is closed. The token travels with the event,
// and says which object it is for (Token).

import CLinux
import Glibc

/// What an event is for: a kind chosen by the loop's owner, a slab index, and that slot's generation,
/// so that an event for a connection that has died and been replaced is recognised.
public struct Token: Sendable, BitwiseCopyable, Equatable {
    public let raw: UInt64

    @inlinable @inline(__always)
    public init(raw: UInt64) { self.raw = raw }

    /// kind: 0…63; of the generation the lower 26 bits count.
    @inlinable @inline(__always)
    public init(kind: UInt8, handle: Handle) {
        assert(kind < 64, "a token's kind has 6 bits")
        raw =
            UInt64(kind) << 58 | UInt64(handle.generation & Handle.generationMask) << 32
            | UInt64(handle.index)
    }

    @inlinable @inline(__always) public var kind: UInt8 { UInt8(truncatingIfNeeded: raw >> 58) }
    @inlinable @inline(__always) public var index: UInt32 { UInt32(truncatingIfNeeded: raw) }
    @inlinable @inline(__always) public var generation: UInt32 {
        UInt32(truncatingIfNeeded: raw >> 32) & Handle.generationMask
    }
    @inlinable @inline(__always) public var handle: Handle { Handle(index: index, generation: generation) }
}

/// Readiness of a descriptor, as reported.
public struct Readiness: OptionSet, Sendable, BitwiseCopyable {
    public let rawValue: UInt32
    @inlinable @inline(__always) public init(rawValue: UInt32) { self.rawValue = rawValue }

    @inlinable public static var readable: Readiness { Readiness(rawValue: 0x001) }
    @inlinable public static var writable: Readiness { Readiness(rawValue: 0x004) }
    @inlinable public static var error: Readiness { Readiness(rawValue: 0x008) }
    /// Both directions are closed.
    @inlinable public static var hangUp: Readiness { Readiness(rawValue: 0x010) }
    /// The peer will send no more.
    @inlinable public static var readHangUp: Readiness { Readiness(rawValue: 0x2000) }
}

/// Events for one turn of a loop: as the kernel has written them, or as a simulation has chosen them.
public struct PolledEvents {
    private let start: UnsafePointer<epoll_event>
    public let count: Int

    /// - Parameter start: valid as long as this is used.
    @inline(__always)
    public init(start: UnsafePointer<epoll_event>, count: Int) {
        self.start = start
        self.count = count
    }

    @inline(__always)
    public subscript(i: Int) -> (token: Token, readiness: Readiness) {
        let event = start[i]
        return (Token(raw: event.data.u64), Readiness(rawValue: event.events))
    }
}

/// An epoll instance with its event array. Owned by one thread.
public struct Poller: ~Copyable {
    private let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private static let eventsMax = 256
    private static let edgeTriggered: UInt32 = 1 << 31
    /// What a stream socket is asked for all its life: in, out, the peer's end; edge-triggered.
    private static let connection: UInt32 = 0x001 | 0x004 | 0x2000 | edgeTriggered
    private static let exclusive: UInt32 = 1 << 28

    public init() {
        descriptor = epoll_create1(Int32(bitPattern: UInt32(0x80000)))
        precondition(descriptor >= 0, "epoll_create1: \(errno)")
        events = .allocate(capacity: Self.eventsMax)
    }

    deinit {
        close(descriptor)
        events.deallocate()
    }

    /// Registers a connected (or connecting) socket for its whole life. Returns 0 or an errno.
    @discardableResult
    public func register(_ fd: Int32, _ token: Token) -> Int32 {
        add(fd, token, Self.connection)
    }

    /// Gives what `register` has registered another token; what is ready is announced again. Returns 0 or an errno.
    @discardableResult
    public func reregister(_ fd: Int32, _ token: Token) -> Int32 {
        weir_epoll_control(descriptor, 3, fd, Self.connection, token.raw) == 0 ? 0 : errno
    }

    /// Registers for readability, level-triggered: listeners, mailboxes, signal descriptors.
    /// exclusive: one of several loops waiting for the same descriptor is woken.
    @discardableResult
    public func registerReadable(_ fd: Int32, _ token: Token, exclusive: Bool = false) -> Int32 {
        add(fd, token, 0x001 | (exclusive ? Self.exclusive : 0))
    }

    /// Registers a datagram socket for its whole life, edge-triggered and for arrivals only: a UDP socket
    /// becomes writable again after every datagram, which nobody waits for. Returns 0 or an errno.
    @discardableResult
    public func registerArrivals(_ fd: Int32, _ token: Token) -> Int32 {
        add(fd, token, 0x001 | Self.edgeTriggered)
    }

    /// Registers with the given level-triggered readiness, or changes it.
    @discardableResult
    public func watch(_ fd: Int32, _ token: Token, _ readiness: Readiness) -> Int32 {
        if weir_epoll_control(descriptor, 1, fd, readiness.rawValue, token.raw) == 0 { return 0 }
        if errno == EEXIST, weir_epoll_control(descriptor, 3, fd, readiness.rawValue, token.raw) == 0 {
            return 0
        }
        return errno
    }

    private func add(_ fd: Int32, _ token: Token, _ mask: UInt32) -> Int32 {
        weir_epoll_control(descriptor, 1, fd, mask, token.raw) == 0 ? 0 : errno
    }

    public func deregister(_ fd: Int32) {
        _ = weir_epoll_control(descriptor, 2, fd, 0, 0)
    }

    /// Waits for events; timeoutMs -1 waits for ever. Returns how many there are.
    @inline(__always)
    public func wait(timeoutMs: Int32) -> Int {
        max(0, Int(weir_epoll_wait(descriptor, events, Int32(Self.eventsMax), timeoutMs)))
    }

    /// What the last `wait` has brought, `count` of them; valid until the next.
    @inline(__always)
    public func events(_ count: Int) -> PolledEvents { PolledEvents(start: events, count: count) }

    @inline(__always)
    public func event(_ i: Int) -> (token: Token, readiness: Readiness) { events(i + 1)[i] }
}
