// One record as one line: JSON for machines, key=value text for eyes.
//
// Everything from the wire is untrusted: a line never holds a raw control character or an unescaped
// quote, so a request cannot forge a second line or move a terminal's cursor. Long values are cut
// (Limits), so a line has a maximum length and always fits an empty buffer.
//
// JSON: one object per line, members always in this order, absent ones left out:
//   time (RFC 3339, UTC, microseconds) · id · listener · worker · client · client_port ·
//   client_certificate_subject, …_san, …_fingerprint, …_serial (only with one) · protocol ·
//   server_name (only for TCP) · method · scheme · host · target · status (0: none sent) · route · service · endpoint · attempts · reused ·
//   phase and reason, side, errno, position, detail, limit (only for failures) · bytes_in · bytes_out ·
//   datagrams_in · datagrams_out (only for UDP) · total_us · first_byte_us · connect_us · queue_us · user_agent · referer
// Bytes that are not UTF-8 are read as Latin-1, as RFC 9110 §5.5 has it for old field values: 0xE9
// becomes \u00e9. Nothing is lost, and the line is always valid JSON.
//
// Text: time, client, "method host target protocol", status, then key=value:
//   2026-11-21T04:30:00.123456Z 192.0.2.7:51234 "GET example.com /a?b HTTP/1.1" 200 in=120 out=4096
//   total=1.234ms first-byte=1.100ms connect=0.200ms queue=0.000ms route=api service=api
//   endpoint=10.0.0.1:80 attempts=1 reused=yes scheme=https listener=web worker=0 id=… agent="…" referer="…"
// for failures: phase=forward reason=connect-refused errno=111; with a certificate of the client:
// certificate="…" san="…" fingerprint="…" serial="…"; for TCP with a server name: server-name="…". Bytes outside printable ASCII,
// quotes and backslashes appear as \xHH.

import WeirHTTPModel
import Reactor
import WeirResilience

/// How access log lines look.
public enum AccessLogFormat: Sendable, Equatable, CaseIterable {
    case json, text
}

/// Where long values are cut, bytes of input.
enum AccessLogLimits {
    static var method: Int { 32 }
    static var host: Int { 255 }
    static var target: Int { 4096 }
    static var userAgent: Int { 512 }
    static var referer: Int { 1024 }
    static var serverName: Int { 255 }
    static var certificateSubject: Int { 512 }
    static var certificateSAN: Int { 1024 }
    /// Fingerprint, serial.
    static var certificateNumber: Int { 64 }
    /// Names from the configuration.
    static var name: Int { 255 }
    /// Six bytes for one at worst, and the fixed parts: below AccessLog.bufferBytes.
    static var lineBytesMax: Int {
        6 * (32 + 255 + 4096 + 512 + 1024 + 255 + 512 + 1024 + 2 * 64 + 4 * 255) + 1536
    }
}

/// Writes records as lines. Holds the text of the last second, so that most lines do no calendar
/// arithmetic.
struct AccessLogLine {
    private var clock = TimestampText()

    /// Writes one line with its line feed. The caller looks at `writer.overflowed`.
    mutating func write(_ r: borrowing RequestRecord, _ format: AccessLogFormat, to writer: inout ByteWriter)
    {
        switch format {
        case .json: writeJSON(r, to: &writer)
        case .text: writeText(r, to: &writer)
        }
    }

