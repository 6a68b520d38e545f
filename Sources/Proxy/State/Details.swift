// What codecs find wrong, as the detail of a failure.

import WeirCompression
import WeirGRPC
import WeirHTTP1
import WeirResilience

extension Detail {
    init(_ violation: Violation) { self.init(.http1, violation.rawValue) }
    init(_ error: GRPCWebError) { self.init(.grpcWeb, error.rawValue) }
    init(_ error: DecodeError) { self.init(.contentCoding, error.rawValue) }
}
