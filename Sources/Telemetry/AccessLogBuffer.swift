// A worker's end of the access log: lines into a buffer, full buffers to the writer thread.

import WeirHTTPModel
import Synchronization
import WeirRouting

/// Belongs to one worker. Made by `AccessLog.makeBuffer`.
public final class AccessLogBuffer {
    /// From this fill on a buffer is handed over, bytes.
    static var flushBytes: Int { 32 * 1024 }

    /// Which records are to be appended; nil: all.
    public let condition: RequestCondition?
    private let log: AccessLog
    private var line = AccessLogLine()
    private var base: UnsafeMutablePointer<UInt8>?
    private var used = 0
    private var lines = 0

    init(_ log: AccessLog) {
        self.log = log
        condition = log.condition
    }

    deinit {
        flush()
        log.bufferEnded()
    }

    /// Appends the record's line. When every buffer is waiting for the disk the line is dropped and
    /// counted; this never waits for the writer.
    public func append(_ record: borrowing RequestRecord) {
        if !tryAppend(record) {
            // No room behind the lines already there: an empty buffer always has enough.
            flush()
            if !tryAppend(record) { log.metrics.dropped.wrappingAdd(1, ordering: .relaxed) }
        }
        if used >= Self.flushBytes { flush() }
    }

    private func tryAppend(_ record: borrowing RequestRecord) -> Bool {
        if base == nil { base = log.takeBuffer() }
        guard let base else { return false }
        var writer = ByteWriter(base + used, capacity: AccessLog.bufferBytes - used)
        line.write(record, log.format, to: &writer)
        if writer.overflowed { return false }
        used &+= writer.count
        lines &+= 1
        return true
    }

    /// Hands over what is there. To be called at a loop tick, every 200 ms or so, and before the worker
    /// ends. Cheap when there is nothing.
    public func flush() {
        guard lines > 0, let base else { return }
        log.submit(AccessLog.Chunk(base: base, byteCount: used, lines: lines))
        self.base = nil
        used = 0
        lines = 0
    }
}
