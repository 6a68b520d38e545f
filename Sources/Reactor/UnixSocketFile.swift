// The name of a Unix socket in the file system: taken without harm, given back when we go.
//
// bind(2) makes a file and nothing ever takes it away: what a process that is gone left must be removed
// by the next one, and the file may be anything by then. So: only a socket is ever removed, only when a
// connection to it is refused, and at the end only while the file is still the one we made. Two starters
// at once would each find nobody there and remove the other's: whoever looks, removes or makes a socket
// holds a lock (flock) on the folder meanwhile. A lock on the folder leaves no file behind, and ends
// with its holder.

import Glibc

/// Who may connect to a Unix socket: connecting needs the right to write to its file (unix(7)).
public struct UnixSocketAccess: Sendable, Hashable {
    /// nil: as the process's umask has it.
    public var mode: UInt32?
    /// User and group; nil: those of the process.
    public var owner: UInt32?
    public var group: UInt32?

    public init(mode: UInt32? = nil, owner: UInt32? = nil, group: UInt32? = nil) {
        self.mode = mode
        self.owner = owner
        self.group = group
    }
}

/// Why a name cannot be had for a Unix socket.
public enum UnixSocketRefusal: Error, Equatable, Sendable, CustomStringConvertible {
    /// Something else has the name; what.
    case notASocket(String)
    case inUse
    /// The folder's lock is held by somebody.
    case locked
    /// A system call failed.
    case system(String, Int32)

    public var description: String {
        switch self {
        case .notASocket(let kind): "\(kind) has this name"
        case .inUse: "bind: \(String(cString: strerror(EADDRINUSE)))"
        case .locked: "somebody holds a lock on its folder"
        case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
        }
    }
}

/// What to do about a name, by what stands there.
public enum UnixSocketPlace: Equatable, Sendable {
    case free
    /// A socket nobody answers on.
    case left
    case refused(UnixSocketRefusal)

    /// - Parameters:
    ///   - kind: the file's type (S_IFMT bits of its mode); nil: there is no file.
    ///   - answer: errno of a connection to it, 0 when it was made; asked only of sockets.
    public init(kind: UInt32?, answer: () -> Int32) {
        guard let kind else {
            self = .free
            return
        }
        guard kind == UInt32(S_IFSOCK) else {
            self = .refused(.notASocket(Self.name(of: kind)))
            return
        }
        switch answer() {
        case ECONNREFUSED: self = .left
        // Gone while we looked.
        case ENOENT: self = .free
        // A full backlog (EAGAIN) and a socket for datagrams (EPROTOTYPE) have somebody behind them, too.
        case 0, EINPROGRESS, EAGAIN, EPROTOTYPE: self = .refused(.inUse)
        case let error: self = .refused(.system("connect", error))
        }
    }

    private static func name(of kind: UInt32) -> String {
        switch kind {
        case UInt32(S_IFREG): "a regular file"
        case UInt32(S_IFDIR): "a folder"
        case UInt32(S_IFLNK): "a symbolic link"
        case UInt32(S_IFIFO): "a FIFO"
        default: "a device"
        }
    }
}

/// A socket's file that we made.
public final class UnixSocketFile: Sendable {
    private let path: String
    private let device: dev_t
    private let inode: ino_t

    private init(path: String, device: dev_t, inode: ino_t) {
        self.path = path
        self.device = device
        self.inode = inode
    }

    /// Binds a socket to a path. Nobody can connect before it listens, so nobody sees the file with
    /// other rights than it is to have.
    public static func bind(_ socket: Socket, path: String, access: UnixSocketAccess)
        -> Result<UnixSocketFile, UnixSocketRefusal>
    {
        let address = SocketAddress.unix(path: path)
        return locked(folderOf: path) {
            let place = UnixSocketPlace(kind: status(path).map { UInt32($0.st_mode) & UInt32(S_IFMT) }) {
                let (probe, error) = Socket.connect(to: address)
                if probe.fd >= 0 { probe.close() }
                return error
            }
            switch place {
            case .refused(let why): return .failure(why)
            case .left:
                if unlink(path) != 0, errno != ENOENT { return .failure(.system("unlink", errno)) }
            case .free: break
            }
            if address.withSockaddr({ Glibc.bind(socket.fd, $0, $1) }) != 0 {
                return .failure(.system("bind", errno))
            }
            guard let made = status(path) else { return .failure(.system("bind", ENOENT)) }
            let file = UnixSocketFile(path: path, device: made.st_dev, inode: made.st_ino)
            if let why = file.change(access) {
                unlink(path)
                return .failure(why)
            }
            return .success(file)
        }
    }

    /// Gives the file these rights; nil when it has them.
    public func set(_ access: UnixSocketAccess) -> UnixSocketRefusal? {
        let result = Self.locked(folderOf: path) { () -> Result<Void, UnixSocketRefusal> in
            guard isOurs else { return .failure(.system("chmod", ENOENT)) }
            return change(access).map { .failure($0) } ?? .success(())
        }
        if case .failure(let why) = result { return why }
        return nil
    }

    /// Removes the file, unless somebody else's stands there now. To be called while the socket is open:
    /// so long its inode's number belongs to no other.
    public func remove() {
        _ = Self.locked(folderOf: path) { () -> Result<Void, UnixSocketRefusal> in
            if isOurs { unlink(path) }
            return .success(())
        }
    }

    /// Whether the file at the path is still the one we made.
    private var isOurs: Bool {
        Self.status(path).map { $0.st_dev == device && $0.st_ino == inode } ?? false
    }

    private func change(_ access: UnixSocketAccess) -> UnixSocketRefusal? {
        if access.owner != nil || access.group != nil {
            let unchanged = UInt32.max
            if lchown(path, access.owner ?? unchanged, access.group ?? unchanged) != 0 {
                return .system("chown", errno)
            }
        }
        if let mode = access.mode, chmod(path, mode) != 0 { return .system("chmod", errno) }
        return nil
    }

    private static func status(_ path: String) -> stat? {
        var result = stat()
        return lstat(path, &result) == 0 ? result : nil
    }

    /// How long to wait for another starter, which holds the lock for a few system calls.
    private static let lockWaitsMax = 200

    private static func locked<Value>(
        folderOf path: String, _ body: () -> Result<Value, UnixSocketRefusal>
    ) -> Result<Value, UnixSocketRefusal> {
        let end = path.lastIndex(of: "/") ?? path.startIndex
        let folder = end == path.startIndex ? "/" : String(path[..<end])
        let fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if fd < 0 { return .failure(.system("open \(folder)", errno)) }
        // Closing gives the lock back.
        defer { close(fd) }
        var waits = 0
        while flock(fd, LOCK_EX | LOCK_NB) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else { return .failure(.system("flock", errno)) }
            guard waits < lockWaitsMax else { return .failure(.locked) }
            waits += 1
            poll(nil, 0, 10)
        }
        return body()
    }
}
