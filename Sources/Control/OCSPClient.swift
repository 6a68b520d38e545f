// One question to an OCSP responder over the network. Blocks: for the staples' own thread only.
//
// Everything has a deadline, and every wait ends at once when the process stops.

import Glibc
import Reactor
import Synchronization

/// Why no answer came.
enum OCSPClientError: Error, Sendable, Equatable, CustomStringConvertible {
    case badURL(String)
    case notResolved(host: String, String)
    case notConnected(address: String, Int32)
    case timeout
    case closed
    case refused(status: UInt16)
    case malformed
    case tooLarge
    case stopped

    var description: String {
        switch self {
        case .badURL(let text): "\(text) is no address of a responder"
        case .notResolved(let host, let text): "\(host) is not resolved: \(text)"
        case .notConnected(let address, let code):
            "cannot connect to \(address): \(String(cString: strerror(code)))"
        case .timeout: "no answer in \(OCSPClient.timeoutMs / 1_000) seconds"
        case .closed: "the connection ended before the answer"
        case .refused(let status): "the responder answers with status \(status)"
        case .malformed: "the answer is not HTTP"
        case .tooLarge: "the answer is larger than \(OCSPExchange.answerBytesMax / 1_024) KiB"
        case .stopped: "stopped"
        }
    }
}

/// Wakes a thread that waits, for news or for good.
final class Waker: Sendable {
    private let mailbox = Mailbox<Never>()
    private let isEnding = Atomic(false)

    var isStopped: Bool { isEnding.load(ordering: .acquiring) }

    func wake() { mailbox.wake() }

    func stop() {
        isEnding.store(true, ordering: .releasing)
        mailbox.wake()
    }

    /// Waits for events of a descriptor (-1: none), at most until a time in monotonic milliseconds.
    /// - Returns: whether they came; false also when woken.
    func wait(_ descriptor: Int32, _ events: Int32, untilMs: UInt64) -> Bool {
        let nowMs = Clock.monotonicNs() / 1_000_000
        var watched = [
            pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: descriptor, events: Int16(events), revents: 0),
        ]
        poll(&watched, 2, Int32(clamping: untilMs > nowMs ? untilMs - nowMs : 0))
        if watched[0].revents != 0 { _ = mailbox.takeAll() }
        return watched[1].revents != 0
    }
}

struct OCSPClient {
    /// For the whole exchange.
    static let timeoutMs: UInt64 = 10_000
    /// For one address to take the connection.
    static let connectTimeoutMs: UInt64 = 3_000
    /// Addresses of one name that are tried.
    static let addressesMax = 4

    let resolver: Resolver
    let waker: Waker

    /// Asks once.
    /// - Parameter request: an OCSPRequest in DER.
    /// - Returns: the body of a 200 response.
    func ask(_ responder: String, _ request: [UInt8]) throws(OCSPClientError) -> [UInt8] {
        guard let url = ResponderURL(responder) else { throw .badURL(responder) }
        let deadlineMs = Clock.monotonicNs() / 1_000_000 + Self.timeoutMs
        let socket = try connect(try addresses(url.host, deadlineMs), url.port, deadlineMs)
        defer { socket.close() }
        try send(OCSPExchange.request(url, request), socket, deadlineMs)
        return try receive(socket, deadlineMs)
    }

    private func addresses(_ host: String, _ deadlineMs: UInt64) throws(OCSPClientError) -> [IPAddress] {
        if let literal = IPAddress(host) { return [literal] }
        let answers = Mailbox<ResolveResult>()
        resolver.resolve(name: host) { answers.send($0) }
        while true {
            let isAnswered = waker.wait(answers.descriptor, POLLIN, untilMs: deadlineMs)
            if waker.isStopped { throw .stopped }
            switch answers.takeAll().first {
            case .addresses(let addresses, _, _): return Array(addresses.prefix(Self.addressesMax))
            case .failed(_, let text): throw .notResolved(host: host, text)
            case nil: if !isAnswered, isOver(deadlineMs) { throw .timeout }
            }
        }
    }

    private func connect(
        _ addresses: [IPAddress], _ port: UInt16, _ deadlineMs: UInt64
    ) throws(OCSPClientError) -> Socket {
        var failure = OCSPClientError.timeout
        for address in addresses {
            let target = SocketAddress.ip(address, port: port)
            let (socket, error) = Socket.connect(to: target)
            if error == 0 { return socket }
            guard error == EINPROGRESS else {
                failure = .notConnected(address: "\(target)", error)
                continue
            }
            do throws(OCSPClientError) {
                let nowMs = Clock.monotonicNs() / 1_000_000
                try wait(socket, POLLOUT, min(deadlineMs, nowMs + Self.connectTimeoutMs))
                let pending = socket.pendingError()
                if pending == 0 { return socket }
                failure = .notConnected(address: "\(target)", pending)
            } catch {
                failure = error == .timeout ? .notConnected(address: "\(target)", ETIMEDOUT) : error
            }
            socket.close()
            if failure == .stopped { break }
        }
        throw failure
    }

    private func send(_ bytes: [UInt8], _ socket: Socket, _ deadlineMs: UInt64) throws(OCSPClientError) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBufferPointer {
                $0.baseAddress.map { socket.send($0 + sent, bytes.count - sent) } ?? 0
            }
            if count == -Int(EAGAIN) {
                try wait(socket, POLLOUT, deadlineMs)
            } else if count > 0 {
                sent += count
            } else if count != -Int(EINTR) {
                throw .closed
            }
        }
    }

    private func receive(_ socket: Socket, _ deadlineMs: UInt64) throws(OCSPClientError) -> [UInt8] {
        var input: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = socket.receive(&room, room.count)
            if count == -Int(EINTR) { continue }
            if count == -Int(EAGAIN) {
                try wait(socket, POLLIN, deadlineMs)
                continue
            }
            if count < 0 { throw .closed }
            input += room[..<count]
            switch OCSPExchange.answer(input, isOver: count == 0) {
            case .incomplete: break
            case .body(let body): return body
            case .refused(let status): throw .refused(status: status)
            case .malformed: throw count == 0 ? .closed : .malformed
            case .tooLarge: throw .tooLarge
            }
            // A trickle must not outlive the deadline either.
            if isOver(deadlineMs) { throw .timeout }
        }
    }

    private func wait(_ socket: Socket, _ events: Int32, _ deadlineMs: UInt64) throws(OCSPClientError) {
        while !waker.wait(socket.fd, events, untilMs: deadlineMs) {
            if waker.isStopped { throw .stopped }
            if isOver(deadlineMs) { throw .timeout }
        }
        if waker.isStopped { throw .stopped }
    }

    private func isOver(_ deadlineMs: UInt64) -> Bool { Clock.monotonicNs() / 1_000_000 >= deadlineMs }
}
