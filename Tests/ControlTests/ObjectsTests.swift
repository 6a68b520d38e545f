// What a reload finds again.

import Configuration
import WeirHTTPModel
import Testing

@testable import Control

@Suite struct ObjectsTests {
    /// A fixed body is compressed once, however often a snapshot is built, and forgotten with its last route.
    @Test func fixedBodiesAreCompressedOnce() {
        var objects = LongLivedObjects()
        let body = StaticBytes(String(repeating: "the same again ", count: 200))
        var gzip = Route.Compression()
        gzip.encodings = [.gzip]
        let first = objects.codedBodies(of: body, gzip)
        #expect(objects.codedBodies(of: body, gzip) === first, "two routes of one snapshot")
        #expect(objects.codedBodies(of: body, Route.Compression()) !== first, "other codings")
        objects.keepOnlyCodedBodiesInUse()
        #expect(objects.codedBodies(of: StaticBytes("\(body)"), gzip) === first, "the next snapshot")
        objects.keepOnlyCodedBodiesInUse()
        objects.keepOnlyCodedBodiesInUse()
        #expect(objects.codedBodies(of: body, gzip) !== first, "no snapshot had it meanwhile")
    }
}
