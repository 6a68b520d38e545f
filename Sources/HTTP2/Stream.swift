// What a session keeps about one stream, and where it finds it.
//
// Records come from a free list of the worker's context and stay at their address until the event
// `closed` has been delivered, so that events can point at them.

import CNGHTTP2
import WeirHTTPModel

typealias StreamPointer = UnsafeMutablePointer<StreamRecord>

struct StreamRecord {
    /// What has happened on a stream.
    struct Flags: OptionSet, BitwiseCopyable {
        let rawValue: UInt32
        /// The (final) head of the peer's message has come.
        static var headDone: Flags { Flags(rawValue: 1) }
        /// The peer's half is at its end.
        static var remoteEnded: Flags { Flags(rawValue: 2) }
        /// The owner has submitted the head of its message.
        static var headSubmitted: Flags { Flags(rawValue: 4) }
        /// The owner has ended its half; what is queued still goes out.
        static var localEnded: Flags { Flags(rawValue: 8) }
        /// The library waits for `resume_data`.
        static var isDeferred: Flags { Flags(rawValue: 16) }
        /// The stream is gone; the event that says so waits.
        static var isClosed: Flags { Flags(rawValue: 32) }
        /// What still comes of the peer's message is dropped.
        static var discards: Flags { Flags(rawValue: 64) }
        /// `room` has answered less than there might be.
        static var wantsRoom: Flags { Flags(rawValue: 128) }
        /// The message has no body whatever its fields say.
        static var hasNoBody: Flags { Flags(rawValue: 1024) }
        static var hasLength: Flags { Flags(rawValue: 2048) }
        /// The owner knows the stream: it gets `closed`.
        static var isKnown: Flags { Flags(rawValue: 4096) }
        /// Reset on the owner's wish or for a reason of ours that is not the peer's fault.
        static var resetIsOurs: Flags { Flags(rawValue: 8192) }
        /// The request has never left.
        static var neverSent: Flags { Flags(rawValue: 16384) }
        /// END_STREAM has been sent.
        static var endSent: Flags { Flags(rawValue: 32768) }
        static var wasReset: Flags { Flags(rawValue: 65536) }
        /// Opened by the peer within its limit.
        static var counts: Flags { Flags(rawValue: 131072) }
        /// Server: the owner has been given the head.
        static var isSeen: Flags { Flags(rawValue: 262144) }
        /// The peer has reset it.
        static var peerReset: Flags { Flags(rawValue: 524288) }
        /// Server: reset before the owner was given the head, and never given to it.
        static var isWithdrawn: Flags { Flags(rawValue: 1_048_576) }
    }

    var id: Int32 = 0
    var flags: Flags = []
    var userData: UInt = 0
    var next: StreamPointer?
    /// Of the request, whichever side sent it.
    var method = Method.other
    var urgency: UInt8 = 3
    var isIncremental = false
    var interimResponses: UInt8 = 0
    /// Content-Length of the peer's message, with `hasLength`.
    var length: UInt64 = 0
    /// Body bytes that came.
    var received: UInt64 = 0
    /// Bytes delivered that the owner has not said `consumed` of.
    var unconsumed = 0
    var queue = OutQueue()
    var trailers: UnsafeMutableRawPointer?
    var trailerCount = 0
    /// Server: when it was opened.
    var openedMs: UInt64 = 0
    /// When body bytes, or END_STREAM, last left, or bytes began to wait.
    var progressMs: UInt64 = 0
    /// Bytes of the connection's output up to its last DATA frame.
    var dataEnd: UInt64 = 0
}

/// Body bytes that wait to be packed: one block of memory, used from `start` to `end`.
struct OutQueue {
    var block: UnsafeMutablePointer<UInt8>?
    var capacity = 0
    var start = 0
    var end = 0

    var count: Int { end &- start }
}

/// Stream number → record: chained buckets, for numbers that come in order and go in any.
struct StreamTable {
    private var buckets: UnsafeMutablePointer<StreamPointer?>?
    private var mask = 0
    private(set) var count = 0

    private static var bucketsMin: Int { 16 }

    @inline(__always)
    func find(_ id: Int32) -> StreamPointer? {
        guard let buckets else { return nil }
        var record = buckets[Int(id &>> 1) & mask]
        while let candidate = record {
            if candidate.pointee.id == id { return candidate }
            record = candidate.pointee.next
        }
        return nil
    }

    mutating func insert(_ record: StreamPointer) {
        if buckets == nil || count > mask { grow() }
        guard let buckets else { return }
        let bucket = Int(record.pointee.id &>> 1) & mask
        record.pointee.next = buckets[bucket]
        buckets[bucket] = record
        count &+= 1
    }

    mutating func remove(_ record: StreamPointer) {
        guard let buckets else { return }
        let bucket = Int(record.pointee.id &>> 1) & mask
        if buckets[bucket] == record {
            buckets[bucket] = record.pointee.next
            count &-= 1
            return
        }
        var before = buckets[bucket]
        while let candidate = before {
            if candidate.pointee.next == record {
                candidate.pointee.next = record.pointee.next
                count &-= 1
                return
            }
            before = candidate.pointee.next
        }
    }

    /// The first record for which `body` is true.
    func first(where body: (StreamPointer) -> Bool) -> StreamPointer? {
        guard let buckets else { return nil }
        for bucket in 0...mask {
            var record = buckets[bucket]
            while let candidate = record {
                record = candidate.pointee.next
                if body(candidate) { return candidate }
            }
        }
        return nil
    }

    mutating func deallocate() {
        buckets?.deallocate()
        buckets = nil
        count = 0
    }

    private mutating func grow() {
        let old = buckets
        let oldCount = old == nil ? 0 : mask &+ 1
        let newCount = max(StreamTable.bucketsMin, oldCount &* 2)
        let fresh = UnsafeMutablePointer<StreamPointer?>.allocate(capacity: newCount)
        fresh.initialize(repeating: nil, count: newCount)
        mask = newCount &- 1
        buckets = fresh
        guard let old else { return }
        for bucket in 0..<oldCount {
            var record = old[bucket]
            while let moved = record {
                record = moved.pointee.next
                let target = Int(moved.pointee.id &>> 1) & mask
                moved.pointee.next = fresh[target]
                fresh[target] = moved
            }
        }
        old.deallocate()
    }
}
