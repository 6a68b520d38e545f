// A field to be sent, as the owner lists it.

/// Name and value of a field in memory of the owner, which needs to last only as long as the call that
/// takes it. Names are sent in lower case whatever case they have here.
public struct HTTP2Field: BitwiseCopyable {
    public var name: UnsafePointer<UInt8>
    public var value: UnsafePointer<UInt8>
    public var nameCount: Int
    public var valueCount: Int
    /// Never entered into a compression table, here or further on (RFC 7541 §7.1.3).
    public var isSensitive = false

    @inlinable @inline(__always)
    public init(
        name: UnsafePointer<UInt8>, nameCount: Int, value: UnsafePointer<UInt8>, valueCount: Int,
        isSensitive: Bool = false
    ) {
        self.name = name
        self.nameCount = nameCount
        self.value = value
        self.valueCount = valueCount
        self.isSensitive = isSensitive
    }

    @inlinable
    public init(_ name: StaticString, value: UnsafePointer<UInt8>, valueCount: Int) {
        self.init(
            name: name.utf8Start, nameCount: name.utf8CodeUnitCount, value: value, valueCount: valueCount)
    }

    @inlinable
    public init(_ name: StaticString, _ value: StaticString) {
        self.init(
            name: name.utf8Start, nameCount: name.utf8CodeUnitCount, value: value.utf8Start,
            valueCount: value.utf8CodeUnitCount)
    }
}
