// WeirJSON: what its page shows.

import WeirJSON

enum JSONExample {
    static func run(_ print: (String) -> Void) throws {
        // The page quotes from here…
        let value = try JSONValue(Array(#"{"name": "weir", "ports": [80, 443]}"#.utf8))
        print(value["name"]?.string ?? "none")
        print("\(value["ports"]?.array?.compactMap(\.int64) ?? [])")
        var writer = JSONWriter()
        writer.object {
            $0.member("ok", true)
            $0.member("text", "a \"quoted\" line\n")
        }
        print(String(decoding: writer.bytes, as: UTF8.self))
        // A name that stands twice means one thing to some and another to others.
        do {
            _ = try JSONValue(Array(#"{"role": "user", "role": "admin"}"#.utf8))
        } catch {
            print("\(error.violation) at byte \(error.offset)")
        }
        // …to here.
    }
}
