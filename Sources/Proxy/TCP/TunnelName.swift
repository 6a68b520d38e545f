// Which service a TLS connection is for when Weir does not end its TLS: the server name of the
// ClientHello decides (RFC 6066 §3, RFC 8446 §4.1.2).
//
// The hello may come byte by byte and in many records. It is held until it is whole (bounded by the
// parser's limit and the listener's `timeout.head`) and goes to the endpoint as it came: Weir takes no
// part in the handshake. A hello that breaks the rules is for nobody, since it cannot be known whom it
// means; what is no TLS at all goes where `*` points, if it does. So does who says nothing for
// `timeout.hello`: in many protocols (SMTP, SSH, MySQL) it is the server that speaks first. The names of
// encrypted hellos (ECH) are the outer ones.

import Glibc
import Reactor
import WeirResilience
import WeirRouting
import TLS

extension Worker {
    /// More than any hello the parser takes to its end.
    private static let helloBytesMax = 2 * ClientHello.bytesMax
    /// Nearly every hello.
    private static let helloBytesUsual = 2_000

    func beginHello(_ tunnel: TunnelPointer) {
        tunnel.pointee.state = .hello
        tunnel.pointee.lastActiveMs = nowMs
        let listener = tunnel.pointee.listener
        let hasOther = otherTarget(tunnel) != nil
        timers.arm(
            tunnel.pointee.timer,
            atMs: nowMs
                + (hasOther ? min(listener.helloTimeoutMs, listener.headTimeoutMs) : listener.headTimeoutMs))
        // Behind a PROXY header it may be here already; else the socket says when it comes.
        if tunnel.pointee.client.canRead { readHello(tunnel) }
    }

    /// Reads until the hello is whole, or there is no more now.
    func readHello(_ tunnel: TunnelPointer) {
        while true {
            if let early = tunnel.pointee.early, early.count > 0 {
                switch ClientHello.parse(early.readable, count: early.count) {
                case .needMore:
                    break
                case .found(let hello):
                    chooseService(tunnel, hello.serverName)
                    return
                case .malformed(let position):
                    // A record of a handshake begins with 22 and 3.
                    if position < 2 { takeForeign(tunnel, position) } else { refuseHello(tunnel, position) }
                    return
                }
            }
            guard let buffer = roomForHello(tunnel) else {
                refuseHello(tunnel, Self.helloBytesMax)
                return
            }
            let received = tunnel.pointee.client.transport.receive(
                buffer.writable, buffer.room, pool: &buffers)
            if received == -Int(EINTR) { continue }
            if received == -Int(EAGAIN) {
                tunnel.pointee.client.canRead = false
                return
            }
            if received <= 0 {
                countHeld(tunnel)
                close(
                    tunnel,
                    Failure(.tlsClosedDuringHandshake, phase: .handshake, errno: Int32(-received)))
                return
            }
            buffer.pointee.end += UInt32(received)
        }
    }

    /// The buffer of what is held, with room; nil when it is as large as it may be.
    private func roomForHello(_ tunnel: TunnelPointer) -> BufferPointer? {
        guard let early = tunnel.pointee.early else {
            let buffer = buffers.take(Self.helloBytesUsual)
            tunnel.pointee.early = buffer
            return buffer
        }
        if early.room > 0 { return early }
        if early.count > Self.helloBytesMax { return nil }
        let larger = buffers.take(min(4 * max(early.count, Self.helloBytesUsual), 2 * Self.helloBytesMax))
        larger.append(early.readable, early.count)
        buffers.give(early)
        tunnel.pointee.early = larger
        return larger
    }

    private func chooseService(_ tunnel: TunnelPointer, _ name: String?) {
        if var name { keepServerName(tunnel, &name) }
        guard let plan = tunnel.pointee.listener.tunnels?.names,
            let choice = plan.names.choice(for: name), go(tunnel, to: plan.targets[choice])
        else {
            refuseName(tunnel)
            return
        }
    }

    /// Where those go who ask for no name.
    private func otherTarget(_ tunnel: TunnelPointer) -> ServerNamePlan.Target? {
        guard let plan = tunnel.pointee.listener.tunnels?.names, let choice = plan.names.other
        else { return nil }
        return plan.targets[choice]
    }

    /// Bytes that are no TLS.
    private func takeForeign(_ tunnel: TunnelPointer, _ position: Int) {
        guard let target = otherTarget(tunnel), go(tunnel, to: target) else {
            refuseHello(tunnel, position)
            return
        }
    }

    /// No hello has come, or none that is whole.
    func helloDeadlinePassed(_ tunnel: TunnelPointer) {
        let isSilent = tunnel.pointee.early.map { $0.count == 0 } ?? true
        if isSilent, let target = otherTarget(tunnel), go(tunnel, to: target) { return }
        let dueMs = tunnel.pointee.lastActiveMs + tunnel.pointee.listener.headTimeoutMs
        if nowMs < dueMs {
            timers.arm(tunnel.pointee.timer, atMs: dueMs)
        } else {
            close(tunnel, Failure(.tlsHandshakeTimeout, phase: .handshake))
        }
    }

    /// False: there is no such service.
    private func go(_ tunnel: TunnelPointer, to target: ServerNamePlan.Target) -> Bool {
        let service = tunnel.pointee.lease.pointee.snapshot._withUnsafeGuaranteedRef {
            $0.services[target.serviceID]
        }
        guard let service else { return false }
        tunnel.pointee.service = service
        tunnel.pointee.counters = target.counters
        connectTunnel(tunnel)
        return true
    }

    private func keepServerName(_ tunnel: TunnelPointer, _ name: inout String) {
        name.withUTF8 { bytes in
            let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
            _ = copy.initialize(from: bytes)
            tunnel.pointee.serverName = copy
        }
    }

    // MARK: refusing

    /// Nobody of that name is here, and the client is told so.
    private func refuseName(_ tunnel: TunnelPointer) {
        countHeld(tunnel)
        // Alert, TLS 1.2 (as records of 1.3 say too), 2 bytes: fatal, unrecognized_name.
        let alert: StaticString = "\u{15}\u{03}\u{03}\u{00}\u{02}\u{02}\u{70}"
        _ = tunnel.pointee.client.transport.socket.send(alert.utf8Start, alert.utf8CodeUnitCount)
        close(tunnel, Failure(.sniUnknown, phase: .route), isTold: true)
    }

    private func refuseHello(_ tunnel: TunnelPointer, _ position: Int) {
        let isHTTP = tunnel.pointee.early.map { Self.looksLikeHTTP($0) } ?? false
        countHeld(tunnel)
        close(
            tunnel,
            Failure(
                isHTTP ? .tlsPlainHTTP : .tlsHandshakeMalformed, phase: .handshake, position: Int32(position))
        )
    }

    /// A method and a space (RFC 9112 §3).
    private static func looksLikeHTTP(_ held: BufferPointer) -> Bool {
        var i = 0
        while i < held.count, held.readable[i] &- 0x41 < 26 { i += 1 }
        return i > 0 && i < held.count && held.readable[i] == 0x20
    }

    /// What was held is not going anywhere; the record has it all the same.
    private func countHeld(_ tunnel: TunnelPointer) {
        if let early = tunnel.pointee.early { tunnel.pointee.client.received += UInt64(early.count) }
    }
}
