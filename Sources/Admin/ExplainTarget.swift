// The question of `weir explain` in the query of /api/v1/explain, both ways.
//
//   /api/v1/explain?method=GET&url=…&header=Name:%20value&client=IP&format=text
//
// Values are percent-encoded (RFC 3986 §2.1); "+" is a plus sign, not a space. `header` may be repeated.

import Control
import WeirHTTPModel
import Reactor

enum ExplainTarget {
    static let path = "/api/v1/explain"

    static func target(_ question: ExplainQuestion, _ format: OutputFormat) -> String {
        var pairs = [
            "method=\(encode(question.method))", "url=\(encode(question.url))",
            "client=\(encode("\(question.client)"))",
            "format=\(format.rawValue)",
        ]
        for header in question.headers { pairs.append("header=\(encode("\(header.name): \(header.value)"))") }
        return path + "?" + pairs.joined(separator: "&")
    }

    /// The question, or what is wrong with it in words.
    static func question(_ query: String) -> Result<ExplainQuestion, ExplainTargetError> {
        var question = ExplainQuestion(method: "GET", url: "")
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0]
            guard let value = decode(parts.count == 2 ? parts[1] : "") else {
                return .failure(ExplainTargetError(text: "'\(pair)' is not percent-encoded"))
            }
            // These would end the request line or a field and begin something else.
            guard !value.utf8.contains(where: { $0 == 0 || $0 == 10 || $0 == 13 }) else {
                return .failure(ExplainTargetError(text: "\(name) has a line end or NUL in it"))
            }
            switch name {
            case "method": question.method = value
            case "url": question.url = value
            case "client":
                guard let address = IPAddress(client: value) else {
                    return .failure(ExplainTargetError(text: "client: expected an IP address"))
                }
                question.client = address
            case "header":
                guard let colon = value.firstIndex(of: ":") else {
                    return .failure(ExplainTargetError(text: "header: expected 'Name: value'"))
                }
                let text = value[value.index(after: colon)...].drop { $0 == " " }
                question.headers.append(.init(name: String(value[..<colon]), value: String(text)))
            case "format": break
            default: return .failure(ExplainTargetError(text: "there is no parameter '\(name)'"))
            }
        }
        guard !question.url.isEmpty else { return .failure(ExplainTargetError(text: "url is missing")) }
        return .success(question)
    }

    static func encode(_ text: String) -> String {
        var out = ""
        for byte in text.utf8 {
            if byte &- 48 < 10 || (byte | 0x20) &- 97 < 26 || "-._~".utf8.contains(byte) {
                out.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                out += byte < 16 ? "%0" : "%"
                out += String(byte, radix: 16, uppercase: true)
            }
        }
        return out
    }

    static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                return nil
            }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }
}

struct ExplainTargetError: Error, Equatable {
    let text: String
}
