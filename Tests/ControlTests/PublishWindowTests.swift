// When what has gathered is due.

import Testing

@testable import Control

@Suite struct PublishWindowTests {
    private static let note = PublishWindow.Note("changed", [:])

    @Test func manyChangesAreOneSnapshot() {
        var window = PublishWindow()
        #expect(!window.isDue(nowMs: .max - 1))
        for nowMs: UInt64 in 1_000..<1_100 { window.changed(nowMs: nowMs, Self.note) }
        // The first one counts: a stream of changes without end is published, too.
        #expect(window.dueMs == 1_100)
        #expect(!window.isDue(nowMs: 1_099))
        #expect(window.isDue(nowMs: 1_100))
        #expect(window.close(nowMs: 1_100, isOwn: true).count == 100)
        #expect(window.dueMs == .max)
        #expect(window.close(nowMs: 1_100, isOwn: true).isEmpty)
    }

    @Test func whatIsUrgentWaitsOnlyBehindAnother() {
        var window = PublishWindow()
        window.changed(nowMs: 5, isUrgent: true, Self.note)
        #expect(window.dueMs == 5)
        _ = window.close(nowMs: 5, isOwn: true)
        window.changed(nowMs: 6, isUrgent: true, Self.note)
        window.changed(nowMs: 90, isUrgent: true, Self.note)
        #expect(window.dueMs == 105)
        _ = window.close(nowMs: 105, isOwn: true)
        window.changed(nowMs: 500, Self.note)
        #expect(window.dueMs == 600)
        window.changed(nowMs: 520, isUrgent: true, Self.note)
        #expect(window.dueMs == 520, "and takes along what has gathered")
    }

    @Test func aReloadTakesAlongWhatHasGathered() {
        var window = PublishWindow()
        window.changed(nowMs: 1_000, Self.note)
        #expect(window.close(nowMs: 1_020, isOwn: false).count == 1)
        #expect(window.dueMs == .max)
        window.changed(nowMs: 1_030, isUrgent: true, Self.note)
        #expect(window.dueMs == 1_030, "no window was closed for it")
    }
}
