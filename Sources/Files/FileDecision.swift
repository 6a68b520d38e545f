// What a request for a file that exists is answered with: all of it, parts of it, or only a status.
//
// Conditional requests in the order of RFC 9110 §13.2.2, then the Range field (§14.2) under If-Range
// (§13.1.5). Pure: facts about the file and the time are parameters. What the standard tells a server
// to ignore (a date that is none, two Range fields, ranges for other methods than GET) is ignored.

import WeirHTTPModel

/// What a file is, as far as validators are concerned.
public struct FileFacts: Equatable, Sendable, BitwiseCopyable {
    /// Bytes of the representation.
    public var size: UInt64
    /// Time of modification, nanoseconds since the epoch.
    public var modifiedNs: Int64

    public init(size: UInt64, modifiedNs: Int64) {
        self.size = size
        self.modifiedNs = modifiedNs
    }

    /// The Last-Modified date, in seconds: never after the response's own Date (RFC 9110 §8.8.2.1).
    public func modifiedSeconds(now: Int64) -> Int64 {
        let second: Int64 = 1_000_000_000
        let floor = modifiedNs >= 0 ? modifiedNs / second : (modifiedNs - second + 1) / second
        return min(floor, now)
    }
}

public enum FileDecision: Equatable, Sendable {
    /// 200 with all of it.
    case whole
    /// 206 with so many spans.
    case spans(Int)
    /// 304
    case notModified
    /// 412
    case preconditionFailed
    /// 416
    case unsatisfiable

    /// Decides about a GET or HEAD request.
    ///
    /// - Parameters:
    ///   - tag: the representation's entity tag, strong, with quotes.
    ///   - now: seconds since the epoch.
    ///   - spans: room for `ByteRanges.partsMax` spans.
    public static func make(
        _ request: RequestView, _ facts: FileFacts, tag: UnsafeBufferPointer<UInt8>, now: Int64,
        spans: UnsafeMutablePointer<ByteSpan>
    ) -> FileDecision {
        let asked = Asked(request)
        guard asked.isConditional || asked.range >= 0 else { return .whole }
        let modified = facts.modifiedSeconds(now: now)
        if asked.isConditional {
            if asked.hasIfMatch {
                guard request.anyList(.ifMatch, contains: tag, isStrong: true) else {
                    return .preconditionFailed
                }
            } else if let date = request.date(asked.ifUnmodifiedSince, now: now), modified > date {
                return .preconditionFailed
            }
            if asked.hasIfNoneMatch {
                if request.anyList(.ifNoneMatch, contains: tag, isStrong: false) { return .notModified }
            } else if let date = request.date(asked.ifModifiedSince, now: now), modified <= date {
                return .notModified
            }
        }
        guard asked.range >= 0, request.head.pointee.method == .get else { return .whole }
        if asked.hasIfRange, !ifRangeHolds(request, asked.ifRange, tag: tag, modified, now) { return .whole }
        switch ByteRanges.read(request.value(asked.range), size: facts.size, into: spans) {
        case .whole: return .whole
        case .spans(let count): return .spans(count)
        case .unsatisfiable: return .unsatisfiable
        }
    }

    /// §13.1.5: a strong tag that is the current one, or exactly the Last-Modified date when that is
    /// strong, for which it has to lie a second back at least (§8.8.2.2).
    private static func ifRangeHolds(
        _ request: RequestView, _ field: Int, tag: UnsafeBufferPointer<UInt8>, _ modified: Int64, _ now: Int64
    ) -> Bool {
        guard field >= 0 else { return false }
        let value = request.value(field)
        if value.first == UInt8(ascii: "\"") { return value.elementsEqual(tag) }
        guard let date = request.date(field, now: now) else { return false }
        return date == modified && modified < now
    }
}

/// Where the fields stand that decide; -1: absent. A field that may stand once and stands twice counts
/// as absent (If-Range: as one that does not hold).
private struct Asked {
    var hasIfMatch = false
    var hasIfNoneMatch = false
    var hasIfRange = false
    var ifModifiedSince = -1
    var ifUnmodifiedSince = -1
    var ifRange = -1
    var range = -1

    var isConditional: Bool {
        hasIfMatch || hasIfNoneMatch || ifModifiedSince >= 0 || ifUnmodifiedSince >= 0
    }

    init(_ request: RequestView) {
        var ranges = 0
        var ifRanges = 0
        var since = 0
        var unmodified = 0
        for i in 0..<Int(request.head.pointee.fieldCount) {
            switch request.fields[i].id {
            case .ifMatch: hasIfMatch = true
            case .ifNoneMatch: hasIfNoneMatch = true
            case .ifModifiedSince:
                ifModifiedSince = i
                since += 1
            case .ifUnmodifiedSince:
                ifUnmodifiedSince = i
                unmodified += 1
            case .ifRange:
                ifRange = i
                ifRanges += 1
            case .range:
                range = i
                ranges += 1
            default: break
            }
        }
        hasIfRange = ifRanges > 0
        if since > 1 { ifModifiedSince = -1 }
        if unmodified > 1 { ifUnmodifiedSince = -1 }
        if ifRanges > 1 { ifRange = -1 }
        if ranges > 1 { range = -1 }
    }
}

extension RequestView {
    fileprivate func value(_ field: Int) -> UnsafeBufferPointer<UInt8> {
        fields[field].value.bytes(in: bytes)
    }

    /// The date of a field; nil when it is absent or holds none.
    fileprivate func date(_ field: Int, now: Int64) -> Int64? {
        guard field >= 0 else { return nil }
        let value = value(field)
        guard let base = value.baseAddress else { return nil }
        return HTTPDate.parse(base, count: value.count, nowSecondsSinceEpoch: now)
    }

    /// Whether one of the fields with this name holds the tag.
    fileprivate func anyList(_ id: FieldID, contains tag: UnsafeBufferPointer<UInt8>, isStrong: Bool) -> Bool
    {
        for i in 0..<Int(head.pointee.fieldCount) where fields[i].id == id {
            if EntityTag.list(value(i), contains: tag, isStrong: isStrong) { return true }
        }
        return false
    }
}
