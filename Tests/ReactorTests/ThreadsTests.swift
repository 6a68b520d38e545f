// Threads by name, and signals read from a descriptor.

import CLinux
import Glibc
import Testing

@testable import Reactor

@Suite struct ThreadsTests {
    @Test func runsAndIsNamed() {
        let name = Locked("")
        RunningThread.start(name: "weir-worker-12") {
            let file = open("/proc/thread-self/comm", O_RDONLY)
            defer { close(file) }
            let text = [UInt8](unsafeUninitializedCapacity: 32) { room, count in
                count = max(read(file, room.baseAddress, 32), 0)
            }
            name.withLock { $0 = String(decoding: text.prefix { $0 != 0x0a }, as: UTF8.self) }
        }.join()
        #expect(name.withLock { $0 } == "weir-worker-12")
    }

    /// On a thread of its own, whose mask may be changed. Both signals are sent to that thread only.
    @Test func signalsAreReadNotDelivered() {
        let seen = Locked<[Int32?]>([])
        RunningThread.start(name: "signals") {
            let signals = SignalDescriptor([SIGUSR1, SIGUSR2])
            defer { close(signals.descriptor) }
            let before = signals.next()
            // Unblocked, this would end the process. Sent twice before being read, it counts once.
            pthread_kill(pthread_self(), SIGUSR1)
            pthread_kill(pthread_self(), SIGUSR1)
            let first = signals.next()
            let again = signals.next()
            pthread_kill(pthread_self(), SIGUSR2)
            // What the loop sees.
            let poller = Poller()
            let registered = poller.registerReadable(signals.descriptor, Token(raw: 1))
            let count = poller.wait(timeoutMs: 0)
            let second = signals.next()
            let all = [before, first, again, registered, Int32(count), second, signals.next()]
            seen.withLock { $0 = all }
        }.join()
        #expect(seen.withLock { $0 } == [nil, SIGUSR1, nil, 0, 1, SIGUSR2, nil])
    }

    /// splice(2) has no MSG_NOSIGNAL: without this a client that hangs up would end the process.
    @Test func brokenPipesAreNoSignal() {
        RunningThread.start(name: "signals") { close(SignalDescriptor([SIGUSR1]).descriptor) }.join()
        var current = sigaction()
        #expect(sigaction(SIGPIPE, nil, &current) == 0)
        #expect(unsafeBitCast(current.__sigaction_handler.sa_handler, to: Int.self) == 1)
    }
}
