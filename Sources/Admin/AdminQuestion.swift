// Asking the running process, for the command line: what to ask, what to print, how to end.
//
// Every way it can go wrong says what to do next. Prints nothing itself.

import Control
import Glibc
import Reactor

/// What a command prints and ends with.
public struct CommandResult: Equatable, Sendable {
    /// For standard output, with its final newline.
    public var output: String
    /// For standard error, without a final newline; empty: nothing.
    public var complaint: String
    public var exitCode: Int32

    public init(output: String = "", complaint: String = "", exitCode: Int32 = ExitCode.ok) {
        self.output = output
        self.complaint = complaint
        self.exitCode = exitCode
    }
}

/// The questions of `weir reload`, `weir status` and `weir explain --live`.
public enum AdminQuestion: Sendable {
    case reload
    case status(service: String?, OutputFormat)
    case explain(ExplainQuestion, OutputFormat)

    private var method: String { if case .reload = self { "POST" } else { "GET" } }

    private var target: String {
        switch self {
        case .reload: "/api/v1/reload?format=text"
        case .status(let service, let format):
            "/api/v1/status?format=\(format.rawValue)"
                + (service.map { "&service=\(ExplainTarget.encode($0))" } ?? "")
        case .explain(let question, let format): ExplainTarget.target(question, format)
        }
    }

    /// Asks and waits for the answer.
    /// - Parameter admin: where the admin listener is, as written on the command line.
    public func ask(_ admin: String) -> CommandResult {
        guard let address = AdminClient.address(admin) else {
            return CommandResult(
                complaint:
                    "weir: '\(admin)' cannot be resolved; give the admin listener with --admin IP:PORT",
                exitCode: ExitCode.failed)
        }
        do throws(AdminClientError) {
            // A reload opens sockets and reads files: it may take longer than an answer from memory.
            let timeoutMs = if case .reload = self { 60_000 } else { 10_000 }
            return result(
                try AdminClient.request(address, method: method, target: target, timeoutMs: timeoutMs))
        } catch {
            return CommandResult(complaint: "weir: " + Self.advice(error, admin), exitCode: ExitCode.failed)
        }
    }

    func result(_ answer: AdminAnswer) -> CommandResult {
        var text = String(decoding: answer.body, as: UTF8.self)
        if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
        if answer.status == 200 { return CommandResult(output: text) }
        while text.hasSuffix("\n") { text.removeLast() }
        let isRefusal = if case .reload = self { answer.status == 422 } else { false }
        return CommandResult(
            complaint: isRefusal ? text : "weir: \(text.isEmpty ? "the answer is \(answer.status)" : text)",
            exitCode: ExitCode.failed)
    }

    private static func advice(_ error: AdminClientError, _ admin: String) -> String {
        switch error {
        case .connect(ECONNREFUSED), .connect(ENOENT):
            """
            nobody listens on \(admin)
              Is Weir running? Start it with 'weir run -c FILE'.
              Does its file say another admin.address? Give that one with '--admin ADDRESS'.
            """
        case .connect(EACCES), .connect(EPERM): "\(admin): not permitted; the socket belongs to another user"
        case .connect: "\(admin): \(error)"
        case .timeout: "\(admin): no answer in time; something accepts connections there and says nothing"
        case .badAnswer:
            "\(admin): what answers there is not Weir's admin listener; give that one with '--admin ADDRESS'"
        }
    }
}

extension AdminClient {
    /// "host:port", ":port" (this machine), "[v6]:port" or "unix:/path"; a name is looked up, and may
    /// be waited for. nil when it has no address.
    static func address(_ text: String) -> SocketAddress? {
        if text.hasPrefix("unix:") { return .unix(path: String(text.dropFirst(5))) }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = String(text[..<colon])
        if host.isEmpty { return .ip(IPAddress(v4: 0x7f00_0001), port: port) }
        if let ip = IPAddress(host) { return .ip(ip, port: port) }
        if host.hasPrefix("["), host.hasSuffix("]"),
            let zoned = SocketAddress(host: String(host.dropFirst().dropLast()), port: port)
        {
            return zoned
        }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &found) == 0, let found else { return nil }
        defer { freeaddrinfo(found) }
        // The default admin address is an IPv4 one: prefer those.
        var next: UnsafeMutablePointer<addrinfo>? = found
        var first: IPAddress?
        while let info = next {
            next = info.pointee.ai_next
            guard let raw = info.pointee.ai_addr else { continue }
            var storage = sockaddr_storage()
            memcpy(&storage, raw, min(Int(info.pointee.ai_addrlen), MemoryLayout<sockaddr_storage>.size))
            guard case .ip(let ip, _) = SocketAddress(storage) else { continue }
            if ip.isV4 { return .ip(ip, port: port) }
            if first == nil { first = ip }
        }
        return first.map { .ip($0, port: port) }
    }
}
