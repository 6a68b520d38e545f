// CertificateReport for eyes and for scripts: what `weir cert` prints.

import Configuration
import Control
import WeirJSON
import TLS

extension CertificateReport {
    /// Aligned text, without the problems. Empty names are those of certificates without any.
    public func text() -> String {
        if rows.isEmpty { return isOk ? "\(file): no listener has a certificate\n" : "" }
        return TextTable.render(
            ["LISTENER", "CERTIFICATE", "STATE", "EXPIRES", "DAYS", "KEY", "CHAIN", "OCSP", "NAMES"],
            rows.map { row in
                [
                    row.listener, row.path, row.state.rawValue + (row.isDefault ? " (default)" : ""),
                    "\(CalendarDay(row.info.notAfter))", String(row.daysLeft),
                    "\(row.info.keyKind.rawValue) \(row.info.keyBits)", row.info.chain.rawValue,
                    row.staple?.text ?? "-", row.info.subjectAltNames.joined(separator: " "),
                ]
            })
    }

    /// {"file", "ok", "certificates": […], "problems": […]}.
    public func json() -> [UInt8] {
        var json = JSONWriter()
        json.object {
            $0.member("file", file)
            $0.member("ok", isOk)
            $0.member("certificates", rows) { json, row in
                json.object {
                    $0.member("listener", row.listener)
                    $0.member("path", row.path)
                    $0.member("state", row.state.rawValue)
                    $0.member("default", row.isDefault)
                    $0.member("subject", row.info.subject)
                    $0.member("issuer", row.info.issuer)
                    $0.member("serial", row.info.serial)
                    $0.member("names", row.info.subjectAltNames) { $0.value($1) }
                    $0.member("not-before", row.info.notBefore)
                    $0.member("not-after", row.info.notAfter)
                    $0.member("days-left", row.daysLeft)
                    $0.member("key", row.info.keyKind.rawValue)
                    $0.member("key-bits", row.info.keyBits)
                    $0.member("chain", row.info.chain.rawValue)
                    $0.member("sha256", row.info.fingerprintText)
                    if let staple = row.staple {
                        $0.key("ocsp")
                        staple.write(&$0)
                    }
                }
            }
            $0.member("problems", problems) { $0.value($1.description) }
        }
        return json.bytes
    }
}

extension CertificateReport.Staple {
    /// One cell: "good until 2026-11-28", "asks http://ocsp.example/".
    var text: String {
        switch self {
        case .file(let answer, let isExpired):
            "\(isExpired ? "expired" : answer.word) \(isExpired ? "on" : "until") \(CalendarDay(answer.expiresSeconds))"
        case .responder(let url): "asks \(url)"
        case .obstacle(.noResponder): "no responder"
        case .obstacle(.noIssuer): "no issuer"
        }
    }

    func write(_ json: inout JSONWriter) {
        json.object {
            switch self {
            case .file(let answer, let isExpired):
                $0.member("status", isExpired ? "expired" : answer.word)
                $0.member("this-update", answer.thisUpdate)
                $0.member("next-update", answer.nextUpdate ?? answer.expiresSeconds)
            case .responder(let url): $0.member("responder", url)
            case .obstacle(let obstacle): $0.member("problem", obstacle.description)
            }
        }
    }
}
