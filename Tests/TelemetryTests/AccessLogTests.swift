import Foundation
import Reactor
import WeirResilience
import Testing

@testable import WeirHTTPModel
@testable import Telemetry

/// A record whose bytes live as long as the body runs.
func withRecord<R>(
    target: [UInt8] = Array("/a?b=1".utf8), agent: [UInt8] = Array("curl/8".utf8),
    _ body: (inout RequestRecord) throws -> R
) rethrows -> R {
    let method = Array("GET".utf8)
    let host = Array("example.com".utf8)
    let route = Array("api".utf8)
    return try method.withUnsafeBufferPointer { method in
        try host.withUnsafeBufferPointer { host in
            try route.withUnsafeBufferPointer { route in
                try target.withUnsafeBufferPointer { target in
                    try agent.withUnsafeBufferPointer { agent in
                        var record = RequestRecord()
                        record.startUs = 1_795_235_400_123_456
                        record.totalUs = 1_234
                        record.method = method
                        record.host = host
                        record.target = target
                        record.userAgent = agent
                        record.route = route
                        record.service = route
                        record.clientIP = IPAddress(v4: 0xc000_0207)
                        record.clientPort = 51_234
                        record.status = 200
                        record.bytesIn = 120
                        record.bytesOut = 4_096
                        record.attempts = 1
                        record.id = RequestID(high: 1, low: 0xabc)
                        return try body(&record)
                    }
                }
            }
        }
    }
}

func line(_ record: RequestRecord, _ format: AccessLogFormat) -> [UInt8] {
    let room = UnsafeMutablePointer<UInt8>.allocate(capacity: AccessLog.bufferBytes)
    defer { room.deallocate() }
    var writer = ByteWriter(room, capacity: AccessLog.bufferBytes)
    var lines = AccessLogLine()
    lines.write(record, format, to: &writer)
    #expect(!writer.overflowed)
    return Array(UnsafeBufferPointer(start: room, count: writer.count))
}

@Suite struct AccessLogFormatTests {
    func json(_ record: RequestRecord) throws -> [String: Any] {
        let bytes = line(record, .json)
        #expect(bytes.last == UInt8(ascii: "\n"))
        #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 })
        return try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    }

    @Test func jsonMembers() throws {
        let object = try withRecord { try json($0) }
        #expect(object["time"] as? String == "2026-11-21T04:30:00.123456Z")
        #expect(object["id"] as? String == "0000000000000001" + "0000000000000abc")
        #expect(object["client"] as? String == "192.0.2.7")
        #expect(object["client_port"] as? Int == 51_234)
        #expect(object["method"] as? String == "GET")
        #expect(object["target"] as? String == "/a?b=1")
        #expect(object["status"] as? Int == 200)
        #expect(object["bytes_out"] as? Int == 4_096)
        #expect(object["total_us"] as? Int == 1_234)
        #expect(object["reused"] as? Bool == false)
        #expect(object["reason"] == nil)
        #expect(object["referer"] == nil)
        #expect(object["first_byte_us"] == nil)
    }

    @Test func jsonFailureMembers() throws {
        let object = try withRecord {
            $0.failure = Failure(.connectRefused, phase: .forward, errno: 111)
            return try json($0)
        }
        #expect(object["phase"] as? String == "forward")
        #expect(object["reason"] as? String == "connect-refused")
        #expect(object["side"] as? String == "upstream")
        #expect(object["errno"] as? Int == 111)
        #expect(object["position"] == nil)
    }

    @Test func positionZeroIsWritten() throws {
        let object = try withRecord {
            $0.failure = Failure(.requestMalformed, phase: .read, position: 0, detail: Detail(.http1, 9))
            return try json($0)
        }
        #expect(object["position"] as? Int == 0)
        #expect(object["detail"] as? Int == 9)
    }

    @Test func everyByteValueYieldsValidJSONAndIsKept() throws {
        let all = (0...255).map { UInt8($0) }
        let object = try withRecord(target: all) { try json($0) }
        // Every byte above 0x7f stands alone here, so all of them are read as Latin-1.
        let expected = String(String.UnicodeScalarView(all.map { Unicode.Scalar($0) }))
        #expect(object["target"] as? String == expected)
    }

    @Test(arguments: [
        ("ü€𝄞", "ü€𝄞"),
        ("a\"b\\c\n", "a\"b\\c\n"),
    ])
    func utf8Passes(text: String, expected: String) throws {
        let object = try withRecord(agent: Array(text.utf8)) { try json($0) }
        #expect(object["user_agent"] as? String == expected)
    }

    @Test(
        arguments: [
            [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82],
            [0xf0, 0x80, 0x80, 0x80],
            [0xc3], [0xe0, 0x9f, 0xbf], [0xff],
        ] as [[UInt8]])
    func malformedUTF8IsReadAsLatin1(bytes: [UInt8]) throws {
        let object = try withRecord(agent: bytes) { try json($0) }
        let expected = String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
        #expect(object["user_agent"] as? String == expected)
    }

