// Golden files of the configuration language: Tests/Config/{good,bad}/*.yaml are an input, a line
// `---expect---`, and the normal form or the exact messages. A new case is a new file; the expected
// half is written by `WEIR_UPDATE_GOLDEN=1 swift test --filter ConfigurationTests`, and then read.

import Foundation
import WeirBalancing
import Testing

@testable import Configuration

/// The root of the repository.
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

/// What the golden files are read in: a folder, and three variables.
let surroundings = Surroundings(folder: "/etc/weir") { name in
    [
        "BACKEND": "127.0.0.1:3000", "TOKEN": "s3cret-{token}", "EMPTY": "", "SIZE": "64KiB", "N": "4",
        "YES": "true", "BROKEN": nil, "NULL": "null",
    ][name].flatMap { $0 }.map { Array($0.utf8) } ?? (name == "BROKEN" ? [0xff] : nil)
}

func parsed(_ text: String, file: String = "test.yaml") throws -> Configuration {
    try Configuration.parse(Array(text.utf8), file: file).get().0
}

struct GoldenCase: Sendable, CustomTestStringConvertible {
    static let separator = Array("---expect---\n".utf8)
    let url: URL
    let input: [UInt8]
    let expected: String
    var testDescription: String { url.lastPathComponent }

    static func all(_ folder: String) -> [GoldenCase] {
        let directory = repository.appendingPathComponent("Tests/Config/\(folder)")
        let files =
            (try? FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil))
            ?? []
        return files.filter { $0.pathExtension == "yaml" }.sorted { $0.path < $1.path }.compactMap { url in
            guard let data = try? Data(contentsOf: url), let cut = data.range(of: Data(separator)) else {
                return nil
            }
            return GoldenCase(
                url: url, input: Array(data[..<cut.lowerBound]),
                expected: String(decoding: data[cut.upperBound...], as: UTF8.self))
        }
    }

    /// What Weir says about the input: warnings and normal form, or errors.
    var actual: (isAccepted: Bool, text: String) {
        switch Configuration.parse(input, file: url.lastPathComponent, in: surroundings) {
        case .success(let (configuration, warnings)):
            (true, warnings.map { "\($0)\n" }.joined() + configuration.normalForm())
        case .failure(let errors): (false, "\(errors)\n")
        }
    }

    func verify(isAccepted: Bool) throws {
        let actual = actual
        #expect(actual.isAccepted == isAccepted, "\(actual.text)")
        if ProcessInfo.processInfo.environment["WEIR_UPDATE_GOLDEN"] != nil {
            try Data(input + Self.separator + Array(actual.text.utf8)).write(to: url)
        } else {
            #expect(actual.text == expected)
        }
    }
}

@Suite struct GoldenFiles {
    @Test(arguments: GoldenCase.all("good")) func good(_ golden: GoldenCase) throws {
        try golden.verify(isAccepted: true)
    }

    /// The normal form says all there is, in the language itself.
    @Test(arguments: GoldenCase.all("good")) func theNormalFormIsTheSameConfiguration(_ golden: GoldenCase)
        throws
    {
        let (first, _) = try Configuration.parse(golden.input, file: "written", in: surroundings).get()
        let text = first.normalForm()
        switch Configuration.parse(Array(text.utf8), file: "normal", in: surroundings) {
        case .failure(let errors): Issue.record("\(errors)\n\(text)")
        case .success(let (second, _)):
            #expect(second == first, "\(text)")
            #expect(second.normalForm() == text)
        }
    }

    @Test(arguments: GoldenCase.all("bad")) func bad(_ golden: GoldenCase) throws {
        try golden.verify(isAccepted: false)
    }

    @Test func thereAreEnough() {
        #expect(GoldenCase.all("good").count >= 15)
        #expect(GoldenCase.all("bad").count >= 60)
    }

    @Test func examplesAreClean() throws {
        let directory = repository.appendingPathComponent("examples")
        let files = try FileManager.default.contentsOfDirectory(
            at: directory, includingPropertiesForKeys: nil
        )
        .filter { $0.pathExtension == "yaml" }
        #expect(files.count >= 3)
        for file in files {
            let (_, warnings) = try Configuration.load(path: file.path).get()
            #expect(warnings.isEmpty, "\(file.lastPathComponent)")
        }
    }

    @Test func anUnreadableFileIsAnErrorWithoutAPlace() {
        guard case .failure(let errors) = Configuration.load(path: "/nowhere/weir.yaml") else {
            Issue.record("loaded")
            return
        }
        #expect(
            errors.description == "/nowhere/weir.yaml: error: cannot read the file: it does not exist"
        )
    }
}

/// Random damage to good files never crashes, and refusals always say where.
@Suite struct Damage {
    @Test(arguments: 1...20) func mutationsAreAcceptedOrRefused(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let interesting = Array("{}[]:,-&*!|>'\"%@`#?~\n\t \u{0}".utf8) + [0xff, 0xc3, 0x80]
        for golden in GoldenCase.all("good") {
            for _ in 0..<5 {
                var bytes = golden.input
                for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
                    let index = Int.random(in: 0..<bytes.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes[index] = interesting[Int.random(in: 0..<interesting.count, using: &random)]
                    case 2: bytes.remove(at: index)
                    default: bytes.removeSubrange(index..<min(bytes.count, index + 9))
                    }
                }
                switch Configuration.parse(bytes, file: "x.yaml") {
                case .success(let (configuration, _)): #expect(!configuration.normalForm().isEmpty)
                case .failure(let failure):
                    #expect(failure.errors.contains { $0.severity == .error }, "seed \(seed)")
                    #expect(failure.errors.allSatisfy { $0.line >= 1 && $0.column >= 1 }, "seed \(seed)")
                }
            }
        }
    }
}
