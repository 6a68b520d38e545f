// Servers to ask, and a way to wait for one answer.

import Foundation
import Reactor
import Testing

@testable import HTTPClient

/// The servers of peer.py and an nginx with TLS and HTTP/2, for as long as the process lives.
final class Peers: Sendable {
    static let shared = Peers()

    let folder: String
    /// The raw server, http.server, the raw one behind TLS, nginx.
    let plain: Int
    let files: Int
    let tls: Int
    let nginx: Int
    private let processes: [Process]

    private init() {
        let room = FileManager.default.temporaryDirectory.appending(path: "weir-client-\(getpid())")
        try? FileManager.default.createDirectory(at: room, withIntermediateDirectories: true)
        let folder = room.path()
        for (name, host) in [("server", "server.example"), ("client", "client.example")] {
            Self.run([
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", "\(folder)/\(name).key", "-out", "\(folder)/\(name).pem", "-days", "2", "-subj",
                "/CN=\(host)", "-addext", "subjectAltName=DNS:\(host)",
            ])
        }
        try? "from a file".write(toFile: "\(folder)/file.txt", atomically: true, encoding: .utf8)
        let output = Foundation.Pipe()
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "peer.py").path()
        let python = Self.start(["python3", script, folder], output: output)
        var line: [UInt8] = []
        while let byte = try? output.fileHandleForReading.read(upToCount: 1)?.first, byte != 0x0a {
            line.append(byte)
        }
        let ports = String(decoding: line, as: UTF8.self).split(separator: " ").compactMap { Int($0) }
        precondition(ports.count == 3, "peer.py did not start")
        (plain, files, tls) = (ports[0], ports[1], ports[2])
        let nginx = Self.freePort()
        let configuration = """
            daemon off; master_process off; pid \(folder)/nginx.pid; error_log \(folder)/nginx.log;
            events { }
            http {
                access_log off;
                client_body_temp_path \(folder); proxy_temp_path \(folder); fastcgi_temp_path \(folder);
                uwsgi_temp_path \(folder); scgi_temp_path \(folder);
                server {
                    listen 127.0.0.1:\(nginx) ssl http2;
                    ssl_certificate \(folder)/server.pem; ssl_certificate_key \(folder)/server.key;
                    location / { return 200 "$server_protocol $host $ssl_server_name"; }
                }
            }
            """
        try? configuration.write(toFile: "\(folder)/nginx.conf", atomically: true, encoding: .utf8)
        let server = Self.start(["nginx", "-c", "\(folder)/nginx.conf", "-p", folder], output: nil)
        (self.folder, self.nginx, processes) = (folder, nginx, [python, server])
        Self.waitFor(port: nginx)
        // A child that outlives the tests would hold their output open.
        atexit { for process in Peers.shared.processes { process.terminate() } }
    }

    private static func start(_ words: [String], output: Foundation.Pipe?) -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = words
        process.standardInput = Foundation.Pipe()
        process.standardOutput = output ?? FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        var environment = ProcessInfo.processInfo.environment
        environment["PATH"] = (environment["PATH"] ?? "") + ":/usr/sbin"
        process.environment = environment
        try? process.run()
        return process
    }

    private static func run(_ words: [String]) {
        start(words, output: nil).waitUntilExit()
    }

    static func freePort() -> Int {
        let listening = Listening(IPAddress(v4: 0x7f00_0001))
        return Int(listening.port)
    }

    private static func waitFor(port: Int) {
        for _ in 0..<200 {
            let (socket, _) = Socket.connect(to: .ip(IPAddress(v4: 0x7f00_0001), port: UInt16(port)))
            var watched = pollfd(fd: socket.fd, events: Int16(POLLOUT), revents: 0)
            poll(&watched, 1, 1_000)
            let isThere = socket.pendingError() == 0
            socket.close()
            if isThere { return }
            usleep(50_000)
        }
    }
}

/// A listening socket nobody accepts from.
final class Listening {
    private let descriptor: Int32
    let port: UInt16

    init(_ address: IPAddress) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        SocketAddress.ip(address, port: 0).withSockaddr { _ = bind(descriptor, $0, $1) }
        listen(descriptor, 1)
        port = Socket(fd: descriptor).localAddress()?.port ?? 0
    }

    deinit { close(descriptor) }
}

typealias Result = Swift.Result<HTTPClient.Response, HTTPClient.Failure>

/// Waits for what comes from another thread.
final class Answers: Sendable {
    let mailbox = Mailbox<Result>()

    func next() -> Result {
        while true {
            var watched = pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&watched, 1, 60_000) == 1 else {
                return .failure(.badRequest("no answer in a minute"))
            }
            if let first = mailbox.takeAll().first { return first }
        }
    }
}

extension HTTPClient {
    /// Every name is this machine, as a name server that lies would say.
    static func toLoopback(requestsMax: Int = 128) -> HTTPClient {
        HTTPClient(metrics: HTTPClientMetrics(), requestsMax: requestsMax) { host, answer in
            answer(
                host == "nowhere.example"
                    ? .failure(.init("no such name")) : .success([IPAddress(v4: 0x7f00_0001)]))
        }
    }

    func ask(_ request: Request) -> Result {
        let answers = Answers()
        send(request) { answers.mailbox.send($0) }
        return answers.next()
    }

    func get(_ url: String, _ change: (inout Request) -> Void = { _ in }) -> Result {
        var request = Request(.ocsp, .get, url, origin: .configuration)
        change(&request)
        return ask(request)
    }
}

extension Swift.Result where Success == HTTPClient.Response, Failure == HTTPClient.Failure {
    var text: String? { (try? get()).map { String(decoding: $0.body, as: UTF8.self) } }
    var problem: HTTPClient.Failure? { if case .failure(let failure) = self { failure } else { nil } }
}
