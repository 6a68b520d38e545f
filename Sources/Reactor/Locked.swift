// A value behind a lock, for the control plane. The data path has no locks.
//
// Synchronization.Mutex would do, but on Linux it is a futex inside a runtime library that
// ThreadSanitizer does not see: every access under it is reported as a race. It knows pthread mutexes.

import Glibc

/// A value that one thread at a time may look at or change.
public final class Locked<Value: Sendable>: @unchecked Sendable {
    // A mutex must not move in memory.
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private var value: Value

    public init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Calls body while no other thread has the value. Not reentrant.
    public func withLock<R, E: Error>(_ body: (inout Value) throws(E) -> R) throws(E) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return try body(&value)
    }
}
