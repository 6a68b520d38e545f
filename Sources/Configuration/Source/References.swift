// `${env:NAME}` and `${file:/path}`: values that stand elsewhere.
//
// A reference is the whole of a text or a part of it, and what it stands for is only ever text: it cannot
// become a key, a list, or the variable of a template. Whoever shows a configuration shows the reference,
// so that a secret is in the place it was put and in no message, status or log.

import Glibc
import NamedFiles

/// What a configuration is read in.
public struct Surroundings: Sendable {
    /// The folder that relative paths start from; absolute.
    public var folder: String
    /// The value of an environment variable; nil when it is not set.
    public var variable: @Sendable (String) -> [UInt8]?

    public init(folder: String, variable: @escaping @Sendable (String) -> [UInt8]?) {
        self.folder = folder
        self.variable = variable
    }

    /// The environment of this process, and the folder the file is named in ("weir.yaml" and what is no
    /// file: the working directory).
    public static func process(file: String) -> Surroundings {
        let cut = file.utf8.lastIndex(of: UInt8(ascii: "/"))
        var folder = cut.map { $0 == file.startIndex ? "/" : String(file[..<$0]) } ?? ""
        if !folder.hasPrefix("/") {
            let working = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { room in
                room.baseAddress.flatMap { getcwd($0, room.count) }.map { String(cString: $0) } ?? "/"
            }
            folder = folder.isEmpty ? working : Surroundings.path(folder, in: working)
        }
        return Surroundings(folder: folder) { name in
            getenv(name).map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) }
        }
    }

    /// A path as it is reached from anywhere.
    public func path(_ path: String) -> String { Self.path(path, in: folder) }

    private static func path(_ path: String, in folder: String) -> String {
        if path.hasPrefix("/") { return path }
        let bare = path.hasPrefix("./") ? String(path.dropFirst(2)) : path
        return folder.hasSuffix("/") ? folder + bare : "\(folder)/\(bare)"
    }
}

/// A text made from references: what is shown instead of it.
final class Substitution: Sendable {
    /// What the text is.
    let value: String
    /// As it was written: "Bearer ${env:TOKEN}".
    let shown: String
    /// As it was read, references covered (SourceText.swift): what is written again.
    let written: String
    /// The text as a template in which references are no variables, whatever they hold.
    let template: String
    /// The same for what was written.
    let shownTemplate: String
    /// The text as an expression in which references are no more than text between quotes, or numbers, whatever they hold.
    let expression: String

    init(
        value: String, shown: String, written: String, template: String, shownTemplate: String,
        expression: String
    ) {
        self.expression = expression
        self.written = written
        self.value = value
        self.shown = shown
        self.template = template
        self.shownTemplate = shownTemplate
    }

    /// A text about the value, without it; nil: the text shows a part of it. Values of fewer than four bytes
    /// stand in any text.
    func hide(in text: String) -> String? {
        if value.utf8.count < 4 { return text }
        let hidden = text.exchanging(value, for: shown)
        // Messages cut long values, and write them in one line.
        let beginning = String(value.prefix(12).map { $0.isNewline ? " " : $0 })
        return hidden.exchanging(beginning, for: "") == hidden ? hidden : nil
    }
}

/// Looks references up, each file and variable once.
struct References {
    typealias Problem = YAMLDocument.Problem

    /// Longest value of one reference, and of all in a file.
    static let valueBytes = 64 << 10
    static let totalBytes = 16 << 20

    let surroundings: Surroundings
    private var known: [String: Result<String, Problem>] = [:]
    private var total = 0

    init(_ surroundings: Surroundings) { self.surroundings = surroundings }

    /// The covered text of a scalar with its references looked up; nil when it has none.
    /// - Throws: a `Problem` without a place, and where in the text its reference stands.
    mutating func resolve(_ text: String) throws(Failure) -> Substitution? {
        var parts = Parts()
        var isFound = false
        var covered: [UInt8] = []
        var offset = 0
        for scalar in text.unicodeScalars {
            defer { offset += 1 }
            // Inside a reference what is not ASCII was not covered.
            guard SourceText.covered(scalar.value) != nil || !covered.isEmpty else {
                parts.literal(String(scalar))
                continue
            }
            covered += SourceText.covered(scalar.value).map { [$0] } ?? Array(String(scalar).utf8)
            guard covered.last == UInt8(ascii: "}") else { continue }
            let written = String(decoding: covered, as: UTF8.self)
            covered = []
            isFound = true
            if parts.takesEscape() {
                // It is text as well, and no variable of a template.
                parts.reference(written, written)
                continue
            }
            let length = written.unicodeScalars.count
            let value: String
            do throws(Problem) { value = try self.value(written) } catch {
                throw Failure(problem: error, offset: offset + 1 - length, length: length)
            }
            total += value.utf8.count
            guard total <= Self.totalBytes else {
                throw Failure(
                    problem: Problem(message: "references stand for more than 16 MiB", origin: .none),
                    offset: offset + 1 - length, length: length)
            }
            parts.reference(written, value)
        }
        return isFound ? parts.substitution(written: text) : nil
    }

    struct Failure: Error {
        var problem: Problem
        /// In characters of the text.
        var offset: Int
        var length: Int
    }

    private struct Parts {
        var value = "", shown = "", template = "", shownTemplate = "", expression = ""
        /// Of the expression so far: the quote that is open, or 0, and whether a backslash stands last in it.
        private var quote: UInt8 = 0
        private var isEscaping = false

