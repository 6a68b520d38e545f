// Deadlines as texts.

import WeirHTTPModel

extension GRPCTimeout {
    /// The timeout a field value says; nil when it is malformed.
    public init?(_ text: String) {
        let read = Array(text.utf8).withUnsafeBufferPointer { GRPCTimeout($0) }
        guard let read else { return nil }
        self = read
    }

    /// As the field `grpc-timeout` has it.
    public var text: String {
        let bytes = [UInt8](unsafeUninitializedCapacity: 32) { room, count in
            guard let base = room.baseAddress else { return }
            var writer = ByteWriter(base, capacity: room.count)
            write(&writer)
            count = writer.count
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
