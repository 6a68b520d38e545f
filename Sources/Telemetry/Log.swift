// The operational log: what Weir does, one line per event on standard error.
//
//   2026-11-21T04:30:00.123456Z info configuration loaded generation=3 routes=12
//
// For start, reload, drain and errors. Lines are built as strings and written with one write(2), so
// this is for the control plane; the data plane uses `limited`, which writes a line per interval at
// most and drops it rather than wait for a reader of standard error.

import Glibc
import WeirHTTPModel
import Reactor
import Synchronization

/// Leveled lines to a file descriptor.
public final class Log: Sendable {
    public enum Level: UInt8, Sendable, Comparable, CaseIterable {
        case debug, info, warning, error

        public var name: StaticString {
            switch self {
            case .debug: "debug"
            case .info: "info"
            case .warning: "warning"
            case .error: "error"
            }
        }

        public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
    }

    public typealias Pairs = KeyValuePairs<StaticString, String>

    private let fd: Int32
    private let level: Level

    /// - Parameters:
    ///   - fd: where lines go; stays open as long as the log is used.
    ///   - level: the lowest level written.
    public init(fd: Int32 = STDERR_FILENO, level: Level = .info) {
        self.fd = fd
        self.level = level
    }

    public func debug(_ message: String, _ pairs: Pairs = [:]) { write(.debug, message, pairs) }
    public func info(_ message: String, _ pairs: Pairs = [:]) { write(.info, message, pairs) }
    public func warning(_ message: String, _ pairs: Pairs = [:]) { write(.warning, message, pairs) }
    public func error(_ message: String, _ pairs: Pairs = [:]) { write(.error, message, pairs) }

    public func write(_ level: Level, _ message: String, _ pairs: Pairs = [:]) {
        guard level >= self.level else { return }
        emit(Self.line(level, message, pairs, us: Clock.wallUs()))
    }

    /// Writes at most one line per interval of the gate; the next one says how many were left out
    /// (`suppressed=`). Never waits: while standard error takes nothing, lines are lost.
    /// - Parameter nowMs: monotonic milliseconds, as the event loop has them.
    public func limited(
        _ gate: LogGate, nowMs: UInt64, _ level: Level, _ message: @autoclosure () -> String,
        _ pairs: @autoclosure () -> Pairs = [:]
    ) {
        guard level >= self.level, let suppressed = gate.pass(nowMs: nowMs) else { return }
        var target = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
        guard poll(&target, 1, 0) == 1, target.revents & Int16(POLLOUT) != 0 else { return }
        emit(Self.line(level, message(), pairs(), us: Clock.wallUs(), suppressed: suppressed))
    }

    private func emit(_ line: [UInt8]) {
        var from = 0
        while from < line.count {
            let wrote = line.withUnsafeBytes { Glibc.write(fd, $0.baseAddress! + from, line.count - from) }
            if wrote < 0 {
                if errno == EINTR { continue }
                return
            }
            from += wrote
        }
    }

    static func line(
        _ level: Level, _ message: String, _ pairs: Pairs, us: UInt64, suppressed: UInt64 = 0
    ) -> [UInt8] {
        var text = ""
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { room in
            guard let base = room.baseAddress else { return }
            var writer = ByteWriter(base, capacity: room.count)
            var clock = TimestampText()
            clock.write(us: us, to: &writer)
            text = String(decoding: room[..<writer.count], as: UTF8.self)
        }
        text += " \(level.name) "
        appendEscaped(message, to: &text, quotes: false)
        for (key, value) in pairs {
            text += " \(key)="
            let plain =
                !value.isEmpty
                && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != 0x22 && $0 != 0x5c }
            if plain {
                text += value
            } else {
                text += "\""
                appendEscaped(value, to: &text, quotes: true)
                text += "\""
            }
        }
        if suppressed > 0 { text += " suppressed=\(suppressed)" }
        text += "\n"
        return Array(text.utf8)
    }

    private static func appendEscaped(_ value: String, to text: inout String, quotes: Bool) {
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\n": text += "\\n"
            case "\"" where quotes: text += "\\\""
            case "\\" where quotes: text += "\\\\"
            case _ where scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value):
                text += "\\x\(scalar.value < 16 ? "0" : "")" + String(scalar.value, radix: 16)
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}

/// Lets one event per interval through and counts the others. Any thread.
public final class LogGate: Sendable {
    private let intervalMs: UInt64
    // The time the gate opens again; 0 = open.
    private let opensMs = Atomic<UInt64>(0)
    private let suppressed = Atomic<UInt64>(0)

    public init(intervalMs: UInt64 = 10_000) { self.intervalMs = intervalMs }

    /// nil when the event is to be left out, else how many were left out since the last one.
    public func pass(nowMs: UInt64) -> UInt64? {
        let opens = opensMs.load(ordering: .relaxed)
        if nowMs >= opens,
            opensMs.compareExchange(
                expected: opens, desired: nowMs &+ intervalMs, ordering: .relaxed
            ).exchanged
        {
            return suppressed.exchange(0, ordering: .relaxed)
        }
        suppressed.wrappingAdd(1, ordering: .relaxed)
        return nil
    }
}
