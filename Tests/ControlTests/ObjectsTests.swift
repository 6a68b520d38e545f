// What a reload finds again.

import Configuration
import WeirHTTPModel
import Proxy
import Testing

@testable import Control

@Suite struct ObjectsTests {
    /// A fixed body is compressed once, however often a snapshot is built, and forgotten with its last plan.
    @Test func fixedBodiesAreCompressedOnce() {
        var objects = LongLivedObjects()
        let body = StaticBytes(String(repeating: "the same again ", count: 200))
        var gzip = Route.Compression()
        gzip.encodings = [.gzip]
        var first: CodedBodies? = objects.codedBodies(of: body, gzip)
        #expect(objects.codedBodies(of: body, gzip) === first, "two routes of one snapshot")
        #expect(objects.codedBodies(of: body, Route.Compression()) !== first, "other codings")
        objects.keepOnly(endpoints: [], sockets: [])
        #expect(objects.codedBodies(of: StaticBytes("\(body)"), gzip) === first, "the next snapshot")
        weak let held = first
        first = nil
        objects.keepOnly(endpoints: [], sockets: [])
        #expect(held == nil, "nobody has it any more")
    }
}
