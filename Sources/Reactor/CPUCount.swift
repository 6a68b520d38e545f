// How many workers this process can keep busy.
//
// The number of processors in the machine is the wrong answer inside a container: cpuset (the
// affinity mask) says which processors may be used, and the cgroup's quota how much time per period.
// More workers than the quota allows would be throttled together, seen as latency spikes.
// cgroup v2: cpu.max (kernel Documentation/admin-guide/cgroup-v2.rst); v1: cpu.cfs_quota_us.

import CLinux
import Glibc

/// The worker count of `workers: auto`.
public enum CPUCount {
    /// Processors allowed by affinity and cgroup quota, at least 1. Reads files; call it at start.
    public static func workers() -> Int {
        workers(affinity: Int(weir_affinity_count()), read: readSmallFile)
    }

    /// The same from given facts.
    ///
    /// - Parameters:
    ///   - affinity: processors in the affinity mask; less than 1 when unknown, taken as 1.
    ///   - read: the text of a file, nil when it cannot be read.
    public static func workers(affinity: Int, read: (_ path: String) -> String?) -> Int {
        let allowed = max(affinity, 1)
        guard let quota = quota(read: read) else { return allowed }
        // A quota of 1.5 processors keeps two workers busy part of the time; one would waste a third.
        return quota >= Double(allowed) ? allowed : max(1, Int(quota.rounded(.up)))
    }

    /// The smallest CPU quota, in processors, on the way from this process's cgroup to the root; nil
    /// when there is none.
    static func quota(read: (_ path: String) -> String?) -> Double? {
        guard let groups = read("/proc/self/cgroup") else { return nil }
        var smallest: Double?
        // One line per hierarchy: "0::/path" (v2) or "4:cpu,cpuacct:/path" (v1).
        for line in groups.split(separator: "\n").prefix(64) {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3, parts[2].hasPrefix("/") else { continue }
            if parts[0] == "0", parts[1].isEmpty {
                for directory in ancestors(of: parts[2]) {
                    // Second mount point: the "hybrid" layout of systemd.
                    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"] {
                        lower(&smallest, read("\(root)\(directory)/cpu.max").flatMap(parseMax))
                    }
                }
            } else if parts[1].split(separator: ",").contains("cpu") {
                for directory in ancestors(of: parts[2]) {
                    for root in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/\(parts[1])"] {
                        lower(
                            &smallest,
                            parseV1(
                                quota: read("\(root)\(directory)/cpu.cfs_quota_us"),
                                period: read("\(root)\(directory)/cpu.cfs_period_us")))
                    }
                }
            }
        }
        return smallest
    }

    /// "/a/b" → "/a/b", "/a", "". In a container without its own cgroup namespace the path does not
    /// exist below the mount, and the container's own limits stand at the root.
    static func ancestors(of path: Substring) -> [String] {
        var parts = path.split(separator: "/").prefix(64)
        var result: [String] = []
        while !parts.isEmpty {
            result.append("/" + parts.joined(separator: "/"))
            parts.removeLast()
        }
        return result + [""]
    }

    /// cpu.max: "150000 100000" → 1.5; "max 100000" → nil.
    static func parseMax(_ text: String) -> Double? {
        let words = text.split { $0 == " " || $0 == "\n" }
        guard words.count == 2, let quota = UInt64(words[0]), let period = UInt64(words[1]), quota > 0,
            period > 0
        else { return nil }
        return Double(quota) / Double(period)
    }

    /// cpu.cfs_quota_us and cpu.cfs_period_us; a quota of -1 is none.
    static func parseV1(quota: String?, period: String?) -> Double? {
        guard let quota = quota.flatMap(number), let period = period.flatMap(number), quota > 0, period > 0
        else { return nil }
        return Double(quota) / Double(period)
    }

    private static func number(_ text: String) -> Int64? {
        text.split(separator: "\n").first.flatMap { Int64($0) }
    }

    private static func lower(_ smallest: inout Double?, _ value: Double?) {
        guard let value else { return }
        smallest = min(smallest ?? value, value)
    }

    /// At most 16 KiB of a file.
    private static func readSmallFile(_ path: String) -> String? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        return withUnsafeTemporaryAllocation(byteCount: 16384, alignment: 1) { room -> String? in
            var count = 0
            while count < room.count {
                let got = Glibc.read(fd, room.baseAddress.map { $0 + count }, room.count - count)
                if got < 0, errno == EINTR { continue }
                guard got >= 0 else { return nil }
                if got == 0 { break }
                count += got
            }
            return String(decoding: UnsafeRawBufferPointer(rebasing: room[..<count]), as: UTF8.self)
        }
    }
}
