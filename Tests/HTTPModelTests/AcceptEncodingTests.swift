// Accept-Encoding: what is well-formed, what it means, and what is chosen.

import WeirHTTPModel
import Testing

@Suite("Accept-Encoding")
struct AcceptEncodingTests {
    static func accepted(_ values: [String]) -> AcceptedCodings {
        var accepted = AcceptedCodings()
        for value in values { Array(value.utf8).withUnsafeBufferPointer { accepted.add($0) } }
        return accepted
    }

    struct Choice: Sendable {
        let values: [String]
        let chosen: ContentCoding?
        var order = CodingOrder.standard

        init(_ value: String, _ chosen: ContentCoding?, _ order: [ContentCoding] = [.zstd, .br, .gzip]) {
            self.init([value], chosen, order)
        }

        init(
            _ values: [String], _ chosen: ContentCoding?, _ order: [ContentCoding] = [.zstd, .br, .gzip]
        ) {
            self.values = values
            self.chosen = chosen
            self.order = CodingOrder(order)
        }
    }

    static let choices: [Choice] = [
        // Nothing said: the response as it is.
        Choice([], nil), Choice("", nil), Choice(" , ,", nil),
        // Browsers
        Choice("gzip, deflate, br, zstd", .zstd), Choice("gzip, deflate, br", .br),
        Choice("gzip, deflate", .gzip), Choice("deflate", nil), Choice("compress", nil),
        // One each
        Choice("gzip", .gzip), Choice("x-gzip", .gzip), Choice("GZip", .gzip), Choice("br", .br),
        Choice("ZSTD", .zstd), Choice("identity", nil),
        // Weights come before the configured order.
        Choice("gzip;q=1.0, br;q=0.9, zstd;q=0.8", .gzip),
        Choice("gzip;q=0.5, br;q=0.9, zstd;q=0.8", .br),
        Choice("gzip;q=0.001", .gzip), Choice("gzip;q=0.001, br;q=0.002", .br),
        Choice("gzip, br, zstd", .gzip, [.gzip, .zstd]), Choice("gzip, br, zstd", .br, [.br]),
        // Refused
        Choice("gzip;q=0", nil), Choice("gzip;q=0.000", nil), Choice("gzip;q=0, br", .br),
        Choice("gzip, gzip;q=0", nil), Choice("gzip;q=0, x-gzip", nil), Choice("br", nil, [.gzip, .zstd]),
        // Stars
        Choice("*", .zstd), Choice("*;q=0", nil), Choice("*;q=0, gzip", .gzip),
        Choice("zstd;q=0, *", .br), Choice("gzip;q=0.5, *;q=0.1", .gzip),
        Choice("gzip;q=0.1, *;q=0.5", nil, [.gzip]), Choice("gzip;q=0.1, *;q=0.5", .zstd),
        Choice("identity;q=0, *", .zstd), Choice("identity;q=0", nil), Choice("*;q=0, identity", nil),
        // identity has a weight as well
        Choice("identity;q=1, gzip;q=0.5", nil), Choice("identity;q=0.5, gzip;q=0.5", .gzip),
        Choice("identity;q=0.5, gzip", .gzip), Choice("identity;q=0, gzip;q=0.1", .gzip),
        // Spaces where RFC 9110 has them
        Choice("gzip ; q=0.5 ,br\t;\tq=0.4", .gzip), Choice("  gzip  ", .gzip), Choice("gzip;Q=1", .gzip),
        Choice(",gzip,,br,", .br), Choice("gzip;q=1.", .gzip), Choice("gzip;q=0.", nil),
        Choice("gzip;q=1.000", .gzip),
        // Several fields are one list.
        Choice(["gzip", "br"], .br), Choice(["gzip", "gzip;q=0"], nil), Choice(["", "br"], .br),
        // Malformed: as if nothing had been said.
        Choice("gzip;q=1.001", nil), Choice("gzip;q=2", nil), Choice("gzip;q=0.1234", nil),
        Choice("gzip;q=", nil), Choice("gzip;q", nil), Choice("gzip;", nil), Choice("gzip;q= 1", nil),
        Choice("gzip;q =1", nil), Choice("gzip;level=1", nil), Choice("gzip;q=1;q=1", nil),
        Choice("gzip br", nil), Choice("gzip;q=-1", nil), Choice("gzip;q=1.0000", nil),
        Choice("gzip;q=.5", nil), Choice("\"gzip\"", nil), Choice("gzip\u{0}", nil), Choice("(gzip)", nil),
        Choice("br, gzip;q=x", nil), Choice(["br", "gzip;;"], nil), Choice("gzip;q=+1", nil),
    ]

    @Test("what is chosen", arguments: choices)
    func choice(choice: Choice) {
        let accepted = Self.accepted(choice.values)
        #expect(accepted.choice(among: choice.order) == choice.chosen, "\(choice.values)")
    }

    @Test(
        "what is not to be had is taken out of the order, and the next best remains",
        arguments: [
            ("gzip, br, zstd", "zstd br gzip"), ("*", "zstd br gzip"), ("br;q=0.5, gzip;q=0.8", "gzip br"),
            ("br;q=0, gzip", "gzip"), ("*, br;q=0", "zstd gzip"), ("gzip;q=0.5, *;q=0.7", "zstd br"),
            ("gzip, identity;q=0.5", "gzip"), ("gzip;q=0.5, identity", ""), ("", ""), ("*;q=0", ""),
        ])
    func nextBest(value: String, expected: String) {
        let accepted = Self.accepted([value])
        var order = CodingOrder.standard
        var names: [String] = []
        while let coding = accepted.choice(among: order) {
            order.remove(coding)
            names.append("\(coding.name)")
        }
        #expect(names.joined(separator: " ") == expected)
    }

    @Test("weights are parts per thousand")
    func weights() {
        let accepted = Self.accepted(["gzip;q=0.123, br;q=1, identity;q=0.05"])
        #expect(accepted.weight(of: .gzip) == 123)
        #expect(accepted.weight(of: .br) == 1000)
        #expect(accepted.weight(of: .zstd) == 0)
        #expect(accepted.identityWeight == 50)
        #expect(AcceptedCodings().identityWeight == 1000)
    }

    @Test("an order holds each coding once")
    func order() {
        let order = CodingOrder([.br, .gzip, .br, .gzip])
        #expect(order.count == 2)
        #expect(order[0] == .br && order[1] == .gzip)
        #expect(CodingOrder([]).count == 0)
        var rest = CodingOrder([.zstd, .br, .gzip])
        rest.remove(.br)
        #expect(rest == CodingOrder([.zstd, .gzip]))
        rest.remove(.br)
        rest.remove(.zstd)
        #expect(rest == CodingOrder([.gzip]))
        rest.remove(.gzip)
        #expect(rest.count == 0)
        #expect(Self.accepted(["*"]).choice(among: CodingOrder([])) == nil)
    }
}
