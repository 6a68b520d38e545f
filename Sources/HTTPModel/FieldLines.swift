// Fields as they stand in a head that is being written: lines ("name: value" CR LF) in a region.

import Glibc

/// Walking over lines, taking some out, and writing some afresh.
public enum FieldLines {
    /// One line, by offsets into the region.
    public struct Line {
        public let start: Int
        public let nameCount: Int
        public let valueStart: Int
        public let valueCount: Int
        /// Where the next one begins.
        public let next: Int

        /// The name, in bytes that the writer holds.
        public func name(in writer: ByteWriter) -> UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(start: writer.base + start, count: nameCount)
        }

        /// The value, in bytes that the writer holds.
        public func value(in writer: ByteWriter) -> UnsafeBufferPointer<UInt8> {
            UnsafeBufferPointer(start: writer.base + valueStart, count: valueCount)
        }
    }

    private static func next(_ start: Int, _ end: Int, _ base: UnsafePointer<UInt8>) -> Line? {
        if start >= end { return nil }
        let next = min((find(0x0a, from: start, to: end, base) ?? end) &+ 1, end)
        let nameEnd = find(0x3a, from: start, to: next, base) ?? next
        var valueStart = min(nameEnd &+ 1, next)
        if valueStart < next, base[valueStart] == UInt8(ascii: " ") { valueStart &+= 1 }
        return Line(
            start: start, nameCount: nameEnd &- start, valueStart: valueStart,
            valueCount: max(0, next &- 2 &- valueStart), next: next)
    }

    /// The first place of a byte.
    private static func find(
        _ byte: Int32, from start: Int, to end: Int, _ base: UnsafePointer<UInt8>
    ) -> Int? {
        memchr(base + start, byte, end &- start).map { UnsafeRawPointer($0) - UnsafeRawPointer(base) }
    }

    /// Takes lines out of those that stand in `writer` from `start` on.
    public static func takeOut(
        from start: Int, _ writer: inout ByteWriter, where isTaken: (UnsafePointer<UInt8>, Int) -> Bool
    ) {
        takeOut(from: start, to: writer.count, &writer, where: isTaken)
    }

    /// Takes lines out of those between two places; what stands behind moves up.
    private static func takeOut(
        from start: Int, to end: Int, _ writer: inout ByteWriter,
        where isTaken: (UnsafePointer<UInt8>, Int) -> Bool
    ) {
        let base = writer.base
        var at = start
        var to = start
        while let line = next(at, end, base) {
            if !isTaken(base + line.start, line.nameCount) {
                if to != line.start {
                    (base + to).update(from: base + line.start, count: line.next &- line.start)
                }
                to &+= line.next &- line.start
            }
            at = line.next
        }
        if to == end { return }
        (base + to).update(from: base + end, count: writer.count &- end)
        writer.drop(end &- to)
    }

    /// Writes lines afresh that stand in `writer` from `start` on. They stand last afterwards, in order, each as
    /// `write` puts it, which may be not at all.
    public static func rewrite(
        from start: Int, _ writer: inout ByteWriter,
        where isMeant: (UnsafePointer<UInt8>, Int) -> Bool, write: (Line, inout ByteWriter) -> Void
    ) {
        let end = writer.count
        var at = start
        var hasAny = false
        while let line = next(at, end, writer.base) {
            at = line.next
            guard isMeant(writer.base + line.start, line.nameCount) else { continue }
            hasAny = true
            write(line, &writer)
        }
        if writer.overflowed || !hasAny { return }
        takeOut(from: start, to: end, &writer, where: isMeant)
    }
}
