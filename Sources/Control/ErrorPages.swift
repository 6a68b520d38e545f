// What is sent in place of errors: from the configuration to a plan. Templates are parsed and files are read
// here, once for every time the configuration is loaded.

import Configuration
import WeirFiles
import WeirHTTPModel
import NamedFiles
import Proxy
import WeirRouting

/// Compiles the `errors` of each place; what is wrong with them is added to `errors`.
///
/// Routes that are multiplied (one for each kind of listener) have the same pages, and pages of many places the same
/// file: each is compiled or read once, and one copy serves all.
final class ErrorPageCompiler {
    let file: String
    private let types = ContentTypes()
    /// By where the first page of a place stands.
    private var plans: [Place: [(pages: [ErrorPage], plan: ErrorPlan?)]] = [:]
    /// By path: what could be read.
    private(set) var files: [String: StaticBytes] = [:]
    /// What stood in files when the plans were made that may be kept.
    private let known: [String: StaticBytes]

    private struct Place: Hashable {
        let line: Int
        let column: Int
    }

    init(file: String, known: [String: StaticBytes] = [:]) {
        self.file = file
        self.known = known
    }

    /// Nil where there are none.
    /// - Parameter old: the plan of equal pages, which stays if their files are the same, too.
    func compile(
        _ pages: [ErrorPage], keeping old: ErrorPlan? = nil, _ errors: inout [ConfigurationError]
    ) -> ErrorPlan? {
        guard let first = pages.first else { return nil }
        let place = Place(line: first.origin.line, column: first.origin.column)
        if let known = plans[place]?.first(where: { $0.pages == pages }) { return known.plan }
        let plan = old.flatMap { areFilesSame(pages) ? $0 : nil } ?? plan(pages, &errors)
        plans[place, default: []].append((pages, plan))
        return plan
    }

    private func areFilesSame(_ pages: [ErrorPage]) -> Bool {
        var ignored: [ConfigurationError] = []
        for page in pages {
            guard case .bodies(let bodies) = page.source else { continue }
            for body in bodies {
                guard case .file(let path) = body.content else { continue }
                guard let new = files[path.value] ?? read(path, &ignored), let old = known[path.value],
                    new.bytes.elementsEqual(old.bytes)
                else { return false }
                // The same bytes, once in memory.
                files[path.value] = old
            }
        }
        return true
    }

    private func plan(_ pages: [ErrorPage], _ errors: inout [ConfigurationError]) -> ErrorPlan {
        var exact: [UInt16: PagePlan] = [:]
        var classes: [UInt16: PagePlan] = [:]
        for page in pages {
            guard let source = source(page.source, &errors) else { continue }
            let plan = PagePlan(source, replacesAnswers: page.replacesAnswers)
            switch page.statuses {
            case .one(let status): exact[UInt16(status)] = plan
            case .all(let digit): classes[UInt16(digit)] = plan
            }
        }
        return ErrorPlan(exact: exact, classes: classes)
    }

    private func source(
        _ source: ErrorPage.Source, _ errors: inout [ConfigurationError]
    ) -> PagePlan.Source? {
        switch source {
        case .service(let page):
            let path = checked(Text(page.path.template, at: page.path.origin), file, &errors) {
                text throws(PatternError) in try Template.parse(text, for: .page)
            }
            return path.map {
                .service(
                    ServicePage(service: page.name.value, path: $0, timeoutMs: UInt64(page.timeoutMs)))
            }
        case .bodies(let bodies):
            let known = bodies.compactMap { body($0, &errors) }
            return known.isEmpty ? nil : .bodies(PageBodies(known))
        }
    }

    private func body(_ body: ErrorPage.Body, _ errors: inout [ConfigurationError]) -> PageBodies.Body? {
        switch body.content {
        case .text(let text):
            let type = body.type?.value ?? (body.form ?? .text).contentType
            let markup = Template.Markup(type: type)
            let template = checked(Text(text.template, at: text.origin), file, &errors) {
                text throws(PatternError) in try Template.parse(text, for: .body(markup))
            }
            guard let template else { return nil }
            let content: PageBodies.Content =
                template.literal.map { .fixed(StaticBytes($0), coded: nil) } ?? .template(template)
            return PageBodies.Body(form: body.form, type: StaticBytes(type), content: content)
        case .file(let path):
            guard let type = body.form?.contentType ?? type(of: path, &errors),
                let bytes = files[path.value] ?? read(path, &errors)
            else { return nil }
            return PageBodies.Body(
                form: body.form, type: StaticBytes(type), content: .fixed(bytes, coded: nil))
        }
    }

    private func type(of path: Text, _ errors: inout [ConfigurationError]) -> String? {
        var name = path.value
        if let type = name.withUTF8({ types.known($0).map { String(decoding: $0, as: UTF8.self) } }) {
            return type
        }
        errors.append(
            ConfigurationError(
                "the name \(path.shown) does not say what type the file is of", at: path.origin, file: file,
                expectation: "expected an extension such as .html, .json or .txt"))
        return nil
    }

    private func read(_ path: Text, _ errors: inout [ConfigurationError]) -> StaticBytes? {
        do throws(NamedFileError) {
            let bytes = StaticBytes(try NamedFile(reading: path.value, bytesMax: PageBodies.bytesMax).bytes)
            files[path.value] = bytes
            return bytes
        } catch {
            errors.append(
                ConfigurationError(
                    "cannot read \(path.shown): it \(error)", at: path.origin, file: file,
                    expectation: "expected a file of at most \(PageBodies.bytesMax >> 10) KiB"))
            return nil
        }
    }
}

extension ContentForm {
    /// What a text of this form is sent as.
    fileprivate var contentType: String {
        switch self {
        case .text: "text/plain; charset=utf-8"
        case .json: "application/json"
        case .html: "text/html; charset=utf-8"
        }
    }
}

extension Template.Markup {
    /// How values stand in a text of this content type.
    fileprivate init(type: String) {
        // Parameters may stand behind blanks and tabs (RFC 9110 §8.3.1).
        let bare = type.prefix { $0 != ";" && $0 != " " && $0 != "\t" }.lowercased()
        let subtype = bare.drop { $0 != "/" }.dropFirst()
        if subtype == "html" || subtype == "xml" || subtype.hasSuffix("+xml") {
            self = .html
        } else if subtype == "json" || subtype.hasSuffix("+json") || subtype.hasSuffix("javascript") {
            self = .json
        } else {
            self = .text
        }
    }
}
