// `weir run`, `weir proxy` and `weir serve`: the process that serves.
//
// The main thread only waits: for signals, and for the control plane's next moment.
//   SIGHUP reload · SIGTERM, SIGINT, SIGQUIT drain then stop, again: stop now · SIGUSR1 reopen the access log

import Admin
import CLinux
import Configuration
import Control
import Glibc
import Reactor
import Telemetry

enum Serve {
    static func run(_ source: any ConfigurationSource) -> Int32 {
        let signals = SignalDescriptor([SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGUSR1])
        raiseDescriptorLimit()
        let log = Log()
        let loaded: LoadedConfiguration
        switch source.load() {
        case .failure(let failure):
            report(failure.errors)
            return ExitCode.failed
        case .success(let right):
            loaded = right
            for warning in right.warnings { printError("\(warning)") }
        }
        let configuration = loaded.configuration
        let mailbox = Mailbox<Void>()
        let control: ControlPlane
        do throws(ConfigurationErrors) {
            control = try ControlPlane(loaded, source: source, build: Weir.build, log: log) {
                mailbox.wake()
            }
        } catch {
            report(error.errors)
            return ExitCode.failed
        }
        let admin = AdminHost(
            source: ControlPlaneView(control, file: source.name, build: Weir.build), log: log)
        control.followAdmin { admin.follow($0) }
        control.start()
        announce(configuration, control, log)
        wait(control, signals, mailbox, log)
        admin.stop()
        control.join()
        log.info("stopped")
        return ExitCode.ok
    }

    private static func report(_ errors: [ConfigurationError]) {
        for error in errors { printError("\(error)") }
        printError(
            "weir: not started: \(errors.count) error\(errors.count == 1 ? "" : "s") in the configuration")
    }

    private static func announce(_ configuration: Configuration, _ control: ControlPlane, _ log: Log) {
        let listeners = configuration.listeners.flatMap { listener in
            listener.addresses.map { "\(listener.name.value)=\($0.text.value)" }
        }
        log.info(
            "serving",
            [
                "version": Weir.build.version, "workers": "\(control.workers.count)",
                "listeners": listeners.joined(separator: ","),
                "admin": configuration.admin.map { $0.addresses.map(\.text.value).joined(separator: ",") }
                    ?? "off",
            ])
    }

    /// The main thread's loop, until the workers have stopped.
    private static func wait(
        _ control: ControlPlane, _ signals: SignalDescriptor, _ mailbox: Mailbox<Void>, _ log: Log
    ) {
        var reportedConnections = -1
        while !control.allWorkersStopped {
            let nextMs = control.tick()
            let nowMs = Clock.monotonicNs() / 1_000_000
            var timeoutMs = nextMs == .max ? 60_000 : Int32(min(60_000, nextMs > nowMs ? nextMs - nowMs : 0))
            if control.isDraining {
                timeoutMs = min(timeoutMs, 20)
                let connections = control.connectionCount
                if connections != reportedConnections,
                    reportedConnections < 0 || connections == 0 || nowMs % 1000 < 20
                {
                    reportedConnections = connections
                    log.info("draining", ["connections": "\(connections)"])
                }
            }
            var watched = [
                pollfd(fd: signals.descriptor, events: Int16(POLLIN), revents: 0),
                pollfd(fd: mailbox.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            poll(&watched, 2, timeoutMs)
            if watched[1].revents != 0 { _ = mailbox.takeAll() }
            while let signal = signals.next() { take(signal, control, log) }
        }
    }

    private static func take(_ signal: Int32, _ control: ControlPlane, _ log: Log) {
        switch signal {
        case SIGHUP:
            _ = control.reload()
        case SIGUSR1:
            control.reopenLogs()
        default:
            if control.isDraining {
                log.info("stopping now", ["connections": "\(control.connectionCount)"])
                control.stop()
            } else {
                control.drain()
            }
        }
    }

    /// As many descriptors as the system grants us: two per proxied connection, and pipes.
    private static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0,
            limit.rlim_cur < limit.rlim_max
        else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// A configuration in a file, read again at every reload.
struct FileSource: ConfigurationSource {
    let name: String

    func text() -> Result<[UInt8], ConfigurationErrors> { Configuration.read(path: name) }
}

/// The admin listener of a configuration made from arguments.
enum CommandLineAdmin {
    static let hint = "another address with `--admin ADDRESS`, or `--admin off`"

    static func yaml(_ admin: String) -> String {
        admin == Command.adminOff ? "off" : "{ address: \"\(admin)\" }"
    }
}

/// The configuration of `weir proxy`: one listener, one service, no file.
struct ProxySource: ConfigurationSource {
    let listen: String
    let endpoints: [String]
    /// An address or "off".
    let admin: String
    var name: String { "command line" }
    var adminHint: String { CommandLineAdmin.hint }

    func text() -> Result<[UInt8], ConfigurationErrors> {
        let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
        let text = """
            listeners: { proxy: { address: "\(listen)" } }
            routes: [{ name: all, match: { path: /* }, service: upstream }]
            services: { upstream: { endpoints: [\(list)] } }
            admin: \(CommandLineAdmin.yaml(admin))
            """
        return .success(Array(text.utf8))
    }
}

/// The configuration of `weir serve`: one listener, one folder, no file. Without an admin listener unless one
/// is asked for, so that two can run side by side and beside a `weir run`.
struct FolderSource: ConfigurationSource {
    let folder: String
    let listen: String
    /// An address or "off".
    let admin: String
    var name: String { "command line" }
    var adminHint: String { CommandLineAdmin.hint }

    func text() -> Result<[UInt8], ConfigurationErrors> {
        let text = """
            listeners: { serve: { address: "\(listen)" } }
            routes: [{ name: all, match: { path: /* }, service: files }]
            services: { files: { files: \(Self.quoted(path)) } }
            admin: \(CommandLineAdmin.yaml(admin))
            """
        return .success(Array(text.utf8))
    }

    /// The folder as an absolute path. Links in it stay: what they lead to may change while we serve.
    private var path: String {
        if folder.hasPrefix("/") { return folder }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { room in
            guard let start = room.baseAddress, getcwd(start, room.count) != nil else { return folder }
            return String(cString: start) + "/" + folder
        }
    }

    /// A text of YAML between double quotes.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                result += "\\x" + (hex.utf8.count < 2 ? "0" : "") + hex
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
