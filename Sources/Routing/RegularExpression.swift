// PCRE2 behind one thin wrapper: compiled once, matched with bounded work.
//
// Defends against patterns that backtrack without end: match, depth and memory limits are set, and
// running into one is reported as such, never as "no match". Expressions for paths work on characters (what
// decides for a path is always UTF-8; a text that were not would be reported as a limit is); those for fields
// and parameters, which may hold anything, on bytes.

import CPCRE2

/// A compiled regular expression.
///
/// `@unchecked Sendable`: pcre2_code is not changed after compilation and may be shared by threads
/// (pcre2api(3), "Multithreading"); what a match writes lives in `RouteScratch`.
public final class RegularExpression: @unchecked Sendable {
    /// Groups an expression may have.
    public static let groupsMax = 63

    public let text: String
    /// Named groups with their number.
    public let groups: [(name: String, number: Int)]
    /// Groups, named or not.
    public let groupCount: Int
    let code: OpaquePointer

    /// Compiles `text` (without any delimiter).
    ///
    /// - Parameters:
    ///   - offset: added to positions of errors.
    ///   - isText: matches characters of UTF-8, not bytes.
    public init(_ text: String, offset: Int = 0, isText: Bool = false) throws(PatternError) {
        var number: Int32 = 0
        var position = 0
        let options =
            UInt32(PCRE2_DOLLAR_ENDONLY) | PCRE2_NEVER_BACKSLASH_C
            | (isText ? UInt32(PCRE2_UTF) : UInt32(PCRE2_NEVER_UTF))
        var bytes = Array(text.utf8)
        let count = bytes.count
        bytes.append(0)
        guard let code = pcre2_compile_8(bytes, count, options, &number, &position, nil) else {
            throw PatternError(at: offset + position, "invalid regular expression: \(Self.message(number))")
        }
        self.text = text
        self.code = code
        var groupCount: UInt32 = 0
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_CAPTURECOUNT), &groupCount)
        groups = Self.groups(of: code)
        self.groupCount = Int(groupCount)
        guard groupCount <= UInt32(Self.groupsMax) else {
            throw PatternError(at: offset, "expected at most \(Self.groupsMax) groups, found \(groupCount)")
        }
        // Without JIT support the interpreter is used; the result is the same.
        _ = pcre2_jit_compile_8(code, UInt32(PCRE2_JIT_COMPLETE))
    }

    deinit { pcre2_code_free_8(code) }

    private static func message(_ number: Int32) -> String {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pcre2_get_error_message_8(number, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(Int(count)), as: UTF8.self) : "error \(number)"
    }

    private static func groups(of code: OpaquePointer) -> [(name: String, number: Int)] {
        var count: UInt32 = 0
        var entrySize: UInt32 = 0
        var table: UnsafePointer<UInt8>?
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_NAMECOUNT), &count)
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_NAMEENTRYSIZE), &entrySize)
        pcre2_pattern_info_8(code, UInt32(PCRE2_INFO_NAMETABLE), &table)
        guard let table else { return [] }
        var result: [(name: String, number: Int)] = []
        for i in 0..<Int(count) {
            let entry = table + i * Int(entrySize)
            let name = UnsafeBufferPointer(start: entry + 2, count: Int(entrySize) - 2).prefix { $0 != 0 }
            result.append((String(decoding: name, as: UTF8.self), Int(entry[0]) << 8 | Int(entry[1])))
        }
        return result.sorted { $0.number < $1.number }
    }
}

/// What one worker needs to match: the memory that a match writes to. Never shared between threads.
public final class RouteScratch {
    /// Work limits of one match.
    static let matchLimit: UInt32 = 100_000
    static let depthLimit: UInt32 = 1_000
    static let heapKiBMax: UInt32 = 1_024

    enum Outcome {
        case matched, unmatched
        /// A limit was reached, or the expression could not be run.
        case failed
    }

    private let data: OpaquePointer?
    private let context: OpaquePointer?
    private let stack: OpaquePointer?
    private var path = Room()
    private var reading = Room()
    private var value = Room()
    private var sides = (Room(), Room())
    /// Matches ended by a limit since the start, for status views.
    public internal(set) var limitsReached = 0

    public init() {
        data = pcre2_match_data_create_8(UInt32(RegularExpression.groupsMax + 1), nil)
        context = pcre2_match_context_create_8(nil)
        stack = pcre2_jit_stack_create_8(32 * 1_024, 512 * 1_024, nil)
        if let context {
            pcre2_set_match_limit_8(context, Self.matchLimit)
            pcre2_set_depth_limit_8(context, Self.depthLimit)
            pcre2_set_heap_limit_8(context, Self.heapKiBMax)
            if let stack { pcre2_jit_stack_assign_8(context, nil, UnsafeMutableRawPointer(stack)) }
        }
    }

    deinit {
        path.memory.deallocate()
        reading.memory.deallocate()
        value.memory.deallocate()
        sides.0.memory.deallocate()
        sides.1.memory.deallocate()
        pcre2_match_data_free_8(data)
        pcre2_match_context_free_8(context)
        pcre2_jit_stack_free_8(stack)
    }

    /// Memory for what decides for a path; valid until the next call.
    func pathRoom(_ count: Int) -> UnsafeMutablePointer<UInt8> { path.room(count) }
    /// Memory for another reading of it; valid until the next call.
    func readingRoom(_ count: Int) -> UnsafeMutablePointer<UInt8> { reading.room(count) }
    /// Memory for a decoded parameter; valid until the next call.
    func valueRoom(_ count: Int) -> UnsafeMutablePointer<UInt8> { value.room(count) }

    /// Memory for a value on one side of a comparison; valid until the next call for that side.
    func sideRoom(_ side: Int, _ count: Int) -> UnsafeMutablePointer<UInt8> {
        side == 0 ? sides.0.room(count) : sides.1.room(count)
    }

    func match(_ code: OpaquePointer, _ bytes: UnsafePointer<UInt8>, _ count: Int) -> Outcome {
        guard let data else { return .failed }
        let result = pcre2_match_8(code, bytes, count, 0, 0, data, context)
        if result >= 0 { return .matched }
        if result == PCRE2_ERROR_NOMATCH { return .unmatched }
        limitsReached += 1
        return .failed
    }

    /// The range of a group of the last match, relative to the subject; nil when it took no part.
    func group(_ number: Int) -> (start: Int, end: Int)? {
        guard let data, number <= RegularExpression.groupsMax, let vector = pcre2_get_ovector_pointer_8(data)
        else { return nil }
        let start = vector[number * 2]
        let end = vector[number * 2 + 1]
        // PCRE2_UNSET is all ones; \K may set a start behind the end.
        guard start != Int.max, end != Int.max, start >= 0, end >= start else { return nil }
        return (Int(start), Int(end))
    }
}

/// A buffer that grows only beyond the longest content seen (bounded by the size of a head).
private struct Room {
    var memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1_024)
    var capacity = 1_024

    mutating func room(_ count: Int) -> UnsafeMutablePointer<UInt8> {
        if count > capacity {
            memory.deallocate()
            memory = .allocate(capacity: count * 2)
            capacity = count * 2
        }
        return memory
    }
}
