import WeirHTTPModel
import Testing

@testable import WeirRouting

@Suite struct FieldRulesTests {
    @Test func partsOfValuesAreReplaced() throws {
        let expression = try RegularExpression("^https:")
        let rules = FieldRules(
            replace: [
                .init(
                    name: "Destination", Substitution(expression, with: try .parse("http:", of: expression)))
            ], set: [], add: [], remove: [], direction: .request)
        let lines = Array(
            "a: https:\r\ndestination: https://h\r\nb: \r\nDestination: ftp:\r\nDESTINATION:\r\n".utf8)
        var room = [UInt8](repeating: 0, count: 300)
        let text = try #require(
            room.withUnsafeMutableBufferPointer { room -> String? in
                guard let start = room.baseAddress else { return nil }
                var writer = ByteWriter(start, capacity: room.count)
                writer.append(lines)
                rules.replaceParts(from: 0, &writer, scratch: RouteScratch()) { _, _, writer in
                    writer.append("http:")
                }
                return String(decoding: UnsafeBufferPointer(start: start, count: writer.count), as: UTF8.self)
            })
        #expect(text == "a: https:\r\nb: \r\ndestination: http://h\r\nDestination: ftp:\r\nDESTINATION:\r\n")
    }

    private func rules(
        set: [String] = [], add: [String] = [], remove: [String] = [],
        _ direction: FieldRules.Direction = .response
    ) throws -> FieldRules {
        let value = try Template.parse("v")
        return FieldRules(
            set: set.map { .init(name: $0, value: value) }, add: add.map { .init(name: $0, value: value) },
            remove: remove, direction: direction)
    }

    /// What is left of lines once those that are governed are taken out.
    private func left(_ rules: FieldRules, _ text: String, from start: Int = 0) -> String {
        let bytes = StaticBytes(text)
        var writer = ByteWriter(bytes.base, capacity: bytes.count)
        writer.skip(bytes.count)
        rules.takeOut(from: start, &writer)
        return String(
            decoding: UnsafeBufferPointer(start: bytes.base, count: writer.count), as: UTF8.self)
    }

    @Test func linesAreTakenOutWhoeverWroteThem() throws {
        let rules = try rules(set: ["Server"], remove: ["via", "X-Debug"])
        #expect(
            left(rules, "A: 1\r\nVIA: x\r\nserver: weir\r\nB:\r\nx-debug: \r\nx-debugs: 2\r\nVia: y\r\n")
                == "A: 1\r\nB:\r\nx-debugs: 2\r\n")
        #expect(left(rules, "via: 1\r\nvia: 2\r\n") == "")
        #expect(left(rules, "") == "")
    }

    @Test func whatStandsBeforeTheFieldsIsLeftAlone() throws {
        let rules = try rules(remove: ["http/1.1 200 ok", "a"])
        #expect(left(rules, "a: status\r\na: 1\r\nb: 2\r\n", from: 11) == "a: status\r\nb: 2\r\n")
    }

    @Test func namesAreComparedWhole() throws {
        let rules = try rules(remove: ["X-Long", String(repeating: "n", count: 70)])
        let other = String(repeating: "n", count: 71)
        #expect(
            left(rules, "X-Lon: 1\r\nX-Longer: 1\r\n\(other): 1\r\n")
                == "X-Lon: 1\r\nX-Longer: 1\r\n\(other): 1\r\n")
        #expect(left(rules, "\(String(repeating: "N", count: 70)): 1\r\n") == "")
    }

    /// A field that may stand once is not added beside another of its name.
    @Test func addedFieldsThatStandOnceReplace() throws {
        let rules = try rules(add: ["Location", "Vary", "strict-transport-security"])
        #expect(rules.governs("location") && rules.governs("strict-transport-security"))
        #expect(!rules.governs("vary"))
    }

    /// CGI, WSGI and PHP make one variable of `X-User` and `X_User` (RFC 9110 §17.10).
    @Test(arguments: ["X-User-Name", "x_user_name", "X_User-Name", "x-USER_name"])
    func requestsAreRidOfEverySpelling(_ name: String) throws {
        for ruled in ["X-User-Name", "X_User_Name"] {
            #expect(
                left(try rules(set: [ruled], .request), "\(name): root\r\nx-user: 1\r\n") == "x-user: 1\r\n")
        }
        let isSame = name.lowercased() == "x-user-name"
        let line = "\(name): root\r\n"
        #expect(left(try rules(set: ["X-User-Name"], .response), line) == (isSame ? "" : line))
    }
}
