public enum HTTPDate {
    public static func write(secondsSinceEpoch: Int64, to: UnsafeMutablePointer<UInt8>) {}
    public static func parse(
        _ bytes: UnsafePointer<UInt8>, count: Int, nowSecondsSinceEpoch: Int64
    ) -> Int64? { nil }
}