    private mutating func writeJSON(_ r: borrowing RequestRecord, to w: inout ByteWriter) {
        w.append("{\"time\":\"")
        clock.write(us: r.startUs, to: &w)
        w.append("\"")
        if r.id != .none {
            w.append(",\"id\":\"")
            Self.append(id: r.id, to: &w)
            w.append("\"")
        }
        Self.member(",\"listener\":\"", r.listener, AccessLogLimits.name, &w)
        Self.number(",\"worker\":", UInt64(r.worker), &w)
        w.append(",\"client\":\"")
        Self.append(address: r.clientIP, to: &w)
        w.append("\"")
        Self.number(",\"client_port\":", UInt64(r.clientPort), &w)
        if !r.certificateFingerprint.isEmpty { Self.certificate(r, &w) }
        w.append(",\"protocol\":\"")
        w.append(r.proto)
        w.append("\"")
        Self.member(",\"server_name\":\"", r.serverName, AccessLogLimits.serverName, &w)
        Self.member(",\"method\":\"", r.method, AccessLogLimits.method, &w)
        if r.scheme.utf8CodeUnitCount > 0 {
            w.append(",\"scheme\":\"")
            w.append(r.scheme)
            w.append("\"")
        }
        Self.member(",\"host\":\"", r.host, AccessLogLimits.host, &w)
        Self.member(",\"target\":\"", r.target, AccessLogLimits.target, &w)
        Self.number(",\"status\":", UInt64(r.status), &w)
        Self.member(",\"route\":\"", r.route, AccessLogLimits.name, &w)
        Self.member(",\"service\":\"", r.service, AccessLogLimits.name, &w)
        Self.member(",\"endpoint\":\"", r.endpoint, AccessLogLimits.name, &w)
        Self.number(",\"attempts\":", UInt64(r.attempts), &w)
        if r.attempts > 0 {
            w.append(",\"reused\":")
            w.append(r.connectionReused ? "true" : "false")
        }
        let failure = r.failure
        if failure.reason != .none {
            w.append(",\"phase\":\"")
            w.append(failure.phase.name)
            w.append("\",\"reason\":\"")
            w.append(failure.reason.name)
            w.append("\",\"side\":\"")
            w.append(failure.reason.side.name)
            w.append("\"")
            if failure.errno > 0 { Self.number(",\"errno\":", UInt64(failure.errno), &w) }
            if failure.position >= 0 { Self.number(",\"position\":", UInt64(failure.position), &w) }
            if failure.detail != .none { Self.number(",\"detail\":", UInt64(failure.detail.number), &w) }
            if r.limit > 0 { Self.number(",\"limit\":", r.limit, &w) }
        }
        Self.number(",\"bytes_in\":", r.bytesIn, &w)
        Self.number(",\"bytes_out\":", r.bytesOut, &w)
        if r.datagramsIn > 0 {
            Self.number(",\"datagrams_in\":", r.datagramsIn, &w)
            Self.number(",\"datagrams_out\":", r.datagramsOut, &w)
        }
        Self.number(",\"total_us\":", r.totalUs, &w)
        if r.firstByteUs != 0 { Self.number(",\"first_byte_us\":", r.firstByteUs, &w) }
        if r.connectUs != 0 { Self.number(",\"connect_us\":", r.connectUs, &w) }
        if r.queueUs != 0 { Self.number(",\"queue_us\":", r.queueUs, &w) }
        Self.member(",\"user_agent\":\"", r.userAgent, AccessLogLimits.userAgent, &w)
        Self.member(",\"referer\":\"", r.referer, AccessLogLimits.referer, &w)
        w.append("}\n")
    }

    private static func certificate(_ r: borrowing RequestRecord, _ w: inout ByteWriter) {
        let number = AccessLogLimits.certificateNumber
        member(
            ",\"client_certificate_subject\":\"", r.certificateSubject, AccessLogLimits.certificateSubject, &w
        )
        member(",\"client_certificate_san\":\"", r.certificateSAN, AccessLogLimits.certificateSAN, &w)
        member(",\"client_certificate_fingerprint\":\"", r.certificateFingerprint, number, &w)
        member(",\"client_certificate_serial\":\"", r.certificateSerial, number, &w)
    }

