// Reading small files of certificates and keys. Control plane only: it blocks on the disk.

import COpenSSL
import Glibc

/// A file of certificate material, and what tells whether it has changed.
public struct PEMFile: Sendable, Equatable {
    /// Bundles of CAs are below 1 MiB; nothing that belongs here is larger than this.
    static let bytesMax = 16 * 1_048_576

    /// Tells one state of a file from another without reading it: a rename changes the inode, a write
    /// the time or size.
    public struct Version: Sendable, Equatable {
        public var inode: UInt64
        public var device: UInt64
        public var changedNs: Int64
        public var byteCount: Int64
    }

    public let path: String
    public let bytes: [UInt8]
    public let version: Version
    /// Permission bits.
    public let mode: UInt32

    /// Bytes that were not read from a file; `path` is what errors call them.
    public init(path: String, bytes: [UInt8], mode: UInt32 = 0o600) {
        self.path = path
        self.bytes = bytes
        self.mode = mode
        version = Version(inode: 0, device: 0, changedNs: 0, byteCount: Int64(bytes.count))
    }

    /// Reads a file.
    public init(reading path: String) throws(CertificateError) {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        if fd < 0 { throw errno == ENOENT ? .fileMissing(path) : .fileUnreadable(path, errno) }
        defer { close(fd) }
        var status = stat()
        if fstat(fd, &status) != 0 { throw .fileUnreadable(path, errno) }
        if status.st_mode & S_IFMT == S_IFDIR { throw .fileUnreadable(path, EISDIR) }
        if status.st_size > Self.bytesMax { throw .fileTooLarge(path) }
        var bytes: [UInt8] = []
        var failure: Int32 = 0
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16_384) { room in
            while bytes.count <= Self.bytesMax {
                let count = Glibc.read(fd, room.baseAddress, room.count)
                if count < 0 && errno == EINTR { continue }
                if count < 0 { failure = errno }
                if count <= 0 { return }
                bytes.append(contentsOf: room[0..<count])
            }
        }
        if failure != 0 { throw .fileUnreadable(path, failure) }
        if bytes.count > Self.bytesMax { throw .fileTooLarge(path) }
        self.path = path
        self.bytes = bytes
        mode = status.st_mode & 0o7777
        version = Version(status)
    }

    /// The state of a file now; nil when it is not there.
    public static func version(of path: String) -> Version? {
        var status = stat()
        return stat(path, &status) == 0 ? Version(status) : nil
    }

    /// Whether any user of the machine can read it.
    public var isWorldReadable: Bool { mode & 0o004 != 0 }
}

extension PEMFile.Version {
    init(_ status: stat) {
        self.init(
            inode: UInt64(status.st_ino), device: UInt64(status.st_dev),
            changedNs: Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec),
            byteCount: Int64(status.st_size))
    }
}

/// What errno says.
func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }

/// Runs `body` with a BIO that reads the bytes.
func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer) -> Result) -> Result? {
    bytes.withUnsafeBytes { raw in
        guard let bio = BIO_new_mem_buf(raw.baseAddress, Int32(clamping: raw.count)) else { return nil }
        defer { BIO_free(bio) }
        return body(bio)
    }
}
