import HTTPModel

/// Parses HTTP/1.1 response heads. Stateless.
public struct ResponseParser: Sendable {
    public let limits: HeadLimits

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    public func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, requestMethod: Method,
        fields: UnsafeMutablePointer<Field>, into head: inout ResponseHead
    ) -> HeadResult {
        .incomplete
    }
}
