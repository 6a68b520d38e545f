// Pipe and PipePool: bytes spliced unchanged, the bound, and that nobody meets another's bytes.

import Glibc
import WeirBalancing
import Testing

@testable import Reactor

/// #require cannot be handed a call that changes a non-copyable value.
private func took(_ pipe: Pipe?) throws -> Pipe { try #require(pipe) }

@Suite struct PipesTests {
    // splice(2) to a closed socket raises SIGPIPE; the program ignores it (SignalDescriptor).
    init() { signal(SIGPIPE, SIG_IGN) }

    @Test func bytesGoThroughUnchanged() throws {
        var pool = PipePool(inUseMax: 1)
        var pipe = try took(pool.take())
        let source = SocketPair()
        let sink = SocketPair()
        #expect(source.near.sendText("spliced bytes") == 13)
        #expect(pipe.fill(from: source.far, 7) == 7)
        #expect(pipe.count == 7)
        #expect(pipe.drain(to: sink.near, more: false) == 7)
        #expect(pipe.count == 0)
        #expect(pipe.fill(from: source.far, 100) == 6)
        #expect(pipe.drain(to: sink.near, more: true) == 6)
        #expect(sink.far.receiveAll() == Array("spliced bytes".utf8))
        pool.give(pipe)
        #expect(pool.inUse == 0)
    }

    @Test func endsAndErrorsAreTold() throws {
        var pool = PipePool(inUseMax: 2)
        var pipe = try took(pool.take())
        let source = SocketPair()
        #expect(pipe.fill(from: source.far, 100) == -Int(EAGAIN))
        #expect(source.near.sendText("last") == 4)
        source.near.shutdownWrite()
        #expect(pipe.fill(from: source.far, 100) == 4)
        #expect(pipe.fill(from: source.far, 100) == 0)
        #expect(pipe.count == 4)
        let sink = SocketPair()
        sink.closeFar()
        #expect(pipe.drain(to: sink.near, more: false) == -Int(EPIPE))
        #expect(pipe.count == 4)
        #expect(pipe.fill(from: .none, 100) == -Int(EBADF))
        pool.give(pipe)
    }

    /// A sink that takes little at a time, a source that gives in bursts: a megabyte arrives as it was.
    @Test(arguments: 1...UInt64(3))
    func bulkWithBackPressure(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var pool = PipePool(inUseMax: 1)
        var pipe = try took(pool.take())
        let source = SocketPair()
        let sink = SocketPair(sendBytes: 8192)
        let bytes = (0..<1_000_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var given = 0
        var received: [UInt8] = []
        var sinkWasFull = false
        while received.count < bytes.count {
            if given < bytes.count {
                let burst = min(Int.random(in: 1...100_000, using: &random), bytes.count - given)
                let sent = bytes.withUnsafeBufferPointer { all in
                    all.baseAddress.map { source.near.send($0 + given, burst) } ?? 0
                }
                given += max(sent, 0)
            }
            if pipe.count == 0 {
                let filled = pipe.fill(from: source.far, Int(PipePool.capacityWanted))
                try #require(filled > 0 || filled == -Int(EAGAIN))
            }
            while pipe.count > 0 {
                let drained = pipe.drain(to: sink.near, more: false)
                if drained < 0 {
                    try #require(drained == -Int(EAGAIN))
                    sinkWasFull = true
                    break
                }
            }
            received += sink.far.receiveAll()
        }
        #expect(received == bytes)
        #expect(sinkWasFull, "the sink was too roomy to try what this test is for")
        #expect(pipe.count == 0)
        pool.give(pipe)
    }

    @Test func boundIsKept() throws {
        var pool = PipePool(inUseMax: 3)
        var taken: [Pipe] = []
        while let pipe = pool.take() { taken.append(pipe) }
        #expect(taken.count == 3 && pool.inUse == 3)
        #expect(taken.allSatisfy { $0.exists && $0.count == 0 })
        pool.give(taken.removeLast())
        #expect(pool.inUse == 2)
        let again = try took(pool.take())
        let beyond = pool.take()
        #expect(beyond?.readEnd == nil)
        taken.append(again)
        for pipe in taken { pool.give(pipe) }
        #expect(pool.inUse == 0)
        #expect(!Pipe.none.exists)
    }

    /// A pipe that still holds bytes of one connection must never serve another.
    @Test func leftoversReachNobody() throws {
        var pool = PipePool(inUseMax: 4)
        var dirty = try took(pool.take())
        let source = SocketPair()
        #expect(source.near.sendText("secret") == 6)
        #expect(dirty.fill(from: source.far, 100) == 6)
        // A duplicate of the write end keeps the pipe itself alive, so that it can be recognised.
        var old = stat()
        #expect(fstat(dirty.writeEnd, &old) == 0)
        let held = dup(dirty.writeEnd)
        defer { close(held) }
        pool.give(dirty)
        for _ in 0..<4 {
            var pipe = try took(pool.take())
            var new = stat()
            #expect(fstat(pipe.writeEnd, &new) == 0)
            #expect(new.st_ino != old.st_ino)
            var waiting: Int32 = -1
            #expect(ioctl(pipe.readEnd, UInt(FIONREAD), &waiting) == 0)
            #expect(waiting == 0)
            // And bytes put in now come out first.
            let sink = SocketPair()
            #expect(source.near.sendText("mine") == 4)
            #expect(pipe.fill(from: source.far, 100) == 4)
            #expect(pipe.drain(to: sink.near, more: false) == 4)
            #expect(sink.far.receiveAll() == Array("mine".utf8))
        }
    }

    // What a burst needed is not kept for ever; what is in use again and again is.
    @Test func pipesNobodyNeedsAreClosed() throws {
        var pool = PipePool(inUseMax: 20)
        var burst: [Pipe] = []
        for _ in 0..<20 { burst.append(try took(pool.take())) }
        for pipe in burst { pool.give(pipe) }
        pool.closeUnused()
        #expect(pool.idleCount == 20)
        let one = try took(pool.take())
        let two = try took(pool.take())
        pool.give(one)
        pool.give(two)
        pool.closeUnused()
        #expect(pool.idleCount == 2)
        #expect(fcntl(burst[0].readEnd, F_GETFD) == -1 && fcntl(one.readEnd, F_GETFD) != -1)
        let again = try took(pool.take())
        pool.closeUnused()
        #expect(pool.idleCount == 0)
        pool.give(again)
        pool.closeUnused()
        pool.closeUnused()
        #expect(pool.idleCount == 0)
    }

    @Test func anEmptyPipeIsReused() throws {
        var pool = PipePool(inUseMax: 2)
        let first = try took(pool.take())
        pool.give(first)
        let second = try took(pool.take())
        #expect(second.readEnd == first.readEnd && second.writeEnd == first.writeEnd)
        pool.give(second)
    }
}
