// Where one round of decoding puts what it finds: events, the bytes of heads, and their field tables.
//
//   bytes   [ head of stream 1 | trailers of stream 3 | head of stream 5 (growing) … ]
//   fields  [ 1 1 1 1 1 1 1    | 3 3                  | 5 5 5 … ]
//   events  [ head 1, data 3, trailers 3, … ]
//
// Only a connection that is being read has one; idle connections share those of the worker's free list.
// The three regions grow by doubling and keep offsets instead of addresses until delivery. Decoding
// pauses when an inbox is full (`isFull`), whatever the peer sends: a field section of 25 bytes can
// decompress to 64 KiB.

import WeirHTTPModel

struct Inbox {
    var bytes: UnsafeMutablePointer<UInt8>
    var byteCapacity: Int
    var byteCount = 0
    var fields: UnsafeMutablePointer<Field>
    var fieldCapacity: Int
    var fieldCount = 0
    var events: UnsafeMutablePointer<HTTP2Event>
    var eventCapacity: Int
    var eventCount = 0
    /// The next event to deliver.
    var eventNext = 0
    /// Free list.
    var next: UnsafeMutablePointer<Inbox>?

    /// Decoding pauses at these. A round of events takes in as many requests as may be withdrawn at once
    /// (`FloodBudget.Limits.resets`), each with its reset and its end.
    static var bytesFull: Int { 65_536 }
    static var eventsFull: Int { 768 }

    init() {
        byteCapacity = 4_096
        fieldCapacity = 64
        eventCapacity = 32
        bytes = .allocate(capacity: byteCapacity)
        fields = .allocate(capacity: fieldCapacity)
        events = .allocate(capacity: eventCapacity)
    }

    func deallocate() {
        bytes.deallocate()
        fields.deallocate()
        events.deallocate()
    }

    var isFull: Bool { eventCount >= Inbox.eventsFull || byteCount >= Inbox.bytesFull }
    /// Grown beyond what is worth keeping in a free list.
    var isLarge: Bool {
        byteCapacity > 2 &* Inbox.bytesFull || eventCapacity > 1_024 || fieldCapacity > 4_096
    }

    /// Appends bytes; their offset.
    @inline(__always)
    mutating func append(_ from: UnsafePointer<UInt8>, _ count: Int) -> Int {
        if byteCapacity &- byteCount < count { growBytes(count) }
        let offset = byteCount
        UnsafeMutableRawPointer(bytes + offset).copyMemory(from: from, byteCount: count)
        byteCount = offset &+ count
        return offset
    }

    @inline(__always)
    mutating func append(byte: UInt8) {
        if byteCapacity == byteCount { growBytes(1) }
        bytes[byteCount] = byte
        byteCount &+= 1
    }

    @inline(__always)
    mutating func append(_ field: Field) {
        if fieldCount == fieldCapacity { growFields() }
        fields[fieldCount] = field
        fieldCount &+= 1
    }

    mutating func append(_ event: HTTP2Event) {
        if eventCount == eventCapacity { growEvents() }
        (events + eventCount).initialize(to: event)
        eventCount &+= 1
    }

    /// Forgets everything delivered, but keeps what lies behind the given offsets (an unfinished head).
    mutating func restart(keepingBytesFrom byteStart: Int, fieldsFrom fieldStart: Int) {
        let keptBytes = byteCount &- byteStart
        if byteStart > 0, keptBytes > 0 { bytes.update(from: bytes + byteStart, count: keptBytes) }
        byteCount = keptBytes
        let keptFields = fieldCount &- fieldStart
        if fieldStart > 0, keptFields > 0 { fields.update(from: fields + fieldStart, count: keptFields) }
        fieldCount = keptFields
        eventCount = 0
        eventNext = 0
    }

    @inline(never)
    mutating func growBytes(_ wanted: Int) {
        let capacity = max(byteCapacity &* 2, byteCount &+ wanted)
        let fresh = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        fresh.update(from: bytes, count: byteCount)
        bytes.deallocate()
        bytes = fresh
        byteCapacity = capacity
    }

    @inline(never)
    private mutating func growFields() {
        let fresh = UnsafeMutablePointer<Field>.allocate(capacity: fieldCapacity &* 2)
        fresh.update(from: fields, count: fieldCount)
        fields.deallocate()
        fields = fresh
        fieldCapacity &*= 2
    }

    @inline(never)
    private mutating func growEvents() {
        let fresh = UnsafeMutablePointer<HTTP2Event>.allocate(capacity: eventCapacity &* 2)
        fresh.update(from: events, count: eventCount)
        events.deallocate()
        events = fresh
        eventCapacity &*= 2
    }
}
