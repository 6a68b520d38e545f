// Opening files below a folder, and only there.
//
// The kernel resolves the path (openat2 with RESOLVE_BENEATH, Linux 5.6): no symbolic link, mount of
// /proc or race between check and use leads out of the folder. Where that call is missing or forbidden
// (an old kernel, a container's filter), the path is walked name by name without following any link.
// Opening and asking for size and time are blocking calls on the caller's thread; on a local disk they
// take microseconds. Names are bytes; nothing here decides what may be asked for.

import CLinux
import Glibc

/// A file or folder that is open for reading. Does not own: closing is explicit.
public struct OpenFile: Equatable, Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable {
        case file, folder
        /// A device, a socket, a pipe.
        case other
    }

    public let fd: Int32
    public let kind: Kind
    /// Bytes.
    public let size: UInt64
    /// Time of modification, nanoseconds since the epoch.
    public let modifiedNs: Int64

    @inline(__always)
    public func close() { _ = Glibc.close(fd) }

    /// Reads from a place in the file: bytes, 0 at its end, or -errno.
    public func read(_ into: UnsafeMutablePointer<UInt8>, _ capacity: Int, at offset: UInt64) -> Int {
        while true {
            let count = pread(fd, into, capacity, off_t(truncatingIfNeeded: offset))
            if count >= 0 { return count }
            if errno != EINTR { return Int(-errno) }
        }
    }
}

/// A folder files are opened below.
public struct FileTree: Equatable, Sendable, BitwiseCopyable {
    /// Where symbolic links below the folder may lead. Raw values are those of the call.
    public enum Links: Int32, Sendable, BitwiseCopyable {
        case anywhere = 0
        /// To places below the folder. A link with an absolute path counts as leading out.
        case inside = 1
        /// There may be none.
        case none = 2
    }

    public let fd: Int32

    public static let none = FileTree(fd: -1)

    /// Opens a folder; -errno in `fd` when it cannot be had.
    public init(folder path: UnsafePointer<CChar>) {
        let fd = weir_open_folder(AT_FDCWD, path, 1)
        self.init(fd: fd >= 0 ? fd : -errno)
    }

    init(fd: Int32) { self.fd = fd }

    @inline(__always)
    public func close() { _ = Glibc.close(fd) }

    /// Opens a path relative to the folder, NUL-terminated, without "." and ".."; "" is the folder.
    public func open(_ path: UnsafePointer<UInt8>, links: Links) -> Result<OpenFile, FileError> {
        path.withMemoryRebound(to: CChar.self, capacity: 1) { open($0, links) }
    }

    private func open(_ path: UnsafePointer<CChar>, _ links: Links) -> Result<OpenFile, FileError> {
        var current: UnsafePointer<CChar> = path
        return withUnsafePointer(to: Self.dot) { dot in
            if path.pointee == 0 {
                current = UnsafeRawPointer(dot).assumingMemoryBound(to: CChar.self)
            }
            var fd = weir_open_below(self.fd, current, links.rawValue)
            var tries = 0
            // A rename elsewhere while the kernel resolved: it asks to try again.
            while fd < 0, errno == EAGAIN || errno == EINTR, tries < 8 {
                fd = weir_open_below(self.fd, current, links.rawValue)
                tries += 1
            }
            if fd < 0, errno == ENOSYS || (errno == EPERM && !Self.hasOpenBelow(self.fd)) {
                fd = walk(current, links)
            }
            return fd < 0 ? .failure(FileError(code: errno)) : Self.facts(fd)
        }
    }

    private static var dot: (CChar, CChar) { (CChar(UInt8(ascii: ".")), 0) }

    /// Some filters of system calls answer "not permitted" to calls they do not know.
    private static func hasOpenBelow(_ folder: Int32) -> Bool {
        let fd = withUnsafePointer(to: dot) {
            weir_open_below(folder, UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self), 0)
        }
        if fd >= 0 { _ = Glibc.close(fd) }
        return fd >= 0
    }

    /// Opens without openat2: name by name, following no link unless any may be followed.
    /// Returns the descriptor, or -1 with errno.
    func walk(_ path: UnsafePointer<CChar>, _ links: Links) -> Int32 {
        let last = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
        if links == .anywhere { return openat(fd, path, last) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { name in
            guard let start = name.baseAddress else { return -1 }
            var folder = fd
            var at = path
            while true {
                var count = 0
                while at[count] != 0, at[count] != CChar(UInt8(ascii: "/")) {
                    guard count < 255 else {
                        if folder != fd { _ = Glibc.close(folder) }
                        errno = ENAMETOOLONG
                        return -1
                    }
                    start[count] = at[count]
                    count += 1
                }
                start[count] = 0
                let isLast = at[count] == 0 || at[count + 1] == 0
                // A path that ends in a slash names a folder.
                let isFolder = at[count] != 0
                let next =
                    isLast
                    ? openat(folder, start, last | O_NOFOLLOW | (isFolder ? O_DIRECTORY : 0))
                    : weir_open_folder(folder, start, 0)
                let error = errno
                if folder != fd { _ = Glibc.close(folder) }
                errno = error
                if next < 0 || isLast { return next }
                folder = next
                at += count + 1
            }
        }
    }

    private static func facts(_ fd: Int32) -> Result<OpenFile, FileError> {
        var facts = stat()
        guard fstat(fd, &facts) == 0 else {
            let error = FileError(code: errno)
            _ = Glibc.close(fd)
            return .failure(error)
        }
        let kind: OpenFile.Kind =
            switch facts.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            default: .other
            }
        return .success(
            OpenFile(
                fd: fd, kind: kind, size: UInt64(clamping: facts.st_size),
                modifiedNs: Int64(facts.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(facts.st_mtim.tv_nsec)))
    }
}

/// Why a file cannot be opened.
public struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
    /// errno.
    public let code: Int32

    public init(code: Int32) { self.code = code }

    public var description: String { String(cString: strerror(code)) }
}

extension Socket {
    /// Sends bytes of a file without copying them through us: bytes taken, 0 when the file ends before,
    /// or -errno.
    @inline(__always)
    public func sendFile(_ file: OpenFile, at offset: UInt64, _ byteCount: Int) -> Int {
        while true {
            let sent = weir_sendfile(fd, file.fd, Int64(bitPattern: offset), byteCount)
            if sent >= 0 { return sent }
            if errno != EINTR { return Int(-errno) }
        }
    }
}
