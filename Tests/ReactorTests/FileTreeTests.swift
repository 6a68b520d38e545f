// Files below a folder: what is opened, what is not, with and without openat2.

import Glibc
import Testing

@testable import Reactor

/// A folder with everything that can go wrong in it; removed with the object.
private final class Folder {
    let path: String
    let tree: FileTree

    init() {
        var template = Array("/tmp/weir-tree-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) } ?? ""
        }
        for name in ["root", "root/sub", "outside", "root/sub/deep"] { mkdir("\(path)/\(name)", 0o755) }
        for name in ["root/a.txt", "root/sub/deep/b", "outside/secret"] {
            Self.write("\(path)/\(name)", name)
        }
        symlink("a.txt", "\(path)/root/inside")
        symlink("../a.txt", "\(path)/root/sub/up")
        symlink("../outside/secret", "\(path)/root/leak")
        symlink("/etc/passwd", "\(path)/root/absolute")
        symlink("../outside", "\(path)/root/leakdir")
        symlink("sub", "\(path)/root/linkdir")
        symlink("loop", "\(path)/root/loop")
        mkfifo("\(path)/root/pipe", 0o644)
        tree = FileTree(folder: "\(path)/root")
    }

    deinit {
        tree.close()
        for name in [
            "root/a.txt", "root/sub/deep/b", "outside/secret", "root/inside", "root/sub/up", "root/leak",
            "root/absolute", "root/leakdir", "root/linkdir", "root/loop", "root/pipe",
        ] { unlink("\(path)/\(name)") }
        for name in ["root/sub/deep", "root/sub", "root", "outside", ""] { rmdir("\(path)/\(name)") }
    }

    static func write(_ path: String, _ text: String) {
        let fd = open(path, O_WRONLY | O_CREAT, 0o644)
        _ = text.withCString { Glibc.write(fd, $0, strlen($0)) }
        close(fd)
    }

    /// The contents, "folder", "other", or the name of the error.
    func read(_ path: String, _ links: FileTree.Links = .inside) -> String {
        let opened = path.utf8CString.withUnsafeBytes { bytes in
            bytes.baseAddress.map { tree.open($0.assumingMemoryBound(to: UInt8.self), links: links) }
        }
        switch opened {
        case .success(let file)?:
            defer { file.close() }
            guard file.kind == .file else { return "\(file.kind)" }
            return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 256) { room in
                guard let start = room.baseAddress else { return "" }
                let count = file.read(start, 256, at: 0)
                return UInt64(max(0, count)) == file.size
                    ? String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
                    : "short"
            }
        case .failure(let error)?: return Self.name(error.code)
        case nil: return ""
        }
    }

    /// The same without openat2.
    func walk(_ path: String, _ links: FileTree.Links = .inside) -> String {
        let fd = tree.walk(path, links)
        guard fd >= 0 else { return Self.name(errno) }
        defer { close(fd) }
        var room = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(fd, &room, 256)
        return count < 0 ? Self.name(errno) : String(decoding: room[..<count], as: UTF8.self)
    }

    static func name(_ code: Int32) -> String {
        switch code {
        case ENOENT: "ENOENT"
        case ENOTDIR: "ENOTDIR"
        case EXDEV: "EXDEV"
        case ELOOP: "ELOOP"
        case EISDIR: "EISDIR"
        case ENAMETOOLONG: "ENAMETOOLONG"
        default: "errno \(code)"
        }
    }
}

@Suite struct FileTreeTests {
    @Test func opensWhatIsBelow() {
        let folder = Folder()
        #expect(folder.read("a.txt") == "root/a.txt")
        #expect(folder.read("sub/deep/b") == "root/sub/deep/b")
        #expect(folder.read("") == "folder")
        #expect(folder.read("sub") == "folder")
        #expect(folder.read("sub/") == "folder")
        #expect(folder.read("nothing") == "ENOENT")
        #expect(folder.read("a.txt/x") == "ENOTDIR")
        #expect(folder.read("a.txt/") == "ENOTDIR")
        #expect(folder.read(String(repeating: "x", count: 300)) == "ENAMETOOLONG")
        // Opened without waiting for a writer, and not a file.
        #expect(folder.read("pipe") == "other")
    }

    @Test func linksInsideAreFollowedAndNoOthers() {
        let folder = Folder()
        #expect(folder.read("inside") == "root/a.txt")
        #expect(folder.read("sub/up") == "root/a.txt")
        #expect(folder.read("linkdir/deep/b") == "root/sub/deep/b")
        #expect(folder.read("leak") == "EXDEV")
        #expect(folder.read("leakdir/secret") == "EXDEV")
        #expect(folder.read("absolute") == "EXDEV")
        #expect(folder.read("loop") == "ELOOP")
        // Even if a path with dots came this far.
        #expect(folder.read("../outside/secret") == "EXDEV")
        #expect(folder.read("/etc/passwd") == "EXDEV")
    }

    @Test func linksCanBeRefusedOrFollowedAnywhere() {
        let folder = Folder()
        #expect(folder.read("inside", .none) == "ELOOP")
        #expect(folder.read("a.txt", .none) == "root/a.txt")
        #expect(folder.read("leak", .anywhere) == "outside/secret")
        #expect(folder.read("leakdir/secret", .anywhere) == "outside/secret")
    }

    @Test func withoutTheCallNoLinkIsFollowed() {
        let folder = Folder()
        #expect(folder.walk("a.txt") == "root/a.txt")
        #expect(folder.walk("sub/deep/b") == "root/sub/deep/b")
        #expect(folder.walk(".") == "EISDIR")
        #expect(folder.walk("sub/") == "EISDIR")
        #expect(folder.walk("a.txt/") == "ENOTDIR")
        #expect(folder.walk("nothing") == "ENOENT")
        #expect(folder.walk("inside") == "ELOOP")
        #expect(folder.walk("leak") == "ELOOP")
        #expect(folder.walk("leakdir/secret") == "ENOTDIR")
        #expect(folder.walk("linkdir/deep/b") == "ENOTDIR")
        #expect(folder.walk("sub/" + String(repeating: "x", count: 300)) == "ENAMETOOLONG")
        #expect(folder.walk("leak", .anywhere) == "outside/secret")
    }

    @Test func aMissingFolderIsAnError() {
        #expect(FileTree(folder: "/nowhere/at/all").fd == -ENOENT)
        #expect(FileTree(folder: "/etc/passwd").fd == -ENOTDIR)
    }

    @Test func filesAreSentWithoutBeingRead() {
        let folder = Folder()
        let pair = SocketPair()
        let opened = "sub/deep/b".utf8CString.withUnsafeBytes {
            folder.tree.open($0.baseAddress!.assumingMemoryBound(to: UInt8.self), links: .inside)
        }
        guard case .success(let file) = opened else {
            Issue.record("not opened")
            return
        }
        defer { file.close() }
        #expect(pair.near.sendFile(file, at: 5, 3) == 3)
        #expect(pair.near.sendFile(file, at: 0, 1000) == 15)
        #expect(pair.near.sendFile(file, at: 15, 1) == 0)
        var room = [UInt8](repeating: 0, count: 64)
        let count = pair.far.receive(&room, 64)
        #expect(String(decoding: room[..<max(0, count)], as: UTF8.self) == "subroot/sub/deep/b")
    }
}
