// WeirHTTPModel: what its page shows.

import WeirHTTPModel

enum HTTPModelExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        print(HTTPDate.text(secondsSinceEpoch: 784_111_777))
        let date = HTTPDate.parse("Sunday, 06-Nov-94 08:49:37 GMT", nowSecondsSinceEpoch: 784_111_777)
        print("\(date ?? 0)")
        let accepted = AcceptedCodings(lines: ["gzip;q=0.5, br", "zstd;q=0"])
        print("\(accepted.choice(among: CodingOrder([.zstd, .br, .gzip])).map { "\($0.name)" } ?? "none")")
        // …to here.
    }
}
