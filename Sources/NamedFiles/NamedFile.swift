// Regular files that somebody names: configurations, certificates, keys, values.
//
// The one way to open them. A name may lead to anything: opening a FIFO or a device may wait for ever,
// and reading one may never end. So a file is opened without waiting, looked at, and read up to a bound.

import Glibc

/// Why a file cannot be read, in words that complete its name.
public enum NamedFileError: Error, Sendable, Equatable, CustomStringConvertible {
    case missing
    /// "a folder", "a FIFO", …
    case notRegular(String)
    case tooLarge(bytesMax: Int)
    /// errno of open, fstat or read.
    case unreadable(Int32)

    public var description: String {
        switch self {
        case .missing: "does not exist"
        case .notRegular(let what): "is \(what), not a file"
        case .tooLarge(let max):
            max >= 1 << 20 && max % (1 << 20) == 0
                ? "is larger than \(max >> 20) MiB" : "is larger than \(max >> 10) KiB"
        case .unreadable(let code): "cannot be read: \(String(cString: strerror(code)))"
        }
    }
}

/// A regular file, read as a whole, and what tells whether it has changed. Blocks on the disk.
public struct NamedFile: Sendable, Equatable {
    /// Tells one state of a file from another without reading it: a rename changes the inode, a write
    /// the time or size.
    public struct Version: Sendable, Equatable {
        public var inode: UInt64
        public var device: UInt64
        public var changedNs: Int64
        public var byteCount: Int64

        public init(inode: UInt64 = 0, device: UInt64 = 0, changedNs: Int64 = 0, byteCount: Int64) {
            self.inode = inode
            self.device = device
            self.changedNs = changedNs
            self.byteCount = byteCount
        }

        fileprivate init(_ status: stat) {
            self.init(
                inode: UInt64(status.st_ino), device: UInt64(status.st_dev),
                changedNs: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec),
                byteCount: Int64(status.st_size))
        }
    }

    public var bytes: [UInt8]
    public var version: Version
    /// Permission bits.
    public var mode: UInt32

    /// Reads the file at `path`, which may hold at most `bytesMax` bytes.
    public init(reading path: String, bytesMax: Int) throws(NamedFileError) {
        guard !path.utf8.contains(0) else { throw .missing }
        // Without O_NONBLOCK a FIFO waits for a writer here; it changes nothing for regular files.
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        if fd < 0 {
            switch errno {
            case ENOENT: throw .missing
            case ENXIO: throw .notRegular("a socket or device")
            case let code: throw .unreadable(code)
            }
        }
        defer { close(fd) }
        var status = stat()
        if fstat(fd, &status) != 0 { throw .unreadable(errno) }
        if let what = Self.irregular(status.st_mode) { throw .notRegular(what) }
        if status.st_size > bytesMax { throw .tooLarge(bytesMax: bytesMax) }
        bytes = try Self.read(fd, bytesMax: bytesMax)
        mode = status.st_mode & 0o7777
        version = Version(status)
    }

    /// What a descriptor that is open already gives, to its end: standard input.
    public static func read(_ fd: Int32, bytesMax: Int) throws(NamedFileError) -> [UInt8] {
        var bytes: [UInt8] = []
        var failure: Int32 = 0
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 65_536) { room in
            while bytes.count <= bytesMax {
                let count = Glibc.read(fd, room.baseAddress, room.count)
                if count < 0 && errno == EINTR { continue }
                if count < 0 { failure = errno }
                if count <= 0 { return }
                bytes.append(contentsOf: room[0..<count])
            }
        }
        if failure != 0 { throw .unreadable(failure) }
        if bytes.count > bytesMax { throw .tooLarge(bytesMax: bytesMax) }
        return bytes
    }

    /// The state of a file now; nil when it is not there.
    public static func version(of path: String) -> Version? {
        var status = stat()
        return stat(path, &status) == 0 ? Version(status) : nil
    }

    /// Why lines could not be appended to a file at `path`, which need not be there yet; nil when they
    /// could. Nothing is created, nothing waited for.
    public static func obstacle(toAppendingAt path: String) -> String? {
        var status = stat()
        if stat(path, &status) == 0 {
            if status.st_mode & S_IFMT == S_IFDIR { return "it is a folder" }
            return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0 ? nil : String(cString: strerror(errno))
        }
        guard errno == ENOENT else { return String(cString: strerror(errno)) }
        let cut = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let folder = cut.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard stat(folder, &status) == 0 else {
            return errno == ENOENT ? "the folder \(folder) does not exist" : String(cString: strerror(errno))
        }
        if status.st_mode & S_IFMT != S_IFDIR { return "\(folder) is not a folder" }
        return faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0
            ? nil : "the folder \(folder) cannot be written: \(String(cString: strerror(errno)))"
    }

    /// What a thing is that is no regular file.
    private static func irregular(_ mode: mode_t) -> String? {
        switch mode & S_IFMT {
        case S_IFREG: nil
        case S_IFDIR: "a folder"
        case S_IFIFO: "a FIFO"
        case S_IFCHR, S_IFBLK: "a device"
        case S_IFSOCK: "a socket"
        default: "something else"
        }
    }
}
