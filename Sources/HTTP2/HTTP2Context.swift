// What all sessions of one worker share: the library's callback table and options, which it copies into
// each session, and free lists of what a session needs only while something happens on it.

import CNGHTTP2
import WeirHTTPModel

/// Created once per worker, before its first session, and destroyed after its last. Used by one thread.
public struct HTTP2Context: BitwiseCopyable {
    let c: UnsafeMutablePointer<ContextState>

    /// Nil: out of memory.
    public init?() {
        var callbacks: OpaquePointer?
        var options: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks else { return nil }
        guard nghttp2_option_new(&options) == 0, let options else {
            nghttp2_session_callbacks_del(callbacks)
            return nil
        }
        c = .allocate(capacity: 1)
        c.initialize(to: ContextState(callbacks: callbacks, options: options))
        setCallbacks(callbacks)
        setOptions(options)
    }

    /// Frees everything; no session may be left.
    public func destroy() {
        c.pointee.deallocate()
        c.deinitialize(count: 1)
        c.deallocate()
    }

    /// What the library would do by itself and must not: acknowledge received bytes before the proxy is
    /// rid of them, judge messages without saying what is wrong (all of it is done in HeadBuilder, with
    /// names), and stop floods of resets by a clock of its own.
    private func setOptions(_ options: OpaquePointer) {
        nghttp2_option_set_no_auto_window_update(options, 1)
        nghttp2_option_set_no_http_messaging(options, 1)
        nghttp2_option_set_stream_reset_rate_limit(options, 1 << 40, 1 << 20)
        nghttp2_option_set_no_closed_streams(options, 1)
        // More than the budgets of PING and SETTINGS let come at once after the machine stood still.
        nghttp2_option_set_max_outbound_ack(options, HTTP2Configuration.controlFramesMax * 4)
        // Counted by us (FrameWatch): the library counts a frame again whenever its header comes in pieces.
        nghttp2_option_set_max_continuations(options, 1 << 20)
        nghttp2_option_set_max_settings(options, 32)
        nghttp2_option_set_max_send_header_block_length(options, 1 << 18)
        nghttp2_option_set_builtin_recv_extension_type(options, FrameType.priorityUpdate)
    }
}

struct ContextState {
    let callbacks: OpaquePointer
    let options: OpaquePointer

    private var freeInboxes: UnsafeMutablePointer<Inbox>?
    private var freeInboxCount = 0
    private var freeStreams: StreamPointer?
    private(set) var freeStreamCount = 0
    /// Free blocks of 4, 16 and 64 KiB; the first word of each points to the next.
    private var freeBlocks: (UnsafeMutableRawPointer?, UnsafeMutableRawPointer?, UnsafeMutableRawPointer?)
    private var freeBlockCounts = (0, 0, 0)
    /// Scratch for the fields of one message to be sent.
    var vectors: UnsafeMutablePointer<nghttp2_nv>
    private var vectorCapacity = 64

    private static var inboxesMax: Int { 16 }
    private static var streamsMax: Int { 1_024 }
    private static var blocksMax: Int { 64 }

    init(callbacks: OpaquePointer, options: OpaquePointer) {
        self.callbacks = callbacks
        self.options = options
        vectors = .allocate(capacity: vectorCapacity)
        freeBlocks = (nil, nil, nil)
    }

    mutating func deallocate() {
        nghttp2_session_callbacks_del(callbacks)
        nghttp2_option_del(options)
        while let inbox = freeInboxes {
            freeInboxes = inbox.pointee.next
            inbox.pointee.deallocate()
            inbox.deallocate()
        }
        while let stream = freeStreams {
            freeStreams = stream.pointee.next
            stream.deallocate()
        }
        for block in [freeBlocks.0, freeBlocks.1, freeBlocks.2] {
            var block = block
            while let current = block {
                block = current.load(as: UnsafeMutableRawPointer?.self)
                current.deallocate()
            }
        }
        vectors.deallocate()
    }

