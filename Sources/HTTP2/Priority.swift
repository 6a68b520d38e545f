// The `priority` field and the payload of PRIORITY_UPDATE frames (RFC 9218 §4): a dictionary of which
// two members mean something, u (urgency 0…7, default 3) and i (incremental, default false). What
// cannot be understood counts as absent, as the standard asks for (§4): it is a wish, not framing.

struct StreamPriority: Equatable {
    var urgency: UInt8 = 3
    var isIncremental = false

    init() {}

    init(_ bytes: UnsafePointer<UInt8>, count: Int) {
        var at = 0
        while at < count {
            while at < count, bytes[at] == UInt8(ascii: " ") || bytes[at] == UInt8(ascii: "\t") { at &+= 1 }
            let start = at
            while at < count, bytes[at] != UInt8(ascii: ",") { at &+= 1 }
            var end = start
            // Parameters of a member say nothing.
            while end < at, bytes[end] != UInt8(ascii: ";"), bytes[end] != UInt8(ascii: " "),
                bytes[end] != UInt8(ascii: "\t")
            {
                end &+= 1
            }
            member(bytes + start, end &- start)
            at &+= 1
        }
    }

    private mutating func member(_ text: UnsafePointer<UInt8>, _ count: Int) {
        if count == 3, text[0] == UInt8(ascii: "u"), text[1] == UInt8(ascii: "=") {
            let digit = text[2] &- UInt8(ascii: "0")
            if digit <= 7 { urgency = digit }
        } else if count >= 1, text[0] == UInt8(ascii: "i") {
            if count == 1 {
                isIncremental = true
            } else if count == 4, text[1] == UInt8(ascii: "="), text[2] == UInt8(ascii: "?") {
                if text[3] == UInt8(ascii: "1") { isIncremental = true }
                if text[3] == UInt8(ascii: "0") { isIncremental = false }
            }
        }
    }
}