    @Test func cutInsideACharacterStaysValid() throws {
        let agent = [UInt8](repeating: 0x61, count: AccessLogLimits.userAgent - 1) + Array("€".utf8)
        let object = try withRecord(agent: agent) { try json($0) }
        let text = try #require(object["user_agent"] as? String)
        #expect(text.unicodeScalars.count == AccessLogLimits.userAgent)
        #expect(text.unicodeScalars.last == "\u{e2}")
    }

    @Test func textLine() {
        let text = withRecord {
            $0.failure = Failure(.upstreamReset, phase: .forward, errno: 104)
            $0.connectionReused = true
            return String(decoding: line($0, .text), as: UTF8.self)
        }
        #expect(
            text == """
                2026-11-21T04:30:00.123456Z 192.0.2.7:51234 "GET example.com /a?b=1 HTTP/1.1" 200 in=120 \
                out=4096 total=1.234ms first-byte=0.000ms connect=0.000ms queue=0.000ms route=api service=api \
                endpoint=- attempts=1 reused=yes listener=- worker=0 phase=forward reason=upstream-reset \
                errno=104 id=00000000000000010000000000000abc agent="curl/8"

                """)
    }

    @Test func textLineOfNothingIsStillOneLine() {
        var record = RequestRecord()
        record.proto = "tcp"
        let bytes = line(record, .text)
        #expect(bytes.filter { $0 == UInt8(ascii: "\n") }.count == 1)
        #expect(
            String(decoding: bytes, as: UTF8.self).hasPrefix(
                "1970-01-01T00:00:00.000000Z [-]:0 \"- - - tcp\" 0 "))
    }

    @Test func whoConnectedIsThereOnlyWhenItIsKnown() {
        func bytes(_ text: StaticString) -> RequestRecord.Bytes {
            UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        }
        var record = RequestRecord()
        record.serverName = bytes("api.example.org")
        // Without a fingerprint there is no certificate.
        record.certificateSubject = bytes("CN=nobody")
        var json = String(decoding: line(record, .json), as: UTF8.self)
        #expect(json.contains(#","protocol":"HTTP/1.1","server_name":"api.example.org","status""#))
        #expect(!json.contains("certificate"))
        #expect(!String(decoding: line(record, .text), as: UTF8.self).contains("nobody"))
        record.serverName = bytes("")
        record.certificateSubject = bytes(#"CN=A\2CB"#)
        record.certificateSAN = bytes("DNS:a, DNS:b")
        record.certificateFingerprint = bytes("00ff")
        record.certificateSerial = bytes("7f")
        json = String(decoding: line(record, .json), as: UTF8.self)
        #expect(
            json.contains(
                #""client_port":0,"client_certificate_subject":"CN=A\\2CB","client_certificate_san":"DNS:a, DNS:b","client_certificate_fingerprint":"00ff","client_certificate_serial":"7f","protocol""#
            ))
        #expect(!json.contains("server_name"))
        #expect(
            String(decoding: line(record, .text), as: UTF8.self).contains(
                #" certificate="CN=A\x5c2CB" san="DNS:a, DNS:b" fingerprint="00ff" serial="7f""#))
    }

    @Test func textNeverHoldsAControlCharacterOrAQuoteFromTheWire() {
        let text = withRecord(target: Array("/\"\u{1b}[2J\r\n".utf8) + [0x85]) {
            String(decoding: line($0, .text), as: UTF8.self)
        }
        #expect(text.contains(#"/\x22\x1b[2J\x0d\x0a\x85 HTTP"#))
    }

    @Test func longestLineFitsTheStatedMaximum() {
        let bytes = [UInt8](repeating: 1, count: 100_000)
        bytes.withUnsafeBufferPointer { long in
            var record = RequestRecord()
            (record.method, record.host, record.target, record.userAgent) = (long, long, long, long)
            (record.referer, record.listener, record.route, record.service) = (long, long, long, long)
            record.endpoint = long
            (record.serverName, record.certificateSubject, record.certificateSAN) = (long, long, long)
            (record.certificateFingerprint, record.certificateSerial) = (long, long)
            record.startUs = .max
            (record.totalUs, record.firstByteUs, record.connectUs, record.queueUs) = (.max, .max, .max, .max)
            (record.bytesIn, record.bytesOut) = (.max, .max)
            record.failure = Failure(
                .upstreamUnsolicitedUpgrade, phase: .handshake, errno: .max, position: .max,
                detail: Detail(.contentCoding, 99))
            record.limit = .max
            record.clientIP = IPAddress(high: .max, low: .max)
            record.id = RequestID(high: .max, low: .max)
            for format in AccessLogFormat.allCases {
                #expect(line(record, format).count <= AccessLogLimits.lineBytesMax)
            }
        }
        #expect(AccessLogLimits.lineBytesMax <= AccessLog.bufferBytes)
    }

    @Test(arguments: [
        (UInt64(951_782_400), "2000-02-29T00:00:00"), (951_868_799, "2000-02-29T23:59:59"),
        (951_868_800, "2000-03-01T00:00:00"), (4_107_542_400, "2100-03-01T00:00:00"),
        (1_798_761_599, "2026-12-31T23:59:59"), (1_798_761_600, "2027-01-01T00:00:00"),
        (253_402_300_799, "9999-12-31T23:59:59"), (253_402_300_800, "9999-12-31T23:59:59"),
    ])
    func calendar(seconds: UInt64, text: String) {
        var record = RequestRecord()
        record.startUs = seconds * 1_000_000 + 7
        #expect(String(decoding: line(record, .text).prefix(27), as: UTF8.self) == text + ".000007Z")
    }
}

