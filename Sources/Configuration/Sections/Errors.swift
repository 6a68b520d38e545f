// What is sent in place of errors: which statuses, in which forms, from which text, file or service.

import WeirHTTPModel

/// What is sent in place of an error: one entry of `errors`.
public struct ErrorPage: Sendable, Equatable {
    public enum Statuses: Sendable, Hashable {
        /// 400…599.
        case one(Int)
        /// All of a class: 4 or 5.
        case all(of: Int)
    }
    public enum Source: Sendable, Equatable {
        /// At least one; one only if it has no form.
        case bodies([Body])
        /// The service that is asked for the page.
        case service(ServicePage)
    }
    public struct ServicePage: Sendable, Equatable {
        public var name: Text
        /// A template.
        public var path = Text("/{error.status}.html")
        public var timeoutMs: Int64 = 5_000
    }
    public enum Content: Sendable, Equatable {
        /// A template.
        case text(Text)
        /// The path of a file that is sent as it is.
        case file(Text)
    }
    public struct Body: Sendable, Equatable {
        /// For whom it is; nil: for all.
        public var form: ContentForm?
        public var content: Content
        /// Content-Type; nil: that of the form, or of the file's extension.
        public var type: Text?
    }

    public var statuses: Statuses
    public var origin: Origin
    public var source: Source
    /// Answers of endpoints are replaced, too.
    public var replacesAnswers: Bool
}

extension ErrorPage.Statuses {
    /// "502" or "5xx"; nil for anything else, and for statuses that are no errors.
    init?(_ text: String) {
        switch text {
        case "4xx": self = .all(of: 4)
        case "5xx": self = .all(of: 5)
        default:
            guard text.utf8.count == 3, let status = Int(text), (400...599).contains(status) else {
                return nil
            }
            self = .one(status)
        }
    }

    public func covers(_ status: Int) -> Bool {
        switch self {
        case .one(let own): own == status
        case .all(let digit): status / 100 == digit
        }
    }

    public func covers(_ other: Self) -> Bool {
        switch other {
        case .one(let status): covers(status)
        case .all: self == other
        }
    }

    /// As it is written.
    public var text: String {
        switch self {
        case .one(let status): "\(status)"
        case .all(let digit): "\(digit)xx"
        }
    }
}

extension ErrorPage {
    /// Pages by status.
    static let form: some Form<[ErrorPage]> = MapOf(
        .errorStatus, Parts.section, { ErrorPage($0, $1) },
        { page in (Text(page.statuses.text), Parts(page)) })

    static let doc =
        "What is sent in place of the plain text of Weir's own errors, by status (`502`) or class of status (`4xx`, `5xx`). It stands at the top level, on HTTP listeners and on routes. A route's entry comes before one of the listener, that before one of the top level; within one of them an exact status comes before its class. The entry found answers alone. The status and the fields of the error stay; gRPC calls are answered in their own way."

    static let example =
        "errors:\n  502: { file: /etc/weir/errors/502.html }\n  404: { service: pages }\n  5xx: { respond: { html: \"<h1>{error.status}</h1>\", text: \"{error.reason}\" } }"

    /// An entry as it is written.
    fileprivate struct Parts: Sendable {
        var texts: Texts?
        var files: Files?
        var service: Text?
        var path = ServicePage(name: Text("")).path
        var timeoutMs = ServicePage(name: Text("")).timeoutMs
        var replacesAnswers = false
    }

    fileprivate struct Texts: Sendable, ByForm {
        var body: Text?
        var type: Text?
        var html: Text?
        var json: Text?
        var text: Text?
    }

    fileprivate struct Files: Sendable, ByForm {
        /// For all clients.
        var file: Text?
        var html: Text?
        var json: Text?
        var text: Text?
    }

