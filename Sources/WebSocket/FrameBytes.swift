// Following frames without pointers.

extension FrameFollower {
    /// So many bytes have passed.
    public mutating func passed(_ bytes: borrowing Span<UInt8>) {
        bytes.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { passed(base, bytes.count) }
        }
    }

    public mutating func passed(_ bytes: [UInt8]) { passed(bytes.span) }
}
