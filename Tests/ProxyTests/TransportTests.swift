// Transport: what the kernel does not take at once arrives later, whole and in order.

import Glibc
import Reactor
import WeirBalancing
import Testing

@testable import Proxy

/// A connected pair whose near end takes little at a time.
private final class NarrowPair {
    let near: Socket
    let far: Socket

    init() {
        var fds: (Int32, Int32) = (-1, -1)
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let result = withUnsafeMutablePointer(to: &fds) {
            $0.withMemoryRebound(to: Int32.self, capacity: 2) { socketpair(AF_UNIX, type, 0, $0) }
        }
        precondition(result == 0, "socketpair: \(errno)")
        near = Socket(fd: fds.0)
        far = Socket(fd: fds.1)
        near.set(SOL_SOCKET, SO_SNDBUF, 4096)
    }

    /// Up to `limit` bytes of what has arrived.
    func receive(_ limit: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: limit) { room, count in
            count = max(room.baseAddress.map { far.receive($0, limit) } ?? 0, 0)
        }
    }

    func receiveAll() -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = receive(65_536)
            if bytes.isEmpty { return all }
            all += bytes
        }
    }

    deinit {
        near.close()
        far.close()
    }
}

/// Sends the parts from memory that is overwritten afterwards, as the worker's scratch is.
private func send(
    _ parts: [[UInt8]], _ transport: inout Transport, pool: inout BufferPool
) -> Int32 {
    let total = parts.reduce(0) { $0 + $1.count }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: total + 1)
    defer { memory.deallocate() }
    var vectors: [iovec] = []
    var offset = 0
    for part in parts {
        for (i, byte) in part.enumerated() { memory[offset + i] = byte }
        vectors.append(iovec(iov_base: memory + offset, iov_len: part.count))
        offset += part.count
    }
    let result = transport.send(&vectors, vectors.count, total: total, pool: &pool, nowMs: 0)
    for i in 0..<total { memory[i] = 0xee }
    return result
}

@Suite struct TransportTests {
    @Test func whatFitsIsNotKept() {
        let pair = NarrowPair()
        var pool = BufferPool()
        var transport = Transport(pair.near)
        let code1 = send([[1, 2], [], [3]], &transport, pool: &pool)
        #expect(code1 == 0)
        #expect(!transport.isBlocked && pool.bytesInUse == 0)
        #expect(pair.receiveAll() == [1, 2, 3])
    }

    /// Random parts, random reading: the far side gets exactly the bytes, in order, and `count` is
    /// always what was accepted and has not arrived at the kernel.
    @Test(arguments: 1...UInt64(25))
    func shortWritesKeepOrderAndBytes(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let pair = NarrowPair()
        var pool = BufferPool()
        var transport = Transport(pair.near)
        var accepted: [UInt8] = []
        var received: [UInt8] = []
        var keptSome = false
        for _ in 0..<120 {
            if transport.waiting < 65_536 {
                let parts = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                    let bits = Int.random(in: 0...14, using: &random)
                    let count = Int.random(in: 0...(1 << bits), using: &random)
                    let start = UInt8.random(in: 0...255, using: &random)
                    return (0..<count).map { start &+ UInt8(truncatingIfNeeded: $0 &* 7) }
                }
                let code2 = send(parts, &transport, pool: &pool)
                try #require(code2 == 0)
                for part in parts { accepted += part }
            }
            keptSome = keptSome || transport.isBlocked
            if Bool.random(using: &random) {
                received += pair.receive(Int.random(in: 1...20_000, using: &random))
            }
            if Bool.random(using: &random) {
                let code3 = transport.flush(pool: &pool, nowMs: 0)
                try #require(code3 == 0)
            }
            #expect(!transport.isBlocked == (pool.bytesInUse == 0), "buffers are held for bytes only")
        }
        while transport.isBlocked {
            let before = transport.waiting
            received += pair.receiveAll()
            let code4 = transport.flush(pool: &pool, nowMs: 0)
            try #require(code4 == 0)
            try #require(transport.waiting < before, "no progress")
        }
        received += pair.receiveAll()
        #expect(received == accepted)
        #expect(keptSome, "nothing was kept: this tried nothing")
        #expect(pool.bytesInUse == 0)
    }

    @Test func clearGivesEverythingBack() {
        let pair = NarrowPair()
        var pool = BufferPool()
        var transport = Transport(pair.near)
        let big = [UInt8](repeating: 7, count: 200_000)
        let code5 = send([big, big], &transport, pool: &pool)
        #expect(code5 == 0)
        let code6 = send([[1], big], &transport, pool: &pool)
        #expect(code6 == 0)
        #expect(transport.isBlocked && pool.bytesInUse >= transport.waiting)
        transport.forgetOutput(pool: &pool)
        #expect(!transport.isBlocked && pool.bytesInUse == 0)
        // And it can be used again.
        _ = pair.receiveAll()
        let code7 = send([[9]], &transport, pool: &pool)
        #expect(code7 == 0)
        #expect(pair.receiveAll() == [9])
    }

    @Test func errorsAreReportedAndNothingIsKept() {
        let pair = NarrowPair()
        var pool = BufferPool()
        var transport = Transport(pair.near)
        _ = shutdown(pair.near.fd, Int32(SHUT_WR))
        let code8 = send([[1, 2, 3]], &transport, pool: &pool)
        #expect(code8 == EPIPE)
        let code9 = send([[1], [2]], &transport, pool: &pool)
        #expect(code9 == EPIPE)
        #expect(!transport.isBlocked && pool.bytesInUse == 0)
    }

    @Test func flushReportsADeadPeer() {
        let pair = NarrowPair()
        var pool = BufferPool()
        var transport = Transport(pair.near)
        let code10 = send([[UInt8](repeating: 7, count: 100_000)], &transport, pool: &pool)
        #expect(code10 == 0)
        _ = shutdown(pair.far.fd, Int32(SHUT_RD))
        let code11 = transport.flush(pool: &pool, nowMs: 0)
        #expect(code11 == EPIPE)
        transport.forgetOutput(pool: &pool)
        #expect(pool.bytesInUse == 0)
    }
}