    /// Nil for an entry that could not be read: the file is refused then anyway.
    private init?(_ status: Text, _ parts: Parts) {
        guard let statuses = Statuses(status.value) else { return nil }
        let source: Source
        if let name = parts.service {
            source = .service(ServicePage(name: name, path: parts.path, timeoutMs: parts.timeoutMs))
        } else {
            let bodies = parts.bodies
            if bodies.isEmpty { return nil }
            source = .bodies(bodies)
        }
        self.init(
            statuses: statuses, origin: status.origin, source: source, replacesAnswers: parts.replacesAnswers)
    }
}

extension ErrorPage.Parts {
    fileprivate var bodies: [ErrorPage.Body] {
        if let body = texts?.body { return [.init(content: .text(body), type: texts?.type)] }
        if let file = files?.file { return [.init(content: .file(file))] }
        return ContentForm.allCases.compactMap { form in
            if let text = texts?[form] { return .init(form: form, content: .text(text)) }
            return files?[form].map { .init(form: form, content: .file($0)) }
        }
    }

    fileprivate init(_ page: ErrorPage) {
        replacesAnswers = page.replacesAnswers
        switch page.source {
        case .service(let asked):
            service = asked.name
            path = asked.path
            timeoutMs = asked.timeoutMs
        case .bodies(let bodies):
            for body in bodies {
                switch (body.content, body.form) {
                case (.text(let text), nil):
                    texts = ErrorPage.Texts(body: text, type: body.type)
                case (.file(let file), nil): files = ErrorPage.Files(file: file)
                case (.text(let text), let form?):
                    var known = texts ?? ErrorPage.Texts()
                    known[form] = text
                    texts = known
                case (.file(let file), let form?):
                    var known = files ?? ErrorPage.Files()
                    known[form] = file
                    files = known
                }
            }
        }
    }

    fileprivate static let section = Section(
        "error", { _ in ErrorPage.Parts() }, uses: { $0.service == nil ? .respond : .forward }
    ) {
        Key(
            "respond", ErrorPage.Texts.section, \.texts,
            "Texts with variables: those of header rules, and `{error.status}`, `{error.phrase}` and `{error.reason}`. Values cannot be markup: they are escaped as the type of the text wants it.",
            example: "respond: { body: \"{error.status} {error.phrase}, request {request.id}\" }")
        Key(
            "file",
            TextOrMap(
                TextRule.file.mapped(to: { ErrorPage.Files(file: $0) }, from: \.file), ErrorPage.Files.section
            ), \.files,
            "A file, sent as it is, without variables; at most 256 KiB. Its extension says its type. Besides `respond` where each has other forms (`html` from a file, `json` from a text). It is read when the configuration is loaded, and again at every reload.",
            example: "file: /etc/weir/errors/502.html")
        Key(
            "service", TextRule.name, \.service,
            "The service that is asked for the page, with GET (HEAD for HEAD) and without the client's body, cookies and credentials. The status stays that of the error. If the service cannot be reached, answers anything but 200, or has no such file, the error is told in plain text. Instead of `respond` and `file`.",
            example: "service: pages")
        Key(
            "path", TextRule.template, \.path, for: .forward,
            "What the service is asked for: a template with the variables of a rewrite, `{error.status}`, `{error.phrase}` and `{error.reason}`. With `service` only.",
            example: "path: \"/errors/{error.status}.html\"")
        Key(
            "timeout", Duration(1...3_600_000), \.timeoutMs, for: .forward,
            "How long the service may take until its response begins, all attempts together, and how long it may pause within it. With `service` only.",
            example: "timeout: 2s")
        Key(
            "of-endpoints", Flag(), \.replacesAnswers, shown: .ifChanged,
            "Answers of endpoints with this status are replaced as well (`proxy_intercept_errors` in nginx). Without it only Weir's own errors are.",
            example: "of-endpoints: true")
    }
}

