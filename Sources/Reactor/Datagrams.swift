// UDP: sockets, and batches of datagrams that cost one system call.
//
// A batch is a fixed number of slots, each with room for the largest datagram there is. The memory is
// mapped, not allocated: a page that no datagram ever reached costs nothing. A slot that is not in use
// is always ready to receive, so that receiving prepares nothing.
//
// Every function returns a count ≥ 0 or -errno. Nothing here throws, logs or decides.

import CLinux
import Glibc

/// The other side of a datagram, in the kernel's form: answers go back with the same scope and family.
public struct DatagramPeer: Sendable, BitwiseCopyable {
    /// A sockaddr_in or sockaddr_in6; imported, those are not BitwiseCopyable.
    fileprivate var raw = Raw(repeating: 0)
    fileprivate var byteCount: socklen_t = 0

    fileprivate typealias Raw = InlineArray<7, UInt32>

    public init() {}

    fileprivate var family: Int32 { Int32(UInt16(truncatingIfNeeded: UInt32(littleEndian: raw[0]))) }

    public var address: IPAddress {
        func half(_ i: Int) -> UInt64 {
            UInt64(UInt32(bigEndian: raw[i])) << 32 | UInt64(UInt32(bigEndian: raw[i + 1]))
        }
        return family == AF_INET6
            ? IPAddress(high: half(2), low: half(4)) : IPAddress(v4: UInt32(bigEndian: raw[1]))
    }

    /// At the same place in both forms.
    public var port: UInt16 { UInt16(truncatingIfNeeded: UInt32(bigEndian: raw[0])) }
}

/// A fixed number of datagrams for recvmmsg(2) and sendmmsg(2). Owned by one thread.
public struct DatagramBatch: ~Copyable {
    /// Slots in a batch.
    public static let capacity = 64
    /// More than UDP can carry (65,507 bytes over IPv4, 65,527 over IPv6).
    public static let bytesMax = 65_535
    /// Not a multiple of a page: at the same offset in every page, the first bytes of all datagrams
    /// would compete for a few cache lines.
    private static let stride = 65_536 + 192

    fileprivate let messages: UnsafeMutablePointer<weir_message>
    fileprivate let parts: UnsafeMutablePointer<iovec>
    private let peers: UnsafeMutablePointer<DatagramPeer.Raw>
    private let controls: UnsafeMutableRawPointer
    private let room: UnsafeMutablePointer<UInt8>
    /// Whether receiving asks who sent (needless on connected sockets).
    private let wantsPeers: Bool

    /// - Parameter wantsPeers: for unconnected sockets: `peer` and `control` are filled in.
    public init(wantsPeers: Bool) {
        self.wantsPeers = wantsPeers
        let count = Self.capacity
        messages = .allocate(capacity: count)
        parts = .allocate(capacity: count)
        peers = .allocate(capacity: count)
        controls = .allocate(byteCount: count * Int(weir_control_bytes), alignment: 16)
        let mapped = mmap(
            nil, count * Self.stride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
            0)
        guard let mapped, mapped != MAP_FAILED else { preconditionFailure("mmap: \(errno)") }
        room = mapped.assumingMemoryBound(to: UInt8.self)
        peers.initialize(repeating: DatagramPeer.Raw(repeating: 0), count: count)
        for i in 0..<count {
            (messages + i).initialize(to: weir_message())
            (parts + i).initialize(to: iovec(iov_base: room + i * Self.stride, iov_len: Self.bytesMax))
            messages[i].header.msg_iov = parts + i
            messages[i].header.msg_iovlen = 1
        }
        for i in 0..<count { clear(i) }
    }

    deinit {
        munmap(room, Self.capacity * Self.stride)
        messages.deallocate()
        parts.deallocate()
        peers.deallocate()
        controls.deallocate()
    }

    /// Makes a slot ready to receive again.
    @inline(__always)
    public func clear(_ i: Int) {
        parts[i].iov_len = Self.bytesMax
        if wantsPeers {
            messages[i].header.msg_name = UnsafeMutableRawPointer(peers + i)
            messages[i].header.msg_namelen = socklen_t(MemoryLayout<DatagramPeer.Raw>.size)
            messages[i].header.msg_control = controls + i * Int(weir_control_bytes)
            messages[i].header.msg_controllen = Int(weir_control_bytes)
        } else {
            messages[i].header.msg_name = nil
            messages[i].header.msg_namelen = 0
            messages[i].header.msg_control = nil
            messages[i].header.msg_controllen = 0
        }
    }

    fileprivate func controls(_ i: Int) -> UnsafeMutableRawPointer { controls + i * Int(weir_control_bytes) }

    // MARK: what was received

    @inline(__always)
    public func bytes(_ i: Int) -> UnsafeMutablePointer<UInt8> { room + i * Self.stride }

    /// Bytes of a received (or sent) datagram.
    @inline(__always)
    public func count(_ i: Int) -> Int { Int(messages[i].length) }

    /// Who sent it.
    @inline(__always)
    public func peer(_ i: Int) -> DatagramPeer {
        var peer = DatagramPeer()
        peer.raw = peers[i]
        peer.byteCount = messages[i].header.msg_namelen
        return peer
    }