@Suite struct AccessLogWriterTests {
    let directory: String
    let metrics = AccessLogMetrics()

    init() throws {
        var template = Array("/tmp/weir-log-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        directory = String(cString: made)
    }

    func lines(_ path: String) -> [Substring] {
        guard let data = FileManager.default.contents(atPath: path) else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n")
    }

    @Test func linesReachTheFileInOrder() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/access.log"
        let log = try AccessLog(
            .file(path: path), format: .json, metrics: metrics, warnings: Log(level: .error))
        let buffer = log.makeBuffer()
        for i in 0..<1000 {
            withRecord {
                $0.bytesIn = UInt64(i)
                buffer.append($0)
            }
        }
        buffer.flush()
        #expect(log.close(deadlineMs: 20_000))
        let read = lines(path)
        #expect(read.count == 1000)
        for (i, line) in read.enumerated() { #expect(line.contains("\"bytes_in\":\(i),")) }
        #expect(metrics.values() == AccessLogValues(written: 1000, dropped: 0, writeErrors: 0))
        // A worker that is late loses its line and says so; nothing else happens.
        withRecord { buffer.append($0) }
        #expect(metrics.values().dropped == 1)
    }

    @Test func stuckOutputDropsAndCountsInsteadOfWaiting() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        // A pipe nobody reads: its writer blocks in poll(2) for ever.
        let path = directory + "/pipe"
        #expect(mkfifo(path, 0o600) == 0)
        let reader = open(path, O_RDONLY | O_NONBLOCK)
        defer { close(reader) }
        let keeper = open(path, O_WRONLY | O_NONBLOCK)
        let filler = [UInt8](repeating: 0, count: 1 << 20)
        while write(keeper, filler, filler.count) > 0 {}
        close(keeper)
        let log = try AccessLog(
            .file(path: path), format: .json, metrics: metrics, warnings: Log(level: .error), buffers: 2)
        let buffer = log.makeBuffer()
        let total = 3000
        for _ in 0..<total { withRecord { buffer.append($0) } }
        let values = metrics.values()
        #expect(values.dropped > 0)
        #expect(values.written == 0)
        // Each line is at least 300 bytes, so two buffers cannot hold more than this.
        #expect(values.dropped > UInt64(total - 2 * AccessLog.bufferBytes / 300))
        // Let the writer go: the reader leaves, the write fails.
        #expect(!log.close(deadlineMs: 1))
    }

    @Test func failedWritesAreCountedAndTheNextBufferIsTriedAgain() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let log = try AccessLog(
            .file(path: "/dev/full"), format: .text, metrics: metrics, warnings: Log(level: .error))
        let buffer = log.makeBuffer()
        for _ in 0..<2 {
            withRecord { buffer.append($0) }
            buffer.flush()
        }
        #expect(log.close(deadlineMs: 20_000))
        #expect(metrics.values() == AccessLogValues(written: 0, dropped: 2, writeErrors: 2))
    }

    @Test func reopenFollowsARotation() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = directory + "/access.log"
        let log = try AccessLog(
            .file(path: path), format: .text, metrics: metrics, warnings: Log(level: .error))
        let buffer = log.makeBuffer()
        withRecord { buffer.append($0) }
        buffer.flush()
        while metrics.values().written == 0 { sched_yield() }
        #expect(rename(path, path + ".1") == 0)
        log.reopen()
        withRecord { buffer.append($0) }
        withRecord { buffer.append($0) }
        buffer.flush()
        #expect(log.close(deadlineMs: 20_000))
        #expect(lines(path + ".1").count == 1)
        #expect(lines(path).count == 2)
    }

    @Test func aMissingDirectoryIsAnErrorWithItsPath() {
        let path = directory + "/none/access.log"
        #expect(throws: LogOpenError(path: path, errno: ENOENT)) {
            try AccessLog(.file(path: path), format: .text, metrics: metrics, warnings: Log(level: .error))
        }
        try? FileManager.default.removeItem(atPath: directory)
    }
}
