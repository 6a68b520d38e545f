// grpc-timeout: how long a client still waits ("gRPC over HTTP2", Timeout).
//
//     Timeout = 1*8DIGIT ("H" / "M" / "S" / "m" / "u" / "n")
//
// The value is a duration from when the request was sent; every hop passes on what is left. Units are
// case-sensitive: "m" is milliseconds, "M" minutes.

import WeirHTTPModel

/// A request's deadline as a duration.
public struct GRPCTimeout: Equatable, Sendable, BitwiseCopyable {
    /// The most bytes a value has.
    public static let textBytesMax = 9

    /// Nanoseconds; 99999999H, 11,415 years, stops at UInt64.max.
    public let nanoseconds: UInt64

    public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// The timeout a field value says; nil when it is malformed. A malformed deadline is not a missing one:
    /// it goes on as it came, for the endpoint to refuse.
    public init?(_ value: UnsafeBufferPointer<UInt8>) {
        guard (2...Self.textBytesMax).contains(value.count) else { return nil }
        var amount: UInt64 = 0
        for byte in value.dropLast() {
            guard byte &- 48 < 10 else { return nil }
            amount = amount * 10 + UInt64(byte - 48)
        }
        guard let unit = Self.unit(value[value.count - 1]) else { return nil }
        let (product, isOver) = amount.multipliedReportingOverflow(by: unit)
        nanoseconds = isOver ? .max : product
    }

    /// What is left after some time has passed; 0 when nothing is.
    public func remaining(afterNs elapsed: UInt64) -> GRPCTimeout {
        GRPCTimeout(nanoseconds: nanoseconds == .max ? .max : nanoseconds &- min(elapsed, nanoseconds))
    }

    /// Writes the value in the finest unit that fits into eight digits. Rounded down, so that no hop waits
    /// longer than the one before; but what is not over is at least one nanosecond.
    public func write(_ writer: inout ByteWriter) {
        // "n", "u", "m" and "S" are a thousand apart.
        var amount = nanoseconds
        for letter in 0..<4 {
            if amount <= Self.amountMax {
                let letters: StaticString = "numS"
                write(amount, letters.utf8Start[letter], &writer)
                return
            }
            if letter < 3 { amount /= 1_000 }
        }
        let minutes = amount / 60
        if minutes <= Self.amountMax {
            write(minutes, UInt8(ascii: "M"), &writer)
        } else {
            write(minutes / 60, UInt8(ascii: "H"), &writer)
        }
    }

    private static let amountMax: UInt64 = 99_999_999

    private func write(_ amount: UInt64, _ letter: UInt8, _ writer: inout ByteWriter) {
        writer.append(decimal: amount)
        writer.append(letter)
    }

    private static func unit(_ letter: UInt8) -> UInt64? {
        switch letter {
        case UInt8(ascii: "n"): 1
        case UInt8(ascii: "u"): 1_000
        case UInt8(ascii: "m"): 1_000_000
        case UInt8(ascii: "S"): 1_000_000_000
        case UInt8(ascii: "M"): 60_000_000_000
        case UInt8(ascii: "H"): 3_600_000_000_000
        default: nil
        }
    }
}
