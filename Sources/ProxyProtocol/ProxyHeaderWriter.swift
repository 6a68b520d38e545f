// Writing a PROXY header in front of a connection to an endpoint.
//
// No TLVs are written. IPv4 pairs go out as TCP4, anything else as TCP6 with IPv4 in its mapped form,
// so a dual-stack listener with an IPv4 client is told truthfully to the endpoint.

import Glibc
import WeirAddresses

extension ProxyHeader {
    /// Writes the header in its `version` into the caller's memory.
    ///
    /// - Parameters:
    ///   - buffer: room for the header; `writtenBytesMax` (107) bytes always suffice.
    ///   - capacity: the room in bytes.
    /// - Returns: the bytes written, or nil when the room does not suffice (nothing usable written).
    public func write(to buffer: UnsafeMutablePointer<UInt8>, capacity: Int) -> Int? {
        version == 1 ? writeV1(buffer, capacity) : writeV2(buffer, capacity)
    }

    /// Both addresses fit a four-byte family.
    private var isV4: Bool { source.isV4 && destination.isV4 }

    private func writeV1(_ buffer: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int? {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.v1BytesMax + IPAddress.textBytesMax) {
            room in
            guard let line = room.baseAddress else { return nil }
            var count = 0
            // A datagram header does not exist in version 1.
            if command == .proxy, family == .ip, !isDatagram {
                Self.append(isV4 ? "PROXY TCP4 " : "PROXY TCP6 ", line, &count)
                append(source, line, &count)
                Self.append(" ", line, &count)
                append(destination, line, &count)
                Self.append(" ", line, &count)
                Self.append(sourcePort, line, &count)
                Self.append(" ", line, &count)
                Self.append(destinationPort, line, &count)
                Self.append("\r\n", line, &count)
            } else {
                Self.append("PROXY UNKNOWN\r\n", line, &count)
            }
            guard count <= capacity else { return nil }
            memcpy(buffer, line, count)
            return count
        }
    }

    private func append(_ address: IPAddress, _ line: UnsafeMutablePointer<UInt8>, _ count: inout Int) {
        if address.isV4, !isV4 { Self.append("::ffff:", line, &count) }
        count += address.write(to: line + count)
    }

    private static func append(
        _ literal: StaticString, _ line: UnsafeMutablePointer<UInt8>, _ count: inout Int
    ) {
        memcpy(line + count, literal.utf8Start, literal.utf8CodeUnitCount)
        count += literal.utf8CodeUnitCount
    }

    private static func append(_ port: UInt16, _ line: UnsafeMutablePointer<UInt8>, _ count: inout Int) {
        var divisor: UInt16 = 10000
        while divisor > 1, port < divisor { divisor /= 10 }
        while divisor > 0 {
            line[count] = 48 + UInt8(port / divisor % 10)
            count += 1
            divisor /= 10
        }
    }

    private func writeV2(_ buffer: UnsafeMutablePointer<UInt8>, _ capacity: Int) -> Int? {
        let hasAddresses = command == .proxy && family == .ip
        let addressBytes = !hasAddresses ? 0 : isV4 ? 12 : 36
        guard capacity >= 16 + addressBytes else { return nil }
        memcpy(buffer, Self.signature.utf8Start, 12)
        // Without addresses to tell, the command is LOCAL: the receiver uses the socket's own.
        buffer[12] = hasAddresses ? 0x21 : 0x20
        buffer[13] = hasAddresses ? (isV4 ? 0x10 : 0x20) | (isDatagram ? 2 : 1) : 0
        buffer[14] = 0
        buffer[15] = UInt8(addressBytes)
        guard hasAddresses else { return 16 }
        let block = UnsafeMutableRawPointer(buffer + 16)
        if isV4 {
            store(UInt32(truncatingIfNeeded: source.low), block)
            store(UInt32(truncatingIfNeeded: destination.low), block + 4)
        } else {
            store(source.high, block)
            store(source.low, block + 8)
            store(destination.high, block + 16)
            store(destination.low, block + 24)
        }
        store(sourcePort, block + (addressBytes - 4))
        store(destinationPort, block + (addressBytes - 2))
        return 16 + addressBytes
    }

    private func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, _ at: UnsafeMutableRawPointer) {
        at.storeBytes(of: value.bigEndian, as: T.self)
    }
}