    private mutating func writeText(_ r: borrowing RequestRecord, to w: inout ByteWriter) {
        clock.write(us: r.startUs, to: &w)
        w.append(" ")
        if r.clientIP == .unix {
            w.append(IPAddress.unixText)
        } else {
            if !r.clientIP.isV4 { w.append("[") }
            Self.append(address: r.clientIP, to: &w)
            if !r.clientIP.isV4 { w.append("]") }
            Self.number(":", UInt64(r.clientPort), &w)
        }
        w.append(" \"")
        Self.part(r.method, AccessLogLimits.method, &w)
        Self.part(r.host, AccessLogLimits.host, &w)
        Self.part(r.target, AccessLogLimits.target, &w)
        w.append(r.proto)
        Self.number("\" ", UInt64(r.status), &w)
        Self.number(" in=", r.bytesIn, &w)
        Self.number(" out=", r.bytesOut, &w)
        if r.datagramsIn > 0 {
            Self.number(" datagrams-in=", r.datagramsIn, &w)
            Self.number(" datagrams-out=", r.datagramsOut, &w)
        }
        Self.milliseconds(" total=", r.totalUs, &w)
        Self.milliseconds(" first-byte=", r.firstByteUs, &w)
        Self.milliseconds(" connect=", r.connectUs, &w)
        Self.milliseconds(" queue=", r.queueUs, &w)
        Self.word(" route=", r.route, &w)
        Self.word(" service=", r.service, &w)
        Self.word(" endpoint=", r.endpoint, &w)
        Self.number(" attempts=", UInt64(r.attempts), &w)
        w.append(r.connectionReused ? " reused=yes" : " reused=no")
        if r.scheme.utf8CodeUnitCount > 0 {
            w.append(" scheme=")
            w.append(r.scheme)
        }
        Self.word(" listener=", r.listener, &w)
        Self.number(" worker=", UInt64(r.worker), &w)
        if r.failure.reason != .none {
            w.append(" phase=")
            w.append(r.failure.phase.name)
            w.append(" reason=")
            w.append(r.failure.reason.name)
            if r.failure.errno > 0 { Self.number(" errno=", UInt64(r.failure.errno), &w) }
            if r.failure.position >= 0 { Self.number(" position=", UInt64(r.failure.position), &w) }
            if r.failure.detail != .none { Self.number(" detail=", UInt64(r.failure.detail.number), &w) }
            if r.limit > 0 { Self.number(" limit=", r.limit, &w) }
        }
        if r.id != .none {
            w.append(" id=")
            Self.append(id: r.id, to: &w)
        }
        Self.quoted(" server-name=\"", r.serverName, AccessLogLimits.serverName, &w)
        if !r.certificateFingerprint.isEmpty {
            let number = AccessLogLimits.certificateNumber
            Self.quoted(
                " certificate=\"", r.certificateSubject, AccessLogLimits.certificateSubject, &w)
            Self.quoted(" san=\"", r.certificateSAN, AccessLogLimits.certificateSAN, &w)
            Self.quoted(" fingerprint=\"", r.certificateFingerprint, number, &w)
            Self.quoted(" serial=\"", r.certificateSerial, number, &w)
        }
        Self.quoted(" agent=\"", r.userAgent, AccessLogLimits.userAgent, &w)
        Self.quoted(" referer=\"", r.referer, AccessLogLimits.referer, &w)
        w.append("\n")
    }

    private static func member(
        _ key: StaticString, _ value: RequestRecord.Bytes, _ limit: Int, _ w: inout ByteWriter
    ) {
        if value.isEmpty { return }
        w.append(key)
        w.append(jsonEscaped: value, limit: limit)
        w.append("\"")
    }

    private static func quoted(
        _ key: StaticString, _ value: RequestRecord.Bytes, _ limit: Int, _ w: inout ByteWriter
    ) {
        if value.isEmpty { return }
        w.append(key)
        w.append(textEscaped: value, limit: limit)
        w.append("\"")
    }

    private static func part(_ value: RequestRecord.Bytes, _ limit: Int, _ w: inout ByteWriter) {
        if value.isEmpty { w.append("-") }
        w.append(textEscaped: value, limit: limit)
        w.append(" ")
    }

    private static func word(_ key: StaticString, _ value: RequestRecord.Bytes, _ w: inout ByteWriter) {
        w.append(key)
        if value.isEmpty { w.append("-") }
        w.append(textEscaped: value, limit: AccessLogLimits.name)
    }

    private static func number(_ key: StaticString, _ value: UInt64, _ w: inout ByteWriter) {
        w.append(key)
        w.append(decimal: value)
    }

    private static func milliseconds(_ key: StaticString, _ us: UInt64, _ w: inout ByteWriter) {
        number(key, us / 1000, &w)
        w.append(".")
        w.append(decimal: us % 1000, digits: 3)
        w.append("ms")
    }

    private static func append(id: RequestID, to w: inout ByteWriter) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { text in
            guard let start = text.baseAddress else { return }
            w.append(start, id.write(to: start))
        }
    }

    private static func append(address: IPAddress, to w: inout ByteWriter) {
        if address == .unspecified { return w.append("-") }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: IPAddress.textBytesMax) { text in
            guard let start = text.baseAddress else { return }
            w.append(start, address.write(to: start))
        }
    }
}
