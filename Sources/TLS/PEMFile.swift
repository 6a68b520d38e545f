// Reading small files of certificates and keys. Control plane only: it blocks on the disk.

import COpenSSL
import NamedFiles

/// A file of certificate material, and what tells whether it has changed.
public struct PEMFile: Sendable, Equatable {
    /// Bundles of CAs are below 1 MiB; nothing that belongs here is larger than this.
    static let bytesMax = 16 * 1_048_576

    public typealias Version = NamedFile.Version

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
        version = Version(byteCount: Int64(bytes.count))
    }

    /// Reads a file.
    public init(reading path: String) throws(CertificateError) {
        do throws(NamedFileError) {
            let file = try NamedFile(reading: path, bytesMax: Self.bytesMax)
            self.path = path
            bytes = file.bytes
            mode = file.mode
            version = file.version
        } catch {
            throw .file(path, error)
        }
    }

    /// Whether any user of the machine can read it.
    public var isWorldReadable: Bool { mode & 0o004 != 0 }
}

/// Runs `body` with a BIO that reads the bytes.
func withMemoryBIO<Result>(_ bytes: [UInt8], _ body: (OpaquePointer) -> Result) -> Result? {
    bytes.withUnsafeBytes { raw in
        guard let bio = BIO_new_mem_buf(raw.baseAddress, Int32(clamping: raw.count)) else { return nil }
        defer { BIO_free(bio) }
        return body(bio)
    }
}
