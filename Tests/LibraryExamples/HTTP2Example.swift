// WeirHTTP2: what its page shows.

import WeirHTTP2

enum HTTP2Example {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        // A peer may reset twenty streams at once, and ten a second from there on.
        var resets = TokenBucket(burst: 20, perSecond: 10)
        var allowed = 0
        while resets.take(nowMs: 0) { allowed += 1 }
        print("\(allowed) at once")
        print("\(resets.take(nowMs: 50)) after 50 ms, \(resets.take(nowMs: 100)) after 100 ms")
        // …to here.
    }
}
