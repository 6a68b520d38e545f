import Glibc
import Testing

@testable import Telemetry

@Suite struct LogTests {
    @Test func lineForm() {
        let line = Log.line(
            .warning, "reload failed", ["file": "weir.yaml", "text": "a \"b\"\n\u{1b}", "empty": ""],
            us: 1_795_235_400_000_000, suppressed: 3)
        #expect(
            String(decoding: line, as: UTF8.self)
                == #"2026-11-21T04:30:00.000000Z warning reload failed file=weir.yaml text="a \"b\"\n\x1b" empty="" suppressed=3"#
                + "\n")
    }

    @Test func levelsBelowAreNotWritten() {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let log = Log(fd: ends[1], level: .warning)
        log.info("no")
        log.error("yes")
        log.limited(LogGate(), nowMs: 0, .info, "no")
        close(ends[1])
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(ends[0], &bytes, bytes.count)
        close(ends[0])
        let text = String(decoding: bytes[..<max(0, count)], as: UTF8.self)
        #expect(text.hasSuffix(" error yes\n"))
        #expect(!text.contains("no"))
    }

    @Test func gateLetsOneThroughPerIntervalAndCountsTheRest() {
        let gate = LogGate(intervalMs: 100)
        #expect(gate.pass(nowMs: 5) == 0)
        #expect(gate.pass(nowMs: 6) == nil)
        #expect(gate.pass(nowMs: 104) == nil)
        #expect(gate.pass(nowMs: 105) == 2)
        #expect(gate.pass(nowMs: 1000) == 0)
    }

    @Test func limitedNeverWaitsForAFullPipe() {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let flags = fcntl(ends[1], F_GETFL)
        _ = fcntl(ends[1], F_SETFL, flags | O_NONBLOCK)
        let filler = [UInt8](repeating: 0, count: 4096)
        while write(ends[1], filler, filler.count) > 0 {}
        _ = fcntl(ends[1], F_SETFL, flags)
        // Blocking again: a plain write would hang here.
        Log(fd: ends[1]).limited(LogGate(), nowMs: 0, .warning, "lost")
        close(ends[0])
        close(ends[1])
    }
}
