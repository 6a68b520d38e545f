// The record: one value per request or L4 connection, from which metrics and the log line are made.
//
// Plain data on the worker's stack. The byte pointers are only valid while the record is handed over;
// nothing here keeps them. No strings are made.

import Reactor
import WeirResilience

/// 128 bits that name a request in logs and in responses. Zero means "none".
public struct RequestID: Sendable, Equatable, BitwiseCopyable {
    public var high: UInt64
    public var low: UInt64

    @inlinable
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public static let none = RequestID(high: 0, low: 0)

    /// Number of hexadecimal digits `write` produces: 32, or 16 when the high half is zero.
    @inlinable public var textByteCount: Int { high == 0 ? 16 : 32 }

    /// Writes the id as lower-case hexadecimal digits, 32 or (high half zero) 16 of them; returns how
    /// many. The memory must have room for 32 bytes.
    @discardableResult
    public func write(to text: UnsafeMutablePointer<UInt8>) -> Int {
        if high == 0 {
            Self.write(low, text)
            return 16
        }
        Self.write(high, text)
        Self.write(low, text + 16)
        return 32
    }

    private static func write(_ value: UInt64, _ text: UnsafeMutablePointer<UInt8>) {
        var i = 0
        while i < 16 {
            let nibble = UInt8(truncatingIfNeeded: value >> UInt64(60 &- 4 &* i)) & 15
            text[i] = nibble < 10 ? 48 &+ nibble : 87 &+ nibble
            i &+= 1
        }
    }
}

/// What one request (or L4 connection, or UDP session) was and how it ended. Built by the phase `record`.
public struct RequestRecord: BitwiseCopyable {
    public typealias Bytes = UnsafeBufferPointer<UInt8>

    /// Wall clock when the first byte came, microseconds since 1970-01-01T00:00:00Z.
    public var startUs: UInt64 = 0
    /// Until the last byte of the response was handed to the kernel, microseconds.
    public var totalUs: UInt64 = 0
    /// Until the response head came from the endpoint, microseconds; 0 when none came.
    public var firstByteUs: UInt64 = 0
    /// Time spent connecting, all attempts, microseconds; 0 when a pooled connection was used.
    public var connectUs: UInt64 = 0
    /// Time spent waiting for a connection slot or held back, microseconds.
    public var queueUs: UInt64 = 0
    /// Bytes from the client, heads and framing included.
    public var bytesIn: UInt64 = 0
    /// Bytes to the client, heads and framing included.
    public var bytesOut: UInt64 = 0

    /// Empty for L4 connections and for requests whose head could not be read.
    public var method = Bytes(start: nil, count: 0)
    /// "http" or "https", as the client asked; empty where there is no method.
    public var scheme: StaticString = ""
    public var host = Bytes(start: nil, count: 0)
    /// Path and query as received.
    public var target = Bytes(start: nil, count: 0)
    /// Datagrams of a UDP session from the client and to it; 0 for everything else.
    public var datagramsIn: UInt64 = 0
    public var datagramsOut: UInt64 = 0

    /// "HTTP/1.1", "HTTP/1.0", "tcp" or "udp".
    public var proto: StaticString = "HTTP/1.1"
    public var userAgent = Bytes(start: nil, count: 0)
    public var referer = Bytes(start: nil, count: 0)

    /// The server name (SNI) of an L4 connection; empty when there was none.
    public var serverName = Bytes(start: nil, count: 0)
    /// What the client's certificate says, as templates have it; empty without one.
    public var certificateSubject = Bytes(start: nil, count: 0)
    public var certificateSAN = Bytes(start: nil, count: 0)
    public var certificateFingerprint = Bytes(start: nil, count: 0)
    public var certificateSerial = Bytes(start: nil, count: 0)

    /// Names from the configuration; empty when the request did not come that far.
    public var listener = Bytes(start: nil, count: 0)
    public var route = Bytes(start: nil, count: 0)
    public var service = Bytes(start: nil, count: 0)
    /// The last endpoint tried.
    public var endpoint = Bytes(start: nil, count: 0)

    public var id = RequestID.none
    public var clientIP = IPAddress.unspecified
    public var clientPort: UInt16 = 0
    /// Status sent to the client; 0 when no response was sent.
    public var status: UInt16 = 0
    public var failure = Failure.none
    /// The configured bound that the request's body went beyond, bytes; 0 when it did not.
    public var limit: UInt64 = 0
    /// Endpoints tried, 0 when none was.
    public var attempts: UInt8 = 0
    /// The last attempt went over a pooled connection.
    public var connectionReused = false
    public var worker: UInt16 = 0

    public init() {}
}
