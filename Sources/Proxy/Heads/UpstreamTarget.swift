// The request target as an endpoint gets it: the request's own, from a template, with another prefix, or with
// a part exchanged.
//
// One function for the data plane and for `weir explain`, so that what is explained is what is sent.
// Always origin-form (RFC 9112 §3.2.1), or `*`; never starts with anything else, whatever a rewrite
// takes away. The path is the path itself of HTTPModel/PathForm.swift.

import Glibc
import WeirHTTPModel
import WeirRouting

public enum UpstreamTarget {
    /// Fills a template in for a request, with the groups of a match where there is one.
    public typealias Render = (Template, UnsafePointer<MatchedGroups>?, inout ByteWriter) -> Void

    public enum Outcome: Sendable {
        case written
        /// An expression reached its limits: nothing is guessed then.
        case limitReached
        /// A rewrite made a dot segment out of parts that were none: the endpoint would resolve it, and leave
        /// what the route stands for.
        case dotSegment
    }

    /// Writes the target of `request` after `rewrite`.
    /// - Parameter bytes: the head's first byte.
    @inline(__always)
    public static func write(
        _ request: RequestHead, _ bytes: UnsafePointer<UInt8>, _ rewrite: Rewrite?, scratch: RouteScratch,
        into writer: inout ByteWriter, render: Render
    ) -> Outcome {
        let path = request.path.bytes(in: bytes)
        switch rewrite {
        case nil:
            // A URI without a path asks about the server (RFC 9112 §3.2.4).
            if request.targetForm == .asterisk
                || path.isEmpty && request.method == .options && !request.hasQuery
            {
                writer.append("*")
                return .written
            }
            if path.isEmpty { writer.append("/") } else { writer.append(path) }
        case .target(let template):
            let start = writer.count
            render(template, nil, &writer)
            if let outcome = judge(from: start, writer) { return outcome }
        case .part(let substitution):
            let start = writer.count
            guard writePart(path, substitution, scratch, &writer, render) else {
                return .limitReached
            }
            if let outcome = judge(from: start, writer) { return outcome }
        case .prefix(let prefix):
            prefix.writeInward(path, &writer)
        }
        if request.hasQuery {
            writer.append(0x3f)
            writer.append(request.query.bytes(in: bytes))
        }
        return .written
    }

    /// What became of a target that a template or an expression wrote; nil: a path, which keeps the request's
    /// query.
    static func judge(from start: Int, _ writer: ByteWriter) -> Outcome? {
        let count = writer.count - start
        let mark = memchr(writer.base + start, 0x3f, count)
        let pathCount = mark.map { $0 - UnsafeMutableRawPointer(writer.base + start) } ?? count
        if PathForm.hasDotSegment(writer.base + start, pathCount) { return .dotSegment }
        return mark == nil ? nil : .written
    }

    /// Exchanges what an expression finds in the path.
    private static func writePart(
        _ path: UnsafeBufferPointer<UInt8>, _ substitution: Substitution, _ scratch: RouteScratch,
        _ writer: inout ByteWriter, _ render: Render
    ) -> Bool {
        switch substitution.find(inPath: path, scratch: scratch) {
        case .failed: return false
        case .notFound:
            if path.isEmpty { writer.append("/") } else { writer.append(path) }
        case .found(let groups):
            let start = writer.count
            writer.append(UnsafeBufferPointer(rebasing: path[..<Int(groups.found.offset)]))
            // What comes first may be a template that has nothing to say.
            if writer.count == start { writer.append("/") }
            let mark = writer.count
            withUnsafePointer(to: groups) { render(substitution.with, $0, &writer) }
            writer.append(UnsafeBufferPointer(rebasing: path[Int(groups.found.end)...]))
            // One slash begins the path, its own or ours.
            if groups.found.offset == 0, writer.count > mark, writer.base[mark] == 0x2f, !writer.overflowed {
                (writer.base + start).update(from: writer.base + mark, count: writer.count - mark)
                writer.drop(1)
            }
        }
        return true
    }
}
