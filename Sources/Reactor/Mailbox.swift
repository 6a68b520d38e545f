// How another thread talks to an event loop: a bounded-by-use queue and a descriptor that wakes it.

import CLinux
import Glibc

/// Messages from any thread to the one that owns the loop.
public final class Mailbox<Message: Sendable>: Sendable {
    private let queue = Locked<[Message]>([])
    private let eventDescriptor: Int32

    public init() {
        eventDescriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        precondition(eventDescriptor >= 0, "eventfd: \(errno)")
    }

    deinit { close(eventDescriptor) }

    /// The descriptor the loop watches for readability.
    public var descriptor: Int32 { eventDescriptor }

    /// Queues a message and wakes the loop. Any thread.
    public func send(_ message: Message) {
        let wasEmpty = queue.withLock { queue in
            queue.append(message)
            return queue.count == 1
        }
        if wasEmpty { wake() }
    }

    /// Wakes the loop without a message. Async-signal-safe.
    public func wake() {
        var one: UInt64 = 1
        _ = write(eventDescriptor, &one, 8)
    }

    /// All messages so far, in order. Called by the loop's thread when the descriptor is readable.
    public func takeAll() -> [Message] {
        var count: UInt64 = 0
        _ = read(eventDescriptor, &count, 8)
        return queue.withLock { queue in
            let messages = queue
            // Not removeAll(keepingCapacity:): the storage is shared with `messages` now, so that would
            // allocate as much room again, after one burst for ever.
            queue = []
            return messages
        }
    }
}
