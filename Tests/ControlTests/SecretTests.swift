// What references stand for is in no message, normal form or explanation, wherever in a file they stand.

import Configuration
import Foundation
import WeirHTTPModel
import Proxy
import Testing

@testable import Control

@Suite struct SecretTests {
    /// Files that use most of the language.
    static let files = [
        "files-everything", "files-try", "listener-everything", "location-and-cookies",
        "redirect-and-respond", "replace",
        "rewrite-prefix", "route-everything", "routes-defaults", "service-everything", "sni", "tls",
        "client-certificate",
        "compression", "process",
    ]

    private static let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    /// The file with one value at a time exchanged for a reference. Names of routes are no secrets: logs and
    /// metrics are labelled with them.
    private func variants(_ file: String) throws -> [String] {
        let url = Self.repository.appendingPathComponent("Tests/Config/good/\(file).yaml")
        let text = try String(contentsOf: url, encoding: .utf8)
        let input = String(text[..<(try #require(text.range(of: "---expect---")).lowerBound)])
        let value = /(?:: |\[|, |- )(?<value>"[^"$]*"|[a-zA-Z0-9\/.*_:-]+)(?=[,} \]\n])/
        return input.matches(of: value).map(\.output.value).filter {
            !$0.hasSuffix(":") && !input[..<$0.startIndex].hasSuffix("name: ")
        }.map {
            input.replacingCharacters(in: $0.startIndex..<$0.endIndex, with: "\"${env:SECRET}\"")
        }
    }

    @Test(arguments: files, ["hunter2-{hunter2}", "/hunter2/hunter2", "hunter2/hunter2"])
    func nothingShowsThem(file: String, secret: String) throws {
        let surroundings = Surroundings(folder: "/etc/weir") { $0 == "SECRET" ? Array(secret.utf8) : nil }
        let variants = try variants(file)
        #expect(!variants.isEmpty)
        for text in variants {
            let checked = Configuration.check(Array(text.utf8), file: "test.yaml", in: surroundings)
            let (compiled, errors) = CompiledRoutes.compile(checked.configuration, file: "test.yaml")
            var shown = (checked.problems + errors).map(\.description) + [checked.configuration.normalForm()]
            let explainer = Explainer(checked.configuration, compiled, file: "test.yaml")
            for url in ["http://a.example/", "http://a.example/shop/x", "http://a.example/x/a/"] {
                shown.append("\(explainer.explain(ExplainQuestion(method: "GET", url: url)))")
            }
            shown = shown.filter { $0.contains("hunter2") }
            #expect(shown.isEmpty, "\(text)")
        }
    }

    @Test func candidatesOfFilesReadThemAsText() throws {
        let surroundings = Surroundings(folder: "/etc/weir") { _ in Array("{a}".utf8) }
        let text = """
            listeners: { web: { address: ":8080" } }
            routes: [{ name: all, service: site }]
            services: { site: { files: { root: /srv, try: ["/${env:FOLDER}/x{path}", { status: 404 }] } } }
            """
        let configuration = try Configuration.parse(Array(text.utf8), file: "test.yaml", in: surroundings)
            .get().0
        #expect(CompiledRoutes.compile(configuration, file: "test.yaml").1.isEmpty)
        #expect(FilesPlan(try #require(configuration.services.first?.files)).candidates.count == 1)
    }
}
