// What all sessions of one worker share: the library's callback table and options, and free lists.

import CNGHTTP2
import HTTPModel

/// Created once per worker, before its first session, and destroyed after its last. Used by one thread.
public struct HTTP2Context: BitwiseCopyable {
    let c: UnsafeMutablePointer<ContextState>

    /// Nil: out of memory.
    public init?() { nil }

    /// Frees everything; no session may be left.
    public func destroy() {}
}

struct ContextState {}
