// Records of a simulated worker's access log.

import Glibc

struct Record {
    let line: String
    let number: Int
    let status: Int
    let reason: String
    let attempts: Int
    let totalUs: Int

    static func all(in bytes: [UInt8]) -> [Record] {
        String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { Record(String($0)) }
    }

    private init(_ line: String) {
        self.line = line
        number = Int(Self.value("\"target\":\"/", in: line)) ?? -1
        status = Int(Self.value("\"status\":", in: line)) ?? -1
        reason = Self.value("\"reason\":\"", in: line)
        attempts = Int(Self.value("\"attempts\":", in: line)) ?? -1
        totalUs = Int(Self.value("\"total_us\":", in: line)) ?? -1
    }

    /// What stands behind a member's name, up to the next `"`, `,` or `}`.
    private static func value(_ name: String, in line: String) -> String {
        line.withCString { text in
            guard let found = strstr(text, name) else { return "" }
            let start = found + name.utf8.count
            let count = strcspn(start, "\",}?")
            return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
        }
    }
}
