// WeirGRPC: what its page shows.

import WeirGRPC

enum GRPCExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        if let timeout = GRPCTimeout("250m") {
            print("\(timeout.nanoseconds / 1_000_000) ms")
            // What is left goes on to the next hop.
            print(timeout.remaining(afterNs: 50_000_000).text)
        }
        print("\(GRPCStatus(httpStatus: 503).name)")
        // …to here.
    }
}
