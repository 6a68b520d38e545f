// Helper threads: bounds, turns, cancellation and the end, with jobs that wait for the test instead of for time.

import Glibc
import Testing

@testable import Reactor

@Suite("Helper threads") struct HelperThreadsTests {
    /// Something to wait at until the test opens it.
    private final class Gate: @unchecked Sendable {
        private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        init() { sem_init(semaphore, 0, 0) }
        deinit {
            sem_destroy(semaphore)
            semaphore.deallocate()
        }
        func open(_ times: Int = 1) { for _ in 0..<times { sem_post(semaphore) } }
        func pass() { while sem_wait(semaphore) != 0 {} }
    }

    private struct Reply: Sendable, Equatable {
        var ticket: UInt64
        /// nil: stopped.
        var answer: Int?
    }

    /// The mailbox of a worker that has given out tickets.
    private final class Receiver: Sendable {
        private let mailbox = Mailbox<Reply>()
        private let seen = Locked<[Reply]>([])

        func take(_ ticket: UInt64, _ end: HelperEnd<Int>) {
            switch end {
            case .done(let answer): mailbox.send(Reply(ticket: ticket, answer: answer))
            case .stopped: mailbox.send(Reply(ticket: ticket, answer: nil))
            }
        }

        /// Waits until there are as many.
        func replies(_ count: Int) -> [Reply] {
            while seen.withLock({ $0.count }) < count {
                var watched = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
                guard poll(&watched, 1, 60_000) == 1 else { break }
                let more = mailbox.takeAll()
                seen.withLock { $0 += more }
            }
            let more = mailbox.takeAll()
            return seen.withLock {
                $0 += more
                return $0
            }
        }
    }

    private let receiver = Receiver()

    private func pool(threads: Int = 1, queueMax: Int = 8, shareMax: Int = 4) -> HelperThreads {
        var settings = HelperThreads.Settings(cores: 1, queueMax: queueMax, shareMax: shareMax)
        settings.threads = threads
        return HelperThreads(settings)
    }

    private func submit(
        _ pool: HelperThreads, _ ticket: UInt64, _ work: @escaping @Sendable () -> Int = { 0 }
    ) -> HelperJob? {
        submit(pool, .disk, ticket, work)
    }

    private func submit(
        _ pool: HelperThreads, _ purpose: HelperPurpose, _ ticket: UInt64,
        _ work: @escaping @Sendable () -> Int = { 0 }
    ) -> HelperJob? {
        let receiver = receiver
        return pool.submit(purpose, ticket: ticket, work: work) { receiver.take($0, $1) }
    }