    /// The local address it was sent to, where the socket asks for that; else `::`.
    /// - Parameter overflow: becomes how many datagrams this socket has lost to a full receive queue
    ///   since it was opened; stays as it is when there were none.
    @inline(__always)
    public func control(_ i: Int, overflow: inout UInt32) -> IPAddress {
        if messages[i].header.msg_controllen == 0 { return .unspecified }
        var local = in6_addr()
        return weir_read_control(messages + i, &local, &overflow) == 1 ? IPAddress(local) : .unspecified
    }

    // MARK: system calls

    /// Receives into the slots from `first` on: how many datagrams came.
    @inline(__always)
    public func receive(from socket: Socket, at first: Int, count: Int) -> Int {
        let received = weir_receive_batch(socket.fd, messages + first, UInt32(count))
        return received >= 0 ? Int(received) : Int(-errno)
    }

    /// Turns a received datagram into one for `peer`.
    /// - Parameter local: the address it leaves from; `::` leaves that to the socket.
    @inline(__always)
    public func address(_ i: Int, to peer: DatagramPeer, from local: IPAddress) {
        parts[i].iov_len = Int(messages[i].length)
        peers[i] = peer.raw
        messages[i].header.msg_name = UnsafeMutableRawPointer(peers + i)
        messages[i].header.msg_namelen = peer.byteCount
        if local != .unspecified {
            var address = local.in6
            weir_write_control(
                messages + i, controls + i * Int(weir_control_bytes), peer.family,
                &address)
        }
    }

    /// Sends the addressed datagrams of neighbouring slots: how many went.
    @inline(__always)
    public func send(to socket: Socket, from first: Int, count: Int) -> Int {
        let sent = weir_send_batch(socket.fd, messages + first, UInt32(count))
        return sent >= 0 ? Int(sent) : Int(-errno)
    }
}

/// Datagrams of one batch put together for one connected socket.
public struct DatagramList: ~Copyable {
    fileprivate let parts: UnsafeMutablePointer<iovec>
    public private(set) var count = 0

    public init() {
        parts = .allocate(capacity: DatagramBatch.capacity)
        parts.initialize(repeating: iovec(), count: DatagramBatch.capacity)
    }

    deinit { parts.deallocate() }

    @inline(__always)
    public mutating func removeAll() { count = 0 }

    /// Adds a datagram; it has to stay where it is until it is sent. At most `DatagramBatch.capacity`.
    @inline(__always)
    public mutating func append(_ bytes: UnsafeMutablePointer<UInt8>, _ byteCount: Int) {
        parts[count] = iovec(iov_base: bytes, iov_len: byteCount)
        count += 1
    }

    /// Bytes of a datagram.
    @inline(__always)
    public func bytes(_ i: Int) -> Int { parts[i].iov_len }
}

/// Makes few messages of many datagrams: neighbours of one length for one receiver become one message,
/// which the kernel takes through its stack once and cuts up at the end (UDP_SEGMENT). Sixteen
/// datagrams of 1,200 bytes cost 0.6 µs each that way, and 2.5 µs each as messages of their own.
public struct DatagramSender: ~Copyable {
    private let messages: UnsafeMutablePointer<weir_message>
    private let controls: UnsafeMutableRawPointer
    /// Messages put together. Behind a pointer, so that sending changes nothing the compiler guards.
    private let messageCount: UnsafeMutablePointer<Int>
    /// Payload of one message; the kernel takes 65,535 bytes less headers.
    private static let segmentedBytesMax = 65_000

    public init() {
        messages = .allocate(capacity: DatagramBatch.capacity)
        messages.initialize(repeating: weir_message(), count: DatagramBatch.capacity)
        controls = .allocate(
            byteCount: DatagramBatch.capacity * Int(weir_control_bytes), alignment: 16)
        messageCount = .allocate(capacity: 1)
        messageCount.initialize(to: 0)
    }

    deinit {
        messages.deallocate()
        controls.deallocate()
        messageCount.deallocate()
    }

    private var count: Int { messageCount.pointee }

    /// How many datagrams message m stands for.
    @inline(__always)
    public func datagrams(_ m: Int) -> Int { Int(messages[m].header.msg_iovlen) }

    /// Puts together what a list holds from `first` on, for a connected socket.
    /// - Parameter segments: whether the way to the receiver may be asked for segments.
    @inline(__always)
    public func prepare(_ list: borrowing DatagramList, from first: Int, segments: Bool) {
        messageCount.pointee = 0
        var i = first
        while i < list.count {
            let end = segments ? Self.run(list.parts, i, list.count) : i + 1
            add(list.parts + i, end - i)
            i = end
        }
    }

    /// Puts together the addressed datagrams of the slots `first..<end`; neighbours with one
    /// owner have the same receiver and source address.
    @inline(__always)
    public func prepare(
        _ batch: borrowing DatagramBatch, from first: Int, to end: Int, owners: UnsafePointer<Handle>
    ) {
        messageCount.pointee = 0
        var i = first
        while i < end {
            var same = i + 1
            while same < end, owners[same] == owners[i] { same += 1 }
            let next = Self.run(batch.parts, i, same)
            add(batch.parts + i, next - i, like: batch.messages + i, batch.controls(i))
            i = next
        }
    }

