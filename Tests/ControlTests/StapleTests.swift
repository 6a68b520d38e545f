// Staples: when responders are asked, and what for.

import HTTPClient
import TLS
import Testing

@testable import Control

@Suite("Staples")
struct StapleTests {
    private func taken(_ answer: OCSPAnswer, atSeconds now: Int64) -> UInt64 {
        var schedule = StapleSchedule()
        schedule.taken(answer, nowSeconds: now, nowMs: 5_000)
        return schedule.nextMs - 5_000
    }

    @Test("asked at once, then at half of the answer's life")
    func refresh() {
        #expect(StapleSchedule().isDue(nowMs: 0))
        let week = OCSPAnswer(.good, thisUpdate: 1_000_000, nextUpdate: 1_604_800)
        #expect(taken(week, atSeconds: 1_000_000) == 302_400_000)
        #expect(taken(week, atSeconds: 1_100_000) == 202_400_000)
        // Past its half (caches in between do that): half of the rest, so there is always another try.
        #expect(taken(week, atSeconds: 1_400_000) == 102_400_000)
        #expect(taken(week, atSeconds: 1_604_799) == StapleSchedule.refreshMinMs)
        // A clock ahead of the responder's, and one behind.
        #expect(taken(week, atSeconds: 999_800) == 302_600_000)
        #expect(taken(OCSPAnswer(.good, thisUpdate: 0, nextUpdate: nil), atSeconds: 0) == 43_200_000)
        #expect(taken(OCSPAnswer(.good, thisUpdate: 0, nextUpdate: 4), atSeconds: 0) == 10_000)
    }

    @Test("after failures ever less often, never never")
    func retries() {
        for jitter in [-1, 0, 0.5, 1, 2] {
            var schedule = StapleSchedule()
            var ceiling = StapleSchedule.retryFirstMs
            for _ in 0..<100 {
                schedule.failed(nowMs: 1_000, jitter: jitter)
                #expect((ceiling / 2...ceiling).contains(schedule.nextMs - 1_000))
                #expect(!schedule.isDue(nowMs: schedule.nextMs - 1) && schedule.isDue(nowMs: schedule.nextMs))
                ceiling = min(ceiling * 2, StapleSchedule.retryMaxMs)
            }
            schedule.taken(OCSPAnswer(.good, thisUpdate: 0, nextUpdate: 100), nowSeconds: 0, nowMs: 0)
            schedule.failed(nowMs: 1_000, jitter: 1)
            #expect(schedule.nextMs == 1_000 + StapleSchedule.retryFirstMs)
        }
    }

    @Test("the request")
    func request() throws {
        let request = try #require(OCSPExchange.request("HTTP://[::1]:8080/ocsp?x", [1, 2, 3]))
        #expect(request.method == .post && request.body == [1, 2, 3] && request.redirectsMax == 0)
        #expect(request.fields.contains(.init("Content-Type", "application/ocsp-request")))
        for text in ["", "ocsp.example", "https://ocsp.example/", "ldap://a/"] {
            #expect(OCSPExchange.request(text, []) == nil)
        }
    }

    @Test("answers that are read")
    func answers() {
        #expect(OCSPExchange.body(.failure(.closed)) == .failure(.failed(.closed)))
    }
}