extension ErrorPage.Texts {
    fileprivate static let section = Section("respond", { _ in ErrorPage.Texts() }) {
        Key(
            "body", TextRule.body, \.body,
            "The text for all clients. Instead of `html`, `json` and `text`.",
            example: "body: \"{error.status} {error.phrase}\"")
        Key(
            "type", TextRule.fieldValue, \.type, default: "text/plain; charset=utf-8",
            "Content-Type of `body`. In types of HTML and XML values are escaped as text of a page, in types of JSON as parts of a string.",
            example: "type: text/html; charset=utf-8")
        Key(
            "html", TextRule.body, \.html,
            "The text for clients that want HTML most (`Accept`). `json` and `text` are of the same kind; one that is missing is not offered. Clients that say nothing get the first there is of `text`, `json`, `html`.",
            example: "html: \"<!doctype html><title>{error.status}</title><h1>{error.phrase}</h1>\"")
        Key(
            "json", TextRule.body, \.json,
            "The text for clients that want JSON most.",
            example: "json: '{{\"error\": \"{error.reason}\", \"request\": \"{request.id}\"}}'")
        Key(
            "text", TextRule.body, \.text,
            "The text for clients that want plain text most.",
            example: "text: \"{error.status} {error.phrase} ({request.id})\"")
    }
}

extension ErrorPage.Files {
    fileprivate static let section = Section("file", { _ in ErrorPage.Files() }) {
        Key(
            "html", TextRule.file, \.html,
            "The file for clients that want HTML most.",
            example: "html: /etc/weir/errors/502.html")
        Key(
            "json", TextRule.file, \.json,
            "The file for clients that want JSON most.",
            example: "json: /etc/weir/errors/502.json")
        Key(
            "text", TextRule.file, \.text,
            "The file for clients that want plain text most.",
            example: "text: /etc/weir/errors/502.txt")
    }
}

/// One text for each form a client may want.
private protocol ByForm {
    var text: Text? { get set }
    var json: Text? { get set }
    var html: Text? { get set }
}

extension ByForm {
    fileprivate subscript(form: ContentForm) -> Text? {
        get {
            switch form {
            case .text: text
            case .json: json
            case .html: html
            }
        }
        set {
            switch form {
            case .text: text = newValue
            case .json: json = newValue
            case .html: html = newValue
            }
        }
    }
}

extension TextRule {
    static let errorStatus = TextRule(
        "STATUS", "a status from 400 to 599, or a class of them: 4xx or 5xx", noun: "a status",
        pattern: "^([45][0-9]{2}|[45]xx)$"
    ) { it throws(ValueProblem) in
        guard ErrorPage.Statuses(it.value) == nil else { return }
        throw it.problem("\(it.quoted) is not the status of an error", suggestion: meant(by: it.value))
    }

    /// What was meant by "5XX", "50x", "5**" or "500-599".
    private static func meant(by text: String) -> String? {
        guard let digit = text.first, "45".contains(digit) else { return nil }
        let rest = text.dropFirst().lowercased()
        let isClass = rest.allSatisfy { "0123456789x*-".contains($0) } && rest.contains { "x*-".contains($0) }
        return isClass || rest.isEmpty ? "\(digit)xx" : nil
    }
}

extension Configuration {
    /// Every page that a service is asked for, wherever it stands.
    var servicePages: [ErrorPage.ServicePage] {
        (errors + listeners.flatMap(\.errors) + routes.flatMap(\.errors)).compactMap {
            if case .service(let page) = $0.source { page } else { nil }
        }
    }
}

extension CrossCheck {
    /// Every `errors` of the file: what belongs together, and what has no effect where it stands.
    func errorPages(_ check: inout SchemaCheck) {
        look(written["errors"], &check)
        for entry in written["listeners"]?.entries ?? [] { look(entry.value["errors"], &check) }
        for entry in written["policies"]?.entries ?? [] { look(entry.value["errors"], &check) }
        for route in written["routes"]?.elements ?? [] {
            look(route["errors"], &check)
            guard route["service"] == nil, route["redirect"] != nil || route["respond"] != nil else {
                continue
            }
            for entry in route["errors"]?.entries ?? [] {
                guard let key = entry.value.key("of-endpoints") else { continue }
                check.report(
                    "\"of-endpoints\" has no effect without \"service\"", key,
                    "expected it on routes that send requests to a service")
            }
        }
    }

