// Staples: when responders are asked, where they are, and what may come back.

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

    @Test(
        "addresses of responders",
        arguments: [
            ("http://ocsp.example", "ocsp.example", 80, "/", "ocsp.example"),
            ("HTTP://ocsp.example:8080/", "ocsp.example", 8_080, "/", "ocsp.example:8080"),
            ("http://ocsp.example/a/b?c#d", "ocsp.example", 80, "/a/b?c", "ocsp.example"),
            ("http://ocsp.example?c", "ocsp.example", 80, "/?c", "ocsp.example"),
            ("http://ocsp.example:/", "ocsp.example", 80, "/", "ocsp.example:"),
            ("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x", "[2001:db8::1]:81"),
            ("http://[2001:db8::1]", "2001:db8::1", 80, "/", "[2001:db8::1]"),
        ])
    func addresses(text: String, host: String, port: UInt16, target: String, authority: String) throws {
        let url = try #require(ResponderURL(text))
        #expect(url.host == host && url.port == port && url.target == target && url.authority == authority)
    }

    @Test(
        "what is no address of a responder",
        arguments: [
            "", "ocsp.example", "https://ocsp.example/", "http://", "http:///x", "http://:80/", "http://a:0/",
            "http://a:65536/", "http://a:8 0/", "http://a:-1/", "http://a:+1/", "http://u@a/", "http://[::1/",
            "http://[::1]x/", "http://[]/", "http://a/\r\nX: y", "http://a/\u{0}", "http://a/ä",
            "http://a/" + String(repeating: "x", count: 2_048), "ldap://a/",
        ])
    func notAddresses(text: String) { #expect(ResponderURL(text) == nil) }

    @Test("the request")
    func request() throws {
        let url = try #require(ResponderURL("http://[::1]:8080/ocsp?x"))
        let bytes = OCSPExchange.request(url, [1, 2, 3])
        #expect(Array(bytes.suffix(7)) == Array("\r\n\r\n".utf8) + [1, 2, 3])
        let head = String(decoding: bytes.dropLast(3), as: UTF8.self)
        #expect(head.hasPrefix("POST /ocsp?x HTTP/1.1\r\nHost: [::1]:8080\r\n"))
        #expect(head.contains("Content-Type: application/ocsp-request\r\n"))
        #expect(head.contains("Content-Length: 3\r\n"))
    }

    private func answer(_ text: String, isOver: Bool = false) -> OCSPExchange.Answer {
        OCSPExchange.answer(Array(text.utf8), isOver: isOver)
    }

    @Test("answers that are whole")
    func whole() {
        let body = OCSPExchange.Answer.body(Array("abc".utf8))
        #expect(answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc") == body)
        #expect(answer("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabcdef") == body)
        #expect(
            answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc") == body)
        #expect(
            answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n")
                == body)
        #expect(answer("HTTP/1.0 200 OK\r\n\r\nabc", isOver: true) == body)
        #expect(answer("HTTP/1.1 301 Moved\r\nLocation: http://b/\r\n") == .incomplete)
        #expect(answer("HTTP/1.1 301 Moved\r\nLocation: http://b/\r\n\r\n") == .refused(status: 301))
        #expect(answer("HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n") == .refused(status: 503))
    }

    @Test(
        "answers cut anywhere are incomplete, and malformed when nothing more comes",
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        ])
    func cut(text: String) {
        for count in 0..<text.utf8.count {
            let part = Array(text.utf8.prefix(count))
            #expect(OCSPExchange.answer(part, isOver: false) == .incomplete)
            #expect(OCSPExchange.answer(part, isOver: true) == .malformed)
        }
    }

    @Test("answers without end, and what is no answer")
    func wrong() {
        let much = [UInt8](repeating: 0x61, count: OCSPExchange.answerBytesMax)
        #expect(OCSPExchange.answer(Array("HTTP/1.0 200 OK\r\n\r\n".utf8) + much, isOver: false) == .tooLarge)
        #expect(answer("HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n") == .tooLarge)
        #expect(answer("HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n") == .malformed)
        #expect(answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc") == .malformed)
        #expect(answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz") == .malformed)
        #expect(answer("SSH-2.0-OpenSSH\r\n") == .malformed)
    }
}
