// Mailbox: order, many senders, and that no message waits without a wake. Meant to be run under
// ThreadSanitizer, too.

import Glibc
import Testing

@testable import Reactor

private func isReadable(_ fd: Int32, timeoutMs: Int32 = 0) -> Bool {
    var entry = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, timeoutMs) == 1
}

@Suite struct MailboxTests {
    @Test func messagesComeInOrderAndOnce() {
        let mailbox = Mailbox<Int>()
        #expect(mailbox.takeAll().isEmpty)
        for i in 0..<100 { mailbox.send(i) }
        #expect(mailbox.takeAll() == Array(0..<100))
        #expect(mailbox.takeAll().isEmpty)
        mailbox.send(7)
        #expect(mailbox.takeAll() == [7])
    }

    @Test func wakesOnceAndIsQuietWhenEmpty() {
        let mailbox = Mailbox<Int>()
        #expect(!isReadable(mailbox.descriptor))
        mailbox.send(1)
        #expect(isReadable(mailbox.descriptor))
        mailbox.send(2)
        #expect(mailbox.takeAll() == [1, 2])
        // Level-triggered: still readable would be a loop that spins.
        #expect(!isReadable(mailbox.descriptor))
        // And the next first message wakes again.
        mailbox.send(3)
        #expect(isReadable(mailbox.descriptor))
        _ = mailbox.takeAll()
    }

    @Test func wakeWithoutAMessage() {
        let mailbox = Mailbox<Int>()
        mailbox.wake()
        mailbox.wake()
        #expect(isReadable(mailbox.descriptor))
        #expect(mailbox.takeAll().isEmpty)
        #expect(!isReadable(mailbox.descriptor))
    }

    /// Eight senders, one loop that sleeps on the descriptor between takes: everything arrives, each
    /// sender's messages in its order, and the loop is never left asleep with messages queued.
    @Test func manySenders() {
        struct Message: Sendable {
            let sender: Int
            let number: Int
        }
        let senders = 8
        let each = 3000
        let mailbox = Mailbox<Message>()
        let threads = (0..<senders).map { sender in
            RunningThread.start(name: "sender-\(sender)") {
                for number in 0..<each { mailbox.send(Message(sender: sender, number: number)) }
            }
        }
        var next = [Int](repeating: 0, count: senders)
        var total = 0
        while total < senders * each {
            guard isReadable(mailbox.descriptor, timeoutMs: 10_000) else {
                Issue.record("asleep with \(senders * each - total) messages to come")
                break
            }
            for message in mailbox.takeAll() {
                #expect(message.number == next[message.sender])
                next[message.sender] += 1
                total += 1
            }
        }
        for thread in threads { thread.join() }
        #expect(mailbox.takeAll().isEmpty)
    }

    /// Ping and pong: each message is sent to an empty box whose owner is just falling asleep, which is
    /// where a wake could be lost.
    @Test func noWakeIsLostBetweenEmptyBoxes() {
        let rounds = 3000
        let there = Mailbox<Int>()
        let back = Mailbox<Int>()
        let echo = RunningThread.start(name: "echo") {
            var seen = 0
            while seen < rounds, isReadable(there.descriptor, timeoutMs: 10_000) {
                for message in there.takeAll() {
                    back.send(message)
                    seen += 1
                }
            }
        }
        var answered = 0
        for round in 0..<rounds {
            there.send(round)
            var answer: [Int] = []
            // A wake may come late, for a message already taken: then there is nothing, and one waits on.
            while answer.isEmpty, isReadable(back.descriptor, timeoutMs: 10_000) { answer = back.takeAll() }
            guard answer == [round] else {
                Issue.record("round \(round): \(answer)")
                break
            }
            answered += 1
        }
        echo.join()
        #expect(answered == rounds)
    }
}

@Suite struct LockedTests {
    @Test func oneThreadAtATime() {
        let counter = Locked(0)
        let threads = (0..<4).map { _ in
            RunningThread.start(name: "counter") {
                for _ in 0..<5000 { counter.withLock { $0 += 1 } }
            }
        }
        for thread in threads { thread.join() }
        #expect(counter.withLock { $0 } == 20_000)
    }

    @Test func throwingUnlocks() {
        struct Oops: Error {}
        let value = Locked(1)
        #expect(throws: Oops.self) {
            try value.withLock { value throws(Oops) in
                value = 2
                throw Oops()
            }
        }
        #expect(value.withLock { $0 } == 2)
    }
}
