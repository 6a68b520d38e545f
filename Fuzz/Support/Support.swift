// What every fuzz target uses.

import Glibc

/// Ends the program with a message the fuzzer shows when an invariant does not hold.
@inline(never)
func require(_ condition: Bool, _ message: @autoclosure () -> String, line: Int = #line) {
    if condition { return }
    print("invariant broken at line \(line): \(message())")
    fflush(nil)
    fatalError("invariant")
}

/// Runs `body` with a copy of the bytes in memory of exactly their length, so that AddressSanitizer
/// sees every read beyond a prefix.
func withExact<Result>(
    _ bytes: UnsafePointer<UInt8>, _ count: Int, _ body: (UnsafePointer<UInt8>) -> Result
) -> Result {
    let copy = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count, 1))
    defer { copy.deallocate() }
    copy.update(from: bytes, count: count)
    return body(copy)
}