        mutating func literal(_ text: String) {
            for byte in text.utf8 {
                if isEscaping {
                    isEscaping = false
                } else if quote != 0 {
                    isEscaping = byte == UInt8(ascii: "\\")
                    if byte == quote { quote = 0 }
                } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                    quote = byte
                }
            }
            value += text
            shown += text
            template += text
            shownTemplate += text
            expression += text
        }

        mutating func reference(_ written: String, _ text: String) {
            value += text
            shown += written
            template += text.exchanging("{", for: "{{").exchanging("}", for: "}}")
            shownTemplate += written.exchanging("{", for: "{{").exchanging("}", for: "}}")
            let escaped = text.exchanging("\\", for: "\\\\").exchanging("\"", for: "\\\"")
                .exchanging("'", for: "\\'")
            if quote != 0 {
                // A backslash before a reference is one; it must not take away what follows.
                expression += (isEscaping ? "\\" : "") + escaped
                isEscaping = false
            } else {
                // Whatever is no number is a text: never a part of the expression itself.
                expression += Self.isNumber(text) ? text : "\"" + escaped + "\""
            }
        }

        /// Digits, with a unit or without.
        private static func isNumber(_ text: String) -> Bool {
            text.wholeMatch(of: /[0-9]+(\.[0-9]+)?[A-Za-z]*/) != nil
        }

        /// Whether a "$" stands before, which is then gone: `$${env:A}` is the text `${env:A}`.
        mutating func takesEscape() -> Bool {
            guard shown.utf8.last == UInt8(ascii: "$") else { return false }
            value.removeLast()
            shown.removeLast()
            template.removeLast()
            shownTemplate.removeLast()
            expression.removeLast()
            return true
        }

        func substitution(written: String) -> Substitution {
            Substitution(
                value: value, shown: shown, written: written, template: template,
                shownTemplate: shownTemplate, expression: expression)
        }
    }

    // MARK: one reference

    private mutating func value(_ written: String) throws(Problem) -> String {
        if let known = known[written] { return try known.get() }
        let result: Result<String, Problem>
        do throws(Problem) { result = .success(try look(written)) } catch { result = .failure(error) }
        known[written] = result
        return try result.get()
    }

    private func look(_ written: String) throws(Problem) -> String {
        let inner = String(written.dropFirst(2).dropLast())
        if inner.hasPrefix("env:") { return try variable(String(inner.dropFirst(4))) }
        if inner.hasPrefix("file:") { return try file(String(inner.dropFirst(5))) }
        let isName = inner.utf8.allSatisfy(Self.isNameByte)
        throw Problem(
            message: "\(written.clipped(60)) is not a reference", origin: .none,
            expectation:
                "expected ${env:NAME} or ${file:PATH}; the text itself is written $\(written.clipped(60))",
            suggestion: isName ? "${env:\(inner)}" : nil)
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        byte &- 48 < 10 || (byte | 32) &- 97 < 26 || byte == UInt8(ascii: "_")
    }

    private func variable(_ text: String) throws(Problem) -> String {
        let name = String(text.prefix { $0 != ":" })
        let rest = text.dropFirst(name.count)
        guard !name.isEmpty, name.utf8.allSatisfy(Self.isNameByte), rest.isEmpty || rest.hasPrefix(":-")
        else {
            throw Problem(
                message: "\"\(text.clipped(60))\" is not the name of an environment variable", origin: .none,
                expectation: "expected ${env:NAME} or ${env:NAME:-default}")
        }
        let value = surroundings.variable(name)
        if !rest.isEmpty, value?.isEmpty ?? true { return String(rest.dropFirst(2)) }
        guard let value else {
            throw Problem(
                message: "the environment variable \(name.clipped(60)) is not set", origin: .none,
                expectation:
                    "set it before Weir starts, or give a default: ${env:\(name.clipped(60)):-default}")
        }
        return try self.text(value, "the environment variable \(name.clipped(60))")
    }

    private func file(_ name: String) throws(Problem) -> String {
        guard !name.isEmpty else {
            throw Problem(
                message: "${file:} names no file", origin: .none, expectation: "expected ${file:PATH}")
        }
        let path = surroundings.path(name)
        var bytes: [UInt8]
        do throws(NamedFileError) {
            bytes = try NamedFile(reading: path, bytesMax: Self.valueBytes).bytes
        } catch {
            throw Problem(
                message: "\(path.clipped(200)) \(error)", origin: .none,
                expectation: "expected a file that holds the value")
        }
        // Editors and `echo` end the last line; the value does not include that.
        if bytes.last == 10 { bytes.removeLast() }
        if bytes.last == 13 { bytes.removeLast() }
        return try text(bytes, path.clipped(200))
    }

    private func text(_ bytes: [UInt8], _ what: String) throws(Problem) -> String {
        guard bytes.count <= Self.valueBytes else {
            throw Problem(message: "\(what) is larger than 64 KiB", origin: .none)
        }
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw Problem(message: "\(what) holds bytes that are no text in UTF-8", origin: .none)
        }
        return text
    }
}

extension String {
    /// With every `old` (not empty) as `new`.
    func exchanging(_ old: String, for new: String) -> String {
        let text = Array(utf8)
        let old = Array(old.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < text.count {
            if text[index] == old[0], text[index...].starts(with: old) {
                result += new.utf8
                index += old.count
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
