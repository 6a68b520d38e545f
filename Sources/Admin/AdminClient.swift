// A blocking HTTP client for the command line: `weir status`, `weir reload`.
//
// One request, one connection, one deadline for everything. Speaks only to Weir's own admin listener,
// so it wants Content-Length and nothing else.

import Glibc
import WeirHTTP1
import WeirHTTPModel
import Reactor

/// Why the admin listener could not be asked.
public enum AdminClientError: Error, Equatable, CustomStringConvertible {
    /// errno of connect(2): ECONNREFUSED when nothing listens.
    case connect(Int32)
    case timeout
    /// The connection ended, or what came is no answer of Weir's.
    case badAnswer

    public var description: String {
        switch self {
        case .connect(let code): "cannot connect: \(String(cString: strerror(code)))"
        case .timeout: "no answer in time"
        case .badAnswer: "the answer is not one of Weir's admin listener"
        }
    }
}

public struct AdminAnswer: Equatable, Sendable {
    public var status: UInt16
    public var body: [UInt8]
}

public enum AdminClient {
    /// Longest answer taken, bytes.
    private static let answerBytesMax = 64 << 20

    /// Asks and waits.
    /// - Parameters:
    ///   - address: an IP or Unix socket address.
    ///   - method: "GET" or "POST".
    ///   - target: path and query, "/api/v1/status?format=text".
    ///   - timeoutMs: for the whole exchange.
    public static func request(
        _ address: SocketAddress, method: String, target: String, timeoutMs: Int = 10_000
    ) throws(AdminClientError) -> AdminAnswer {
        let deadlineNs = Clock.monotonicNs() + UInt64(max(0, timeoutMs)) * 1_000_000
        let (socket, failure) = Socket.connect(to: address)
        guard failure == 0 || failure == EINPROGRESS else { throw .connect(failure) }
        defer { socket.close() }
        if failure == EINPROGRESS {
            try wait(socket, POLLOUT, deadlineNs)
            let error = socket.pendingError()
            if error != 0 { throw .connect(error) }
        }
        var host = "localhost"
        if case .ip = address { host = address.description }
        let head =
            "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\nX-Weir-Request: 1\r\n"
            + (method == "POST" ? "Content-Length: 0\r\n" : "") + "Connection: close\r\n\r\n"
        let bytes = Array(head.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBufferPointer {
                $0.baseAddress.map { socket.send($0 + sent, bytes.count - sent) } ?? 0
            }
            if count == -Int(EAGAIN) {
                try wait(socket, POLLOUT, deadlineNs)
                continue
            }
            guard count > 0 else { throw .badAnswer }
            sent += count
        }
        return try readAnswer(socket, deadlineNs)
    }

    private static func readAnswer(_ socket: Socket, _ deadlineNs: UInt64) throws(AdminClientError)
        -> AdminAnswer
    {
        var input: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            if let answer = try parse(input) { return answer }
            guard input.count < answerBytesMax else { throw .badAnswer }
            let count = socket.receive(&room, room.count)
            if count == -Int(EAGAIN) {
                try wait(socket, POLLIN, deadlineNs)
                continue
            }
            guard count > 0 else { throw .badAnswer }
            input += room[..<count]
        }
    }

    /// The answer once it is whole.
    private static func parse(_ input: [UInt8]) throws(AdminClientError) -> AdminAnswer? {
        guard !input.isEmpty else { return nil }
        let parser = ResponseParser()
        var head = ResponseHead()
        var isWeir = false
        let result = withUnsafeTemporaryAllocation(of: Field.self, capacity: parser.limits.fieldsMax) {
            fields in
            input.withUnsafeBufferPointer { bytes -> HeadResult in
                guard let base = bytes.baseAddress, let table = fields.baseAddress else { return .incomplete }
                let result = parser.parse(
                    base, count: bytes.count, requestMethod: .get, fields: table, into: &head)
                if result == .complete { isWeir = says("weir", base, table, Int(head.fieldCount)) }
                return result
            }
        }
        if result == .incomplete { return nil }
        // Anything may listen on a port; what it says is not to be taken for Weir's word.
        guard result == .complete, isWeir, head.framing == .length || head.framing == .none else {
            throw .badAnswer
        }
        let length = head.framing == .none ? 0 : head.contentLength
        guard length <= UInt64(answerBytesMax) else { throw .badAnswer }
        let end = Int(head.byteCount) + Int(length)
        guard input.count >= end else { return nil }
        return AdminAnswer(status: head.status, body: Array(input[Int(head.byteCount)..<end]))
    }

    /// Whether the Server field has this value.
    private static func says(
        _ server: String, _ base: UnsafePointer<UInt8>, _ fields: UnsafePointer<Field>, _ count: Int
    ) -> Bool {
        (0..<count).contains {
            fields[$0].name.text(in: base).lowercased() == "server"
                && fields[$0].value.text(in: base) == server
        }
    }

    private static func wait(_ socket: Socket, _ events: Int32, _ deadlineNs: UInt64) throws(AdminClientError)
    {
        while true {
            let nowNs = Clock.monotonicNs()
            guard nowNs < deadlineNs else { throw .timeout }
            var target = pollfd(fd: socket.fd, events: Int16(events), revents: 0)
            let leftMs = (deadlineNs - nowNs + 999_999) / 1_000_000
            if poll(&target, 1, Int32(clamping: leftMs)) > 0 { return }
        }
    }
}
