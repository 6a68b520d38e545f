import Resilience
import Testing

@Suite struct FailureTests {
    @Test func reasonsHaveDistinctNames() {
        let names = Reason.allCases.map { $0.name.description }
        #expect(Set(names).count == names.count)
        for name in names where name != "-" {
            #expect(name.utf8.allSatisfy { ($0 >= 97 && $0 <= 122) || $0 == 45 }, "\(name)")
        }
    }

    @Test func statusesFitTheSide() {
        for reason in Reason.allCases where reason != .none {
            let status = reason.status
            switch reason.side {
            case .client: #expect(status == 0 || (400...499).contains(status) || status == 505, "\(reason)")
            case .weir: #expect(status == 0 || (400...599).contains(status), "\(reason)")
            case .upstream: #expect([502, 504].contains(status), "\(reason)")
            }
            // Whoever can be told gets an error type of RFC 9209 as well.
            #expect(
                (status == 0) == reason.proxyStatus.description.isEmpty || reason.side == .weir, "\(reason)")
        }
    }

    @Test func onlyFailuresOfEndpointsAreRetried() {
        for reason in Reason.allCases where reason.retry != .never {
            #expect(reason.side == .upstream, "\(reason)")
        }
        #expect(Reason.upstreamHeadTimeout.retry == .never)
    }

    @Test func phasesAndSidesHaveDistinctNames() {
        #expect(
            Phase.allCases.map { $0.name.description } == [
                "accept", "handshake", "read", "route", "admit", "lookup", "select", "forward", "respond",
                "record",
            ])
        #expect(Set(Side.allCases.map { $0.name.description }).count == 3)
    }
}
