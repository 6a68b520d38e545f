// What a name may lead to, and that nothing of it is waited for.

import Glibc
import NamedFiles
import Testing

@Suite struct NamedFileTests {
    let folder: String

    init() {
        var template = Array("/tmp/weir-named-XXXXXX".utf8CString)
        folder = template.withUnsafeMutableBufferPointer { room in
            room.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? "/tmp"
        }
    }

    private func write(_ bytes: [UInt8], _ name: String) -> String {
        let path = "\(folder)/\(name)"
        let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o640)
        _ = Glibc.write(fd, bytes, bytes.count)
        close(fd)
        return path
    }

    @Test func aFileIsReadUpToItsBound() throws {
        let path = write(Array("hello".utf8), "a")
        let file = try NamedFile(reading: path, bytesMax: 5)
        #expect(file.bytes == Array("hello".utf8))
        #expect(file.mode & 0o777 == 0o640 & ~currentMask())
        #expect(NamedFile.version(of: path) == file.version)
        #expect(throws: NamedFileError.tooLarge(bytesMax: 4)) { try NamedFile(reading: path, bytesMax: 4) }
    }

    private func currentMask() -> UInt32 {
        let mask = umask(0o022)
        umask(mask)
        return mask
    }

    /// Each of these would be waited for, or read without end, if it were simply opened and read.
    @Test func whatIsNoFileIsRefusedAtOnce() throws {
        #expect(mkfifo("\(folder)/fifo", 0o600) == 0)
        #expect(symlink("\(folder)/fifo", "\(folder)/link") == 0)
        for (path, what) in [
            ("\(folder)/fifo", "a FIFO"), ("\(folder)/link", "a FIFO"), (folder, "a folder"),
            ("/dev/zero", "a device"), ("/dev/null", "a device"),
        ] {
            #expect(throws: NamedFileError.notRegular(what), "\(path)") {
                try NamedFile(reading: path, bytesMax: 100)
            }
        }
        #expect(throws: NamedFileError.missing) { try NamedFile(reading: "\(folder)/none", bytesMax: 1) }
        #expect(throws: NamedFileError.missing) { try NamedFile(reading: "a\0b", bytesMax: 1) }
        #expect(throws: NamedFileError.unreadable(ENOTDIR)) {
            try NamedFile(reading: "/dev/null/x", bytesMax: 1)
        }
    }

    @Test func aSocketIsNoFile() {
        let fd = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(fd) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = "\(folder)/socket"
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(fd, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        #expect(throws: NamedFileError.notRegular("a socket or device")) {
            try NamedFile(reading: path, bytesMax: 1)
        }
    }

    @Test func whereLinesCanBeAppended() {
        let path = write([], "log")
        #expect(NamedFile.obstacle(toAppendingAt: path) == nil)
        #expect(NamedFile.obstacle(toAppendingAt: "\(folder)/new") == nil)
        #expect(NamedFile.version(of: "\(folder)/new") == nil, "looking created it")
        #expect(NamedFile.obstacle(toAppendingAt: folder) == "it is a folder")
        #expect(
            NamedFile.obstacle(toAppendingAt: "\(folder)/none/log")
                == "the folder \(folder)/none does not exist")
        #expect(NamedFile.obstacle(toAppendingAt: "\(path)/log") == "Not a directory")
        #expect(NamedFile.obstacle(toAppendingAt: "/dev/null") == nil)
    }
}
