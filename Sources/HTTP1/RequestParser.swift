import HTTPModel

/// Parses HTTP/1.1 request heads. Stateless.
public struct RequestParser: Sendable {
    public let limits: HeadLimits

    public init(limits: HeadLimits = HeadLimits()) { self.limits = limits }

    public func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, fields: UnsafeMutablePointer<Field>,
        into head: inout RequestHead
    ) -> HeadResult {
        .incomplete
    }
}
