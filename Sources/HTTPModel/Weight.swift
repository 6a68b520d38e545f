// Weights in the Accept fields, and the little grammar they stand in (RFC 9110 §12.4.2).
//
//     weight = OWS ";" OWS "q=" qvalue      qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3"0" ] )
//
// Each reader moves a cursor over one field value; nil is what is not well-formed.

enum Weight {
    /// What somebody says about nothing in particular.
    static let full: UInt16 = 1000

    /// A qvalue in parts per thousand; the cursor stands behind "q=".
    static func value(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int) -> UInt16? {
        guard cursor < count, bytes[cursor] &- 48 < 2 else { return nil }
        var weight = UInt16(bytes[cursor] &- 48) * full
        cursor += 1
        if cursor < count, bytes[cursor] == UInt8(ascii: ".") {
            cursor += 1
            var unit: UInt16 = 100
            while cursor < count, bytes[cursor] &- 48 < 10 {
                guard unit > 0 else { return nil }
                weight += unit * UInt16(bytes[cursor] &- 48)
                unit /= 10
                cursor += 1
            }
        }
        return weight <= full ? weight : nil
    }

    static func skipSpace(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int) {
        while cursor < count, isSpace(bytes[cursor]) { cursor += 1 }
    }

    /// The length of the token at the cursor, which moves behind it.
    static func skipToken(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int) -> Int {
        let start = cursor
        while cursor < count, isToken(bytes[cursor]) { cursor += 1 }
        return cursor - start
    }

    static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// tchar of RFC 9110 §5.6.2.
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"):
            true
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default:
            false
        }
    }
}
