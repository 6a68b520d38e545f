extension FieldID {
    /// The number of a field name, ASCII case ignored; `.other` when it has none.
    public static func identify(_ name: UnsafePointer<UInt8>, count: Int) -> FieldID { .other }
}