    mutating func takeInbox() -> UnsafeMutablePointer<Inbox> {
        if let inbox = freeInboxes {
            freeInboxes = inbox.pointee.next
            freeInboxCount &-= 1
            return inbox
        }
        let inbox = UnsafeMutablePointer<Inbox>.allocate(capacity: 1)
        inbox.initialize(to: Inbox())
        return inbox
    }

    mutating func give(_ inbox: UnsafeMutablePointer<Inbox>) {
        if freeInboxCount == ContextState.inboxesMax || inbox.pointee.isLarge {
            inbox.pointee.deallocate()
            inbox.deallocate()
            return
        }
        inbox.pointee.restart(
            keepingBytesFrom: inbox.pointee.byteCount, fieldsFrom: inbox.pointee.fieldCount)
        inbox.pointee.next = freeInboxes
        freeInboxes = inbox
        freeInboxCount &+= 1
    }

    mutating func takeStream() -> StreamPointer {
        let stream: StreamPointer
        if let free = freeStreams {
            freeStreams = free.pointee.next
            freeStreamCount &-= 1
            stream = free
        } else {
            stream = .allocate(capacity: 1)
        }
        stream.initialize(to: StreamRecord())
        return stream
    }

    mutating func give(_ stream: StreamPointer) {
        if freeStreamCount == ContextState.streamsMax {
            stream.deallocate()
            return
        }
        stream.pointee.next = freeStreams
        freeStreams = stream
        freeStreamCount &+= 1
    }

    /// A block of at least this many bytes; `capacity` is set to what it holds.
    mutating func takeBlock(_ wanted: Int, _ capacity: inout Int) -> UnsafeMutablePointer<UInt8> {
        var block: UnsafeMutableRawPointer?
        if wanted <= 4_096 {
            capacity = 4_096
            block = ContextState.pop(&freeBlocks.0, &freeBlockCounts.0)
        } else if wanted <= 16_384 {
            capacity = 16_384
            block = ContextState.pop(&freeBlocks.1, &freeBlockCounts.1)
        } else if wanted <= 65_536 {
            capacity = 65_536
            block = ContextState.pop(&freeBlocks.2, &freeBlockCounts.2)
        } else {
            capacity = wanted
        }
        let raw = block ?? .allocate(byteCount: capacity, alignment: 16)
        return raw.assumingMemoryBound(to: UInt8.self)
    }

    mutating func give(_ block: UnsafeMutablePointer<UInt8>, capacity: Int) {
        let raw = UnsafeMutableRawPointer(block)
        switch capacity {
        case 4_096: ContextState.push(raw, &freeBlocks.0, &freeBlockCounts.0)
        case 16_384: ContextState.push(raw, &freeBlocks.1, &freeBlockCounts.1)
        case 65_536: ContextState.push(raw, &freeBlocks.2, &freeBlockCounts.2)
        default: raw.deallocate()
        }
    }

    private static func pop(
        _ list: inout UnsafeMutableRawPointer?, _ count: inout Int
    ) -> UnsafeMutableRawPointer? {
        guard let block = list else { return nil }
        list = block.load(as: UnsafeMutableRawPointer?.self)
        count &-= 1
        return block
    }

    private static func push(
        _ block: UnsafeMutableRawPointer, _ list: inout UnsafeMutableRawPointer?, _ count: inout Int
    ) {
        if count == blocksMax {
            block.deallocate()
            return
        }
        block.storeBytes(of: list, as: UnsafeMutableRawPointer?.self)
        list = block
        count &+= 1
    }

    /// Makes room for this many fields in `vectors`.
    mutating func reserveVectors(_ count: Int) {
        if count <= vectorCapacity { return }
        vectors.deallocate()
        vectorCapacity = count &+ count / 2
        vectors = .allocate(capacity: vectorCapacity)
    }
}
