// Content types and patterns of paths, asked with texts.

extension ContentTypes {
    /// What a file of this name is sent as.
    public func type(of name: String) -> String {
        Array(name.utf8).withUnsafeBufferPointer { String(decoding: type($0), as: UTF8.self) }
    }
}

extension FilePattern {
    /// - Parameter path: relative to the root, without a slash before it.
    public func matches(_ path: String) -> Bool { Array(path.utf8).withUnsafeBufferPointer { matches($0) } }
}
