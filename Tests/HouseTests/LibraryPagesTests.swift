// The pages of the libraries: each product has one, and what it quotes is what is compiled and run.

import Testing

@Suite("Libraries")
struct LibraryPagesTests {
    /// Names of the library products.
    static let products = (Repository.read("Package.swift") ?? "").matches(of: /\.library\(name: "(\w+)"/).map
    {
        String($0.output.1)
    }

    @Test("there are libraries")
    func someAreThere() { #expect(Self.products.count > 10) }

    @Test("a page quotes its example as it is compiled", arguments: products)
    func pageQuotesTheExample(product: String) throws {
        let module = String(product.dropFirst("Weir".count))
        let page = try #require(Repository.read("Sources/\(module)/\(product).docc/\(product).md"))
        let source = try #require(Repository.read("Tests/LibraryExamples/\(module)Example.swift"))
        #expect(page.hasPrefix("# ``\(product)``\n"))
        #expect(page.contains("\n## Overview\n"))
        let lines = source.split(separator: "\n", omittingEmptySubsequences: false)
        let start = try #require(lines.firstIndex { $0.hasSuffix("// The page quotes from here…") })
        let end = try #require(lines.firstIndex { $0.hasSuffix("// …to here.") })
        let imports = lines.filter { $0.hasPrefix("import ") }
        let body = lines[(start + 1)..<end].map { $0.hasPrefix("        ") ? $0.dropFirst(8) : $0 }
        let example = (imports + [""] + body).joined(separator: "\n")
        #expect(page.contains("```swift\n\(example)\n```\n"), "\(product): the page and the example differ")
    }

    @Test("the manual names every library", arguments: products)
    func manualNames(product: String) throws {
        #expect(try #require(Repository.read("docs/libraries.md")).contains("| `\(product)` |"))
    }

    @Test("codecs and decisions bring no event loop along")
    func noEpoll() throws {
        let package = try #require(Repository.read("Package.swift"))
        for product in Self.products {
            let name = try #require(package.firstRange(of: "name: \"\(product)\"", after: ".target("))
            let rest = package[name.upperBound...]
            let target = rest[..<(rest.firstRange(of: "\n        .")?.lowerBound ?? rest.endIndex)]
            #expect(!target.contains("\"Reactor\"") && !target.contains("\"CLinux\""), "\(product)")
        }
    }
}

extension String {
    /// Where a text stands behind another, with nothing but white space between them.
    fileprivate func firstRange(of text: String, after before: String) -> Range<String.Index>? {
        ranges(of: text).first { range in
            self[..<range.lowerBound].trimmingSuffix(while: \.isWhitespace).hasSuffix(before)
        }
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> Substring {
        var result = self
        while let last = result.last, isTrimmed(last) { result.removeLast() }
        return result
    }
}