    /// Keeps the pool's one thread busy; back once it is.
    private func occupy(_ pool: HelperThreads, _ gate: Gate) {
        let begun = Gate()
        #expect(
            submit(pool, .inspection, 0) {
                begun.open()
                gate.pass()
                return -1
            } != nil)
        begun.pass()
    }

    private func values(_ pool: HelperThreads, _ purpose: HelperPurpose) -> HelperValues {
        pool.values().first { $0.purpose == purpose } ?? HelperValues(purpose: purpose)
    }

    @Test func settings() {
        #expect([0, 1, 3, 4, 64].map { HelperThreads.Settings(cores: $0).threads } == [1, 1, 3, 4, 4])
    }

    @Test func answersCarryTheirTicket() {
        let pool = pool(threads: 3)
        for ticket in UInt64(1)...4 { #expect(submit(pool, ticket) { Int(ticket) * 10 } != nil) }
        let replies = receiver.replies(4).sorted { $0.ticket < $1.ticket }
        #expect(replies == (1...4).map { Reply(ticket: $0, answer: Int($0) * 10) })
        let counted = values(pool, .disk)
        #expect(counted.done == 4 && counted.queued == 0 && counted.running == 0 && counted.refused == 0)
        pool.stop()
    }

    @Test func nothingSubmittedNothingStarted() {
        let pool = pool()
        #expect(pool.values().isEmpty)
        pool.stop()
    }

    @Test func oneThreadKeepsTheOrder() {
        let pool = pool()
        let gate = Gate()
        occupy(pool, gate)
        for ticket in UInt64(1)...4 { #expect(submit(pool, ticket) != nil) }
        gate.open()
        #expect(receiver.replies(5).map(\.ticket) == [0, 1, 2, 3, 4])
        pool.stop()
    }

    @Test func shareAtItsBound() {
        let pool = pool(queueMax: 8, shareMax: 4)
        let gate = Gate()
        occupy(pool, gate)
        for ticket in UInt64(1)...4 { #expect(submit(pool, .password, ticket) != nil) }
        #expect(submit(pool, .password, 5) == nil)
        #expect(submit(pool, .disk, 6) != nil, "one purpose's jobs do not keep another's out")
        #expect(values(pool, .password).refused == 1 && values(pool, .password).queued == 4)
        #expect(values(pool, .inspection).running == 1)
        gate.open()
        _ = receiver.replies(6)
        #expect(submit(pool, .password, 7) != nil)
        #expect(receiver.replies(7).map(\.ticket).sorted() == [0, 1, 2, 3, 4, 6, 7])
        pool.stop()
    }

    @Test func queueAtItsBound() {
        let pool = pool(queueMax: 3, shareMax: 3)
        let gate = Gate()
        occupy(pool, gate)
        #expect(submit(pool, .password, 1) != nil && submit(pool, .password, 2) != nil)
        #expect(submit(pool, .disk, 3) != nil)
        #expect(submit(pool, .disk, 4) == nil)
        gate.open()
        #expect(receiver.replies(4).count == 4)
        pool.stop()
    }

    @Test func purposesTakeTurns() {
        let pool = pool()
        let gate = Gate()
        occupy(pool, gate)
        for ticket in UInt64(1)...4 { #expect(submit(pool, .password, ticket) != nil) }
        for ticket in UInt64(11)...12 { #expect(submit(pool, .disk, ticket) != nil) }
        gate.open()
        #expect(receiver.replies(7).map(\.ticket) == [0, 1, 11, 2, 12, 3, 4])
        pool.stop()
    }

    @Test func cancelledBeforeItBegins() throws {
        let pool = pool()
        let gate = Gate()
        occupy(pool, gate)
        let ran = Locked(false)
        let job = try #require(
            submit(pool, 1) {
                ran.withLock { $0 = true }
                return 1
            })
        #expect(submit(pool, 2) != nil)
        #expect(pool.cancel(job))
        #expect(!pool.cancel(job), "once")
        #expect(values(pool, .disk).cancelled == 1 && values(pool, .disk).queued == 1)
        gate.open()
        #expect(receiver.replies(2).map(\.ticket) == [0, 2])
        #expect(!ran.withLock { $0 })
        pool.stop()
    }

    @Test func cancelledTooLate() throws {
        let pool = pool()
        let begun = Gate()
        let gate = Gate()
        let job = try #require(
            submit(pool, 1) {
                begun.open()
                gate.pass()
                return 1
            })
        begun.pass()
        #expect(!pool.cancel(job))
        gate.open()
        #expect(receiver.replies(1) == [Reply(ticket: 1, answer: 1)], "the receiver has to bear with it")
        #expect(!pool.cancel(job))
        pool.stop()
    }

    @Test func cancellingMakesRoom() throws {
        let pool = pool(queueMax: 1, shareMax: 1)
        let gate = Gate()
        occupy(pool, gate)
        for _ in 0..<1_000 {
            let job = try #require(submit(pool, 1))
            #expect(submit(pool, 2) == nil)
            #expect(pool.cancel(job))
        }
        gate.open()
        pool.stop()
        #expect(receiver.replies(1) == [Reply(ticket: 0, answer: -1)])
    }

    @Test func capturesGoWithTheJob() throws {
        final class Weight: Sendable {}
        let pool = pool()
        let gate = Gate()
        occupy(pool, gate)
        weak var seen: Weight?
        do {
            let weight = Weight()
            seen = weight
            let job = try #require(submit(pool, 1) { withExtendedLifetime(weight) { 1 } })
            #expect(pool.cancel(job))
        }
        #expect(seen == nil)
        gate.open()
        pool.stop()
    }

    @Test func stopWithJobsWaiting() {
        let pool = pool()
        let gate = Gate()
        occupy(pool, gate)
        for ticket in UInt64(1)...3 { #expect(submit(pool, ticket) != nil) }
        let stopping = RunningThread.start(name: "stopping") { pool.stop() }
        // Those that wait are answered before the one at work ends.
        #expect(receiver.replies(3) == (1...3).map { Reply(ticket: $0, answer: nil) })
        #expect(submit(pool, 4) == nil)
        gate.open()
        stopping.join()
        #expect(receiver.replies(4).last == Reply(ticket: 0, answer: -1))
        pool.stop()
    }

    @Test func manyFromManyThreads() {
        let pool = pool(threads: 4, queueMax: 10_000, shareMax: 10_000)
        let submitters = (UInt64(0)..<4).map { number in
            RunningThread.start(name: "submitter") {
                for i in UInt64(0)..<500 {
                    let purpose = HelperPurpose.allCases[Int(i) % HelperPurpose.allCases.count]
                    if let job = submit(pool, purpose, number * 500 + i, { Int(i) }), i % 7 == 0 {
                        pool.cancel(job)
                    }
                }
            }
        }
        for one in submitters { one.join() }
        let cancelled = Int(pool.values().reduce(0) { $0 + $1.cancelled })
        let replies = receiver.replies(2_000 - cancelled)
        #expect(replies.count == 2_000 - cancelled)
        #expect(Set(replies.map(\.ticket)).count == replies.count)
        #expect(replies.allSatisfy { $0.answer == Int($0.ticket % 500) })
        pool.stop()
        #expect(pool.values().allSatisfy { $0.queued == 0 && $0.running == 0 })
    }
}
