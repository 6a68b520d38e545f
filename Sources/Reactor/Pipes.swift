// Pipes for splice(2): bytes go from socket to socket through a kernel pipe, never through us.

import CLinux
import Glibc

/// A kernel pipe and how many bytes it holds.
public struct Pipe: BitwiseCopyable, Sendable {
    public var readEnd: Int32
    public var writeEnd: Int32
    /// Bytes in the pipe now.
    public var count: Int

    public static let none = Pipe(readEnd: -1, writeEnd: -1, count: 0)
    @inlinable public var exists: Bool { readEnd >= 0 }

    /// Fills from a socket; returns bytes moved, 0 at end of stream, or -errno.
    @inline(__always)
    public mutating func fill(from socket: Socket, _ byteCount: Int) -> Int {
        let moved = weir_splice(socket.fd, writeEnd, byteCount, 0)
        if moved < 0 { return Int(-errno) }
        count &+= moved
        return moved
    }

    /// Empties into a socket; more: further bytes will follow. Returns bytes moved or -errno.
    @inline(__always)
    public mutating func drain(to socket: Socket, more: Bool) -> Int {
        let moved = weir_splice(readEnd, socket.fd, count, more ? 1 : 0)
        if moved < 0 { return Int(-errno) }
        count &-= moved
        return moved
    }
}

/// Empty pipes kept for reuse. Owned by one thread.
public struct PipePool: ~Copyable {
    /// What is asked of the kernel for each pipe: each wake-up of either peer costs more than moving what it
    /// brings. It is the most an unprivileged user may ask for.
    public static let capacityWanted: Int32 = 1 << 20
    private static let capacityMin: Int32 = 64 << 10
    private static let keptMax = 128
    @usableFromInline var free: [Pipe] = []
    /// The fewest there were in `free` since `closeUnused`: as many were not needed.
    private var freeLeast = 0
    /// Pipes handed out.
    public private(set) var inUse = 0
    /// The bound on pipes handed out: beyond it bodies are copied.
    public let inUseMax: Int

    public init(inUseMax: Int) { self.inUseMax = inUseMax }

    deinit {
        for pipe in free {
            close(pipe.readEnd)
            close(pipe.writeEnd)
        }
    }

    /// An empty pipe; nil at the bound, or when descriptors or what the kernel lends for pipes run short.
    public mutating func take() -> Pipe? {
        if inUse >= inUseMax { return nil }
        if let pipe = free.popLast() {
            inUse += 1
            freeLeast = min(freeLeast, free.count)
            return pipe
        }
        var fds: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutablePointer(to: &fds) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { weir_pipe($0) }
        }
        guard result == 0 else { return nil }
        // An unprivileged user with many pipes is given some of 8 KiB, which cost more than copying.
        if weir_pipe_capacity(fds.1, Self.capacityWanted) < 0,
            weir_pipe_capacity(fds.1, Self.capacityMin) < 0
        {
            close(fds.0)
            close(fds.1)
            return nil
        }
        inUse += 1
        return Pipe(readEnd: fds.0, writeEnd: fds.1, count: 0)
    }

    /// Pipes kept for reuse.
    @inlinable public var idleCount: Int { free.count }

    /// Closes those that nobody has needed since the last call: to be called now and then.
    public mutating func closeUnused() {
        for pipe in free.prefix(freeLeast) {
            close(pipe.readEnd)
            close(pipe.writeEnd)
        }
        free.removeFirst(freeLeast)
        freeLeast = free.count
    }

    /// Gives a pipe back; one that still holds bytes is closed, so that they reach nobody else.
    public mutating func give(_ pipe: Pipe) {
        inUse -= 1
        if pipe.count == 0, free.count < Self.keptMax {
            free.append(pipe)
        } else {
            close(pipe.readEnd)
            close(pipe.writeEnd)
        }
    }
}
