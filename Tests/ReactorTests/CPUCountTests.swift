// The worker count.

import Glibc
import Testing

@testable import Reactor

@Suite struct CPUCountTests {
    private func workers(_ affinity: Int, _ files: [String: String]) -> Int {
        CPUCount.workers(affinity: affinity, read: { files[$0] })
    }

    @Test func withoutCgroups() {
        #expect(workers(8, [:]) == 8)
        #expect(workers(1, [:]) == 1)
        #expect(workers(-1, [:]) == 1)
        #expect(workers(0, [:]) == 1)
    }

    @Test(arguments: [
        ("max 100000\n", 8), ("150000 100000\n", 2), ("200000 100000\n", 2), ("200001 100000\n", 3),
        ("1000 100000\n", 1), ("9000000 100000\n", 8), ("", 8), ("0 100000", 8), ("100000 0", 8),
        ("-5 100000", 8), ("100000", 8), ("garbage here", 8), ("18446744073709551615 1", 8),
    ])
    func version2(_ cpuMax: String, _ expected: Int) {
        #expect(
            workers(8, ["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": cpuMax]) == expected)
    }

    @Test func smallestOnTheWayUp() {
        let cgroup = ["/proc/self/cgroup": "0::/system.slice/weir.service\n"]
        let files = [
            "/sys/fs/cgroup/system.slice/weir.service/cpu.max": "max 100000",
            "/sys/fs/cgroup/system.slice/cpu.max": "300000 100000",
            "/sys/fs/cgroup/cpu.max": "700000 100000",
        ]
        #expect(workers(8, cgroup.merging(files) { a, _ in a }) == 3)
        #expect(workers(2, cgroup.merging(files) { a, _ in a }) == 2)
    }

    /// Without a cgroup namespace the path in /proc does not exist under the container's mount.
    @Test func pathOutsideTheMount() {
        #expect(
            workers(
                8, ["/proc/self/cgroup": "0::/docker/0123\n", "/sys/fs/cgroup/cpu.max": "100000 100000"]) == 1
        )
    }

    @Test func version1() {
        let groups = "12:cpuset:/a\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/a\n0::/\n"
        #expect(
            workers(
                8,
                [
                    "/proc/self/cgroup": groups,
                    "/sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us": "-1\n",
                    "/sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us": "100000\n",
                    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
                    "/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                ]) == 3)
    }

    @Test func malformedCgroupFile() {
        for text in ["", "\n\n", "0:", "0::", "0::relative", "::::", "4:cpu:"] {
            #expect(workers(4, ["/proc/self/cgroup": text]) == 4)
        }
    }

    @Test func thisMachine() {
        let count = CPUCount.workers()
        #expect(count >= 1 && count <= Int(sysconf(Int32(_SC_NPROCESSORS_CONF))))
    }

    /// An abstract name begins with a zero byte, and its length is its own (unix(7)).
    @Test func abstractName() {
        SocketAddress.unix(path: "@ab").withSockaddr { raw, length in
            #expect(length == socklen_t(MemoryLayout<sa_family_t>.size + 3))
            let bytes = UnsafeRawBufferPointer(start: raw, count: Int(length)).suffix(3)
            #expect(Array(bytes) == [0, UInt8(ascii: "a"), UInt8(ascii: "b")])
        }
    }

    /// RFC 4007 §11: the zone is the interface's name, or its index.
    @Test func zones() throws {
        let loopback = if_nametoindex("lo")
        let address = try #require(SocketAddress(host: "fe80::1%lo", port: 80))
        #expect(address == .zoned(try #require(IPAddress("fe80::1")), port: 80, zone: loopback))
        #expect(SocketAddress(host: "fe80::1%\(loopback)", port: 80) == address)
        #expect(address.description == "[fe80::1%lo]:80" && address.port == 80 && address.family == AF_INET6)
        let zone = address.withSockaddr { raw, _ in
            raw.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { $0.pointee.sin6_scope_id }
        }
        #expect(zone == loopback)
        #expect(
            address.overlaps(.ip(.unspecified, port: 80)) && !address.overlaps(.ip(.unspecified, port: 81)))
        #expect(SocketAddress(host: "fe80::1%no-such-if", port: 80) == nil)
        #expect(SocketAddress(host: "10.0.0.1%lo", port: 80) == nil)
        #expect(SocketAddress(host: "10.0.0.1", port: 80) == .ip(IPAddress(v4: 0x0a00_0001), port: 80))
    }

    @Test func overlap() throws {
        let v4 = SocketAddress.ip(IPAddress(v4: 0x7f00_0001), port: 80)
        let v6 = SocketAddress.ip(try #require(IPAddress("::1")), port: 80)
        let all = SocketAddress.ip(.unspecified, port: 80)
        let all4 = SocketAddress.ip(IPAddress(v4: 0), port: 80)
        #expect(
            v4.overlaps(all) && all.overlaps(v6) && all4.overlaps(v4) && all.overlaps(all4) && v4.overlaps(v4)
        )
        #expect(!v4.overlaps(v6) && !v4.overlaps(.ip(.unspecified, port: 81)))
        #expect(SocketAddress.unix(path: "/a").overlaps(.unix(path: "/a")))
        #expect(
            !SocketAddress.unix(path: "/a").overlaps(.unix(path: "/b")) && !v4.overlaps(.unix(path: "/a")))
    }

    @Test func clientsOfUnixSockets() throws {
        #expect(IPAddress.unix.description == "unix:")
        #expect(IPAddress(client: "unix") == .unix && IPAddress(client: "unix:") == .unix)
        #expect(
            IPAddress(client: "192.0.2.1") == IPAddress(v4: 0xc000_0201) && IPAddress(client: "unit") == nil)
        #expect(IPAddress("unix:") == nil, "no Host or certificate is one")
        let block = try #require(AddressBlock("unix"))
        #expect(block.contains(.unix) && !block.contains(.unspecified) && !block.contains(IPAddress(v4: 1)))
    }
}
