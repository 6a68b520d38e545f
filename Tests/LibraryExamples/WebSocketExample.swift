// WeirWebSocket: what its page shows.

import WeirWebSocket

enum WebSocketExample {
    static func run(_ print: (String) -> Void) {
        // The page quotes from here…
        var frames = FrameFollower()
        // The head and half of a text frame, as one read may bring them.
        frames.passed([0x81, 0x04, 0x77, 0x65])
        print("between two frames: \(frames.isAtBoundary)")
        frames.passed([0x69, 0x72])
        print("between two frames: \(frames.isAtBoundary)")
        // …to here.
    }
}
