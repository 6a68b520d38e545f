// What the kernel says about this process: the process_* series every Prometheus client has.

import Glibc
import Reactor

/// The process as a whole at one moment. A value the kernel would not give is 0.
public struct ProcessValues: Sendable, Equatable {
    public var cpuSeconds: Double = 0
    public var residentBytes: UInt64 = 0
    public var virtualBytes: UInt64 = 0
    public var openFDs: UInt64 = 0
    /// Soft limit of file descriptors; UInt64.max when there is none.
    public var maxFDs: UInt64 = 0
    /// Wall clock, seconds since 1970.
    public var startTimeSeconds: Double = 0

    public init() {}

    /// Asks the kernel. Opens a few files under /proc: control plane only.
    public static func read() -> ProcessValues {
        var values = ProcessValues()
        var usage = rusage()
        if getrusage(RUSAGE_SELF.rawValue, &usage) == 0 {
            values.cpuSeconds =
                Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
                + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
        }
        var limit = rlimit()
        if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
            values.maxFDs = UInt64(limit.rlim_cur)
        }
        values.openFDs = countOpenFDs()
        // Fields after the command name, which is in parentheses and may hold anything (proc(5)).
        let stat = readSmallFile("/proc/self/stat")
        if let close = stat.lastIndex(of: UInt8(ascii: ")")) {
            let fields = stat[(close + 1)...].split(separator: UInt8(ascii: " "))
            func field(_ number: Int) -> UInt64 {
                let i = number - 3
                return i < fields.count ? UInt64(String(decoding: fields[i], as: UTF8.self)) ?? 0 : 0
            }
            values.virtualBytes = field(23)
            values.residentBytes = field(24) * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
            let ticksPerSecond = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
            let uptime = readSmallFile("/proc/uptime").prefix { $0 != UInt8(ascii: " ") }
            let age =
                (Double(String(decoding: uptime, as: UTF8.self)) ?? 0) - Double(field(22)) / ticksPerSecond
            values.startTimeSeconds = Double(Clock.wallUs()) / 1e6 - age
        }
        return values
    }

    /// Entries of /proc/self/fd without the one this function opens.
    private static func countOpenFDs() -> UInt64 {
        guard let directory = opendir("/proc/self/fd") else { return 0 }
        defer { closedir(directory) }
        var count: UInt64 = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return count == 0 ? 0 : count - 1
    }

    private static func readSmallFile(_ path: String) -> [UInt8] {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return [] }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(fd, &bytes, bytes.count)
        return count > 0 ? Array(bytes[..<count]) : []
    }
}
