// Content types by the extension of a file's name, case ignored.
//
// The built-in list is of what web sites hold; text has its charset, because without one a browser
// guesses (JSON, XML and WebAssembly define their own). What is not known is application/octet-stream:
// together with `nosniff` it is offered for saving instead of run. Looked up in a flat table without
// allocation; an extension has at most 16 bytes.

public final class ContentTypes: @unchecked Sendable {
    private struct Entry {
        var low: UInt64 = 0
        var high: UInt64 = 0
        var offset: UInt32 = 0
        var count: UInt32 = 0
    }

    private let entries: UnsafeMutablePointer<Entry>
    private let mask: Int
    private let text: UnsafeMutablePointer<UInt8>
    private let textCount: Int
    private let unknown: (offset: Int, count: Int)

    /// - Parameter overrides: extension without its dot → type; "*" is the type of all that is not
    ///   known. Later ones win over earlier ones and over the built-in list.
    public init(overrides: [(fileExtension: String, type: String)] = []) {
        var table: [(String, String)] = []
        for (type, extensions) in Self.builtIn {
            for fileExtension in extensions.split(separator: " ") {
                table.append((String(fileExtension), type))
            }
        }
        table += overrides.map { ($0.fileExtension.lowercased(), $0.type) }
        var bytes: [UInt8] = []
        var places: [String: (Int, Int)] = [:]
        func place(_ type: String) -> (Int, Int) {
            if let known = places[type] { return known }
            let place = (bytes.count, type.utf8.count)
            bytes += type.utf8
            places[type] = place
            return place
        }
        var slots = 64
        while slots < table.count * 2 { slots *= 2 }
        mask = slots - 1
        entries = .allocate(capacity: slots)
        entries.initialize(repeating: Entry(), count: slots)
        var unknown = place("application/octet-stream")
        for (fileExtension, type) in table {
            let (offset, count) = place(type)
            if fileExtension == "*" {
                unknown = (offset, count)
                continue
            }
            var name = Array(fileExtension.utf8)
            guard
                let key = name.withUnsafeMutableBufferPointer({ Self.key(UnsafeBufferPointer($0)) })
            else { continue }
            var at = Self.slot(key) & mask
            while entries[at].count > 0, (entries[at].low, entries[at].high) != key { at = (at + 1) & mask }
            entries[at] = Entry(low: key.0, high: key.1, offset: UInt32(offset), count: UInt32(count))
        }
        text = .allocate(capacity: max(1, bytes.count))
        text.initialize(from: bytes, count: bytes.count)
        textCount = bytes.count
        self.unknown = unknown
    }

    deinit {
        entries.deallocate()
        text.deallocate()
    }

    /// The type of a file by its path or name. Valid as long as this object.
    public func type(_ path: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        known(path) ?? UnsafeBufferPointer(start: text + unknown.offset, count: unknown.count)
    }

    /// The same; nil when the extension is not in the table, or there is none.
    public func known(_ path: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
        var start = path.count
        while start > 0, path[start - 1] != UInt8(ascii: ".") {
            if path[start - 1] == UInt8(ascii: "/") { return nil }
            start -= 1
        }
        guard start > 0, let key = Self.key(UnsafeBufferPointer(rebasing: path[start...])) else { return nil }
        var at = Self.slot(key) & mask
        while entries[at].count > 0 {
            if entries[at].low == key.0, entries[at].high == key.1 {
                return UnsafeBufferPointer(
                    start: text + Int(entries[at].offset), count: Int(entries[at].count))
            }
            at = (at + 1) & mask
        }
        return nil
    }

    /// An extension of 1…16 bytes, lower case, as two words.
    private static func key(_ name: UnsafeBufferPointer<UInt8>) -> (UInt64, UInt64)? {
        guard (1...16).contains(name.count) else { return nil }
        var low: UInt64 = 0
        var high: UInt64 = 0
        for i in 0..<name.count {
            let byte = name[i]
            let lower = UInt64(byte &- 65 < 26 ? byte | 0x20 : byte)
            if i < 8 { low |= lower << UInt64(i * 8) } else { high |= lower << UInt64((i - 8) * 8) }
        }
        return (low, high)
    }

    private static func slot(_ key: (UInt64, UInt64)) -> Int {
        let mixed = (key.0 ^ key.1 &* 0xff51_afd7_ed55_8ccd) &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: mixed >> 40)
    }
}
