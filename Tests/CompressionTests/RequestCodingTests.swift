// Which coding a request body is in, as its fields say.

import WeirHTTP1
import WeirHTTPModel
import Testing

@testable import WeirCompression

/// The request these field lines make.
func withRequest<Result>(_ fields: [String], method: String = "GET", _ body: (RequestView) -> Result) throws
    -> Result
{
    var bytes = Array(
        ("\(method) / HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n").utf8)
    var head = RequestHead()
    var table = [Field](
        repeating: Field(nameOffset: 0, nameCount: 0, valueOffset: 0, valueCount: 0, id: .other), count: 64)
    let count = bytes.count
    let parsed = RequestParser(limits: HeadLimits()).parse(&bytes, count: count, fields: &table, into: &head)
    try #require(parsed == .complete, "\(fields)")
    return bytes.withUnsafeMutableBufferPointer { bytes in
        table.withUnsafeMutableBufferPointer { table in
            withUnsafePointer(to: &head) { head in
                guard let base = bytes.baseAddress, let fields = table.baseAddress else {
                    preconditionFailure()
                }
                return body(
                    RequestView(bytes: UnsafePointer(base), head: head, fields: UnsafePointer(fields)))
            }
        }
    }
}

@Suite("Request coding")
struct RequestCodingTests {
    struct Case: Sendable {
        let values: [String]
        let coding: RequestCoding

        init(_ values: String..., is coding: RequestCoding) {
            self.values = values
            self.coding = coding
        }
    }

    @Test(
        "what the fields say",
        arguments: [
            Case(is: .none), Case("", is: .none), Case("identity", is: .none), Case(" , ,", is: .none),
            Case("identity, Identity", is: .none),
            Case("gzip", is: .coded(.gzip)), Case("X-GZip", is: .coded(.gzip)), Case("br", is: .coded(.br)),
            Case("zstd", is: .coded(.zstd)), Case("deflate", is: .coded(.deflate)),
            Case(" gzip\t,", is: .coded(.gzip)), Case(",gzip", is: .coded(.gzip)),
            Case("identity, gzip", is: .coded(.gzip)), Case("", "br", is: .coded(.br)),
            // More than one, in whatever form: each multiplies what the other may do.
            Case("gzip, gzip", is: .unsupported), Case("gzip, br", is: .unsupported),
            Case("gzip", "br", is: .unsupported), Case("gzip, compress", is: .unsupported),
            Case("compress, gzip", is: .unsupported), Case("compress, gzip, gzip", is: .unsupported),
            Case("compress", is: .unsupported), Case("gzip;q=1", is: .unsupported),
            Case("g zip", is: .unsupported), Case("*", is: .unsupported), Case("gzip2", is: .unsupported),
        ])
    func codings(example: Case) throws {
        let coding = try withRequest(example.values.map { "Content-Encoding: \($0)" }) {
            RequestCoding(of: $0)
        }
        #expect(coding == example.coding, "\(example.values)")
    }

    @Test(
        "fields that go with the coding",
        arguments: [
            ("Content-Digest", true), ("repr-digest", true), ("Digest", true), ("Content-MD5", true),
            ("Want-Digest", false), ("Content-Type", false), ("X-Digest", false),
        ])
    func digests(name: String, expected: Bool) {
        let bytes = Array(name.utf8)
        #expect(RequestCoding.describesCodedBytes(bytes, bytes.count) == expected)
    }
}