    /// The end of a run of datagrams that can go as one message: all of one length, but the last may be
    /// shorter.
    @inline(__always)
    private static func run(_ parts: UnsafeMutablePointer<iovec>, _ first: Int, _ end: Int) -> Int {
        let length = parts[first].iov_len
        var total = length
        var i = first + 1
        while i < end {
            let next = parts[i].iov_len
            total += next
            // An empty datagram cannot be told from none.
            if next > length || next == 0 || total > segmentedBytesMax { break }
            i += 1
            if next < length { break }
        }
        return i
    }

    @inline(__always)
    private func add(
        _ parts: UnsafeMutablePointer<iovec>, _ partCount: Int,
        like: UnsafeMutablePointer<weir_message>? = nil,
        _ control: UnsafeMutableRawPointer? = nil
    ) {
        let m = count
        messageCount.pointee = m + 1
        if let like {
            messages[m].header = like.pointee.header
        } else {
            messages[m].header = msghdr()
        }
        messages[m].header.msg_iov = parts
        messages[m].header.msg_iovlen = partCount
        if partCount > 1 {
            let room = controls + m * Int(weir_control_bytes)
            if let control, messages[m].header.msg_controllen > 0 {
                room.copyMemory(from: control, byteCount: messages[m].header.msg_controllen)
            }
            weir_write_segment(messages + m, room, UInt16(truncatingIfNeeded: parts[0].iov_len))
        }
    }

    /// Sends the messages from `first` on: how many messages went.
    @inline(__always)
    public func send(to socket: Socket, from first: Int) -> Int {
        if count - first == 1, messages[first].header.msg_controllen == 0,
            messages[first].header.msg_name == nil
        {
            let part = messages[first].header.msg_iov[0]
            let sent = Glibc.send(socket.fd, part.iov_base, part.iov_len, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
            return sent >= 0 ? 1 : Int(-errno)
        }
        let sent = weir_send_batch(socket.fd, messages + first, UInt32(count - first))
        return sent >= 0 ? Int(sent) : Int(-errno)
    }

    /// Whether an error of a message of several datagrams may be due to its being one: too long a
    /// segment for the way, or a device that cannot.
    public static func blamesSegments(_ error: Int32) -> Bool {
        error == EINVAL || error == EMSGSIZE || error == EIO || error == EOPNOTSUPP
    }
}

extension Socket {
    /// Asked for as receive buffer of listening sockets, so that a burst finds room while a worker is
    /// busy. The kernel gives at most net.core.rmem_max.
    private static let receiveBufferBytes: Int32 = 4 << 20

    /// A bound UDP socket. Told which local address each datagram was sent to when the address is
    /// unspecified, so that answers can leave from there.
    /// - Parameters:
    ///   - dualStack: an unspecified IPv6 address takes IPv4 too.
    ///   - reusePort: every worker has a socket of its own (SO_REUSEPORT); the kernel's hash keeps a
    ///     source with one of them.
    public static func bindDatagram(
        on address: SocketAddress, dualStack: Bool, reusePort: Bool = true
    ) -> Result<Socket, SystemError> {
        guard case .ip(let ip, _) = address else {
            return .failure(SystemError(call: "bind", code: EAFNOSUPPORT))
        }
        let fd = socket(
            address.family, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if fd < 0 { return .failure(SystemError(call: "socket", code: errno)) }
        let socket = Socket(fd: fd)
        // Not SO_REUSEADDR: for UDP it would let any process of the same user share the port.
        if reusePort { socket.set(SOL_SOCKET, SO_REUSEPORT, 1) }
        socket.set(SOL_SOCKET, SO_RCVBUF, receiveBufferBytes)
        socket.set(SOL_SOCKET, SO_RXQ_OVFL, 1)
        if address.family == AF_INET6 { socket.set(Int32(IPPROTO_IPV6), IPV6_V6ONLY, dualStack ? 0 : 1) }
        if ip == .unspecified { socket.set(Int32(IPPROTO_IPV6), IPV6_RECVPKTINFO, 1) }
        if ip == IPAddress(v4: 0) { socket.set(Int32(IPPROTO_IP), IP_PKTINFO, 1) }
        if address.withSockaddr({ Glibc.bind(fd, $0, $1) }) != 0 {
            let error = SystemError(call: "bind", code: errno)
            socket.close()
            return .failure(error)
        }
        return .success(socket)
    }

    /// A UDP socket connected to an address: it hears only that one, and of its ICMP errors. Returns the
    /// socket and 0, or the errno of the failure.
    public static func connectDatagram(to address: SocketAddress) -> (socket: Socket, error: Int32) {
        guard case .ip = address else { return (.none, EAFNOSUPPORT) }
        let fd = socket(
            address.family, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        if fd < 0 { return (.none, errno) }
        if address.withSockaddr({ Glibc.connect(fd, $0, $1) }) == 0 { return (Socket(fd: fd), 0) }
        let error = errno
        Glibc.close(fd)
        return (.none, error)
    }
}