    private func look(_ errors: Node?, _ check: inout SchemaCheck) {
        for entry in errors?.entries ?? [] {
            guard case .map(let keys) = entry.value.content else { continue }
            let place = "errors.\(entry.key.value.clipped(8))"
            let respond = entry.value["respond"]
            let file = entry.value["file"]
            if ["respond", "file", "service"].allSatisfy({ entry.value[$0] == nil }) {
                check.report(
                    "one of respond, file, service is missing in \(place)", entry.value.origin,
                    "expected respond: …, file: …, both for different forms, or service: NAME")
            }
            servicePage(entry.value, keys, place, &check)
            if let respond, case .map = respond.content { texts(respond, place, &check) }
            if let file, case .map(let files) = file.content, files.isEmpty {
                check.report(
                    "\(place).file is empty", file.origin, "expected at least one of: html, json, text")
            }
            guard let respond, let file, let key = entry.value.key("file") else { continue }
            if file.text != nil || respond["body"] != nil {
                check.report(
                    "\"file\" besides \"respond\" in \(place)", key,
                    "expected one of them, or both with html, json or text for different clients")
            }
            for form in file.entries where respond[form.key.value] != nil {
                check.report(
                    "\"\(form.key.value)\" is given twice in \(place)", form.key.origin,
                    "expected it under respond or under file")
            }
        }
    }

    /// A service has the page alone, and what is said about the request for it needs one.
    private func servicePage(
        _ entry: Node, _ keys: [Node.Entry], _ place: String, _ check: inout SchemaCheck
    ) {
        guard let name = entry["service"]?.asText else {
            for key in keys.map(\.key) where ["path", "timeout"].contains(key.value) {
                check.report(
                    "\"\(key.value)\" has no effect without \"service\"", key.origin,
                    "expected service: NAME in \(place)")
            }
            return
        }
        for key in keys.map(\.key) where ["respond", "file"].contains(key.value) {
            check.report(
                "\"\(key.value)\" besides \"service\" in \(place)", key.origin,
                "expected one of them: without an answer of the service the error is told in plain text")
        }
        if service(name.value) == nil {
            check.dangling(name, "service", configuration.services.map(\.name.value))
        }
        if let path = entry["path"]?.asText, !path.value.hasPrefix("/") {
            check.report(
                "\"\(path.shown.clipped(60))\" is not a path", path.origin,
                "expected a template that begins with /",
                suggestion: path.value.isEmpty || path.isSubstituted ? nil : "/\(path.value)")
        }
    }

    private func texts(_ respond: Node, _ place: String, _ check: inout SchemaCheck) {
        let forms = respond.entries.filter { ["html", "json", "text"].contains($0.key.value) }
        if respond["body"] == nil, forms.isEmpty, respond.entries.allSatisfy({ $0.key.value == "type" }) {
            check.report(
                "\(place).respond has no text", respond.origin,
                "expected body, or at least one of: html, json, text")
        }
        if let type = respond["type"]?.asText, !type.value.contains("/") {
            check.report(
                "\(place).respond.type is \"\(type.shown.clipped(60))\"", type.origin,
                "expected a content type such as text/html; charset=utf-8")
        }
        if respond["body"] != nil, let form = forms.first {
            check.report(
                "\"\(form.key.value)\" besides \"body\"", form.key.origin,
                "expected body for all clients, or html, json and text for each kind")
        }
        if respond["body"] == nil, let key = respond.key("type"), let form = forms.first {
            check.report(
                "\"type\" has no effect without \"body\"", key,
                "the type of \"\(form.key.value)\" follows from its name")
        }
    }
}
