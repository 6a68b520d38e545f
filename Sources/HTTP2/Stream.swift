typealias StreamPointer = UnsafeMutablePointer<StreamRecord>
struct StreamRecord {}
