// What is sent in place of errors, in the model: which statuses, in which forms, from which text, file or service.

import HTTPModel

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

    public func contains(_ status: Int) -> Bool {
        switch self {
        case .one(let own): own == status
        case .all(let digit): status / 100 == digit
        }
    }

    public func contains(_ other: Self) -> Bool {
        switch other {
        case .one(let status): contains(status)
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

extension ConfigurationBuilder {
    /// Entries that could not be read are left out: the file is refused then anyway.
    func errorPages(_ node: Node?) -> [ErrorPage] {
        (node?.entries ?? []).compactMap { entry in
            guard let statuses = ErrorPage.Statuses(entry.key.value) else { return nil }
            guard let source = source(entry.value) else { return nil }
            return ErrorPage(
                statuses: statuses, origin: entry.key.origin, source: source,
                replacesAnswers: entry.value["of-endpoints"]?.bool ?? false)
        }
    }

    private func source(_ node: Node) -> ErrorPage.Source? {
        if let name = node["service"]?.asText {
            var page = ErrorPage.ServicePage(name: name)
            node["path"]?.asText.map { page.path = $0 }
            node["timeout"]?.store(&page.timeoutMs)
            return .service(page)
        }
        let bodies = bodies(node)
        return bodies.isEmpty ? nil : .bodies(bodies)
    }

    private func bodies(_ node: Node) -> [ErrorPage.Body] {
        let respond = node["respond"]
        if let body = respond?["body"]?.asText {
            return [ErrorPage.Body(content: .text(body), type: respond?["type"]?.asText)]
        }
        if let file = node["file"]?.asText { return [ErrorPage.Body(content: .file(file))] }
        return ContentForm.allCases.compactMap { form in
            if let text = respond?["\(form)"]?.asText {
                return ErrorPage.Body(form: form, content: .text(text))
            }
            return node["file"]?["\(form)"]?.asText.map { ErrorPage.Body(form: form, content: .file($0)) }
        }
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
            dangling(name, "service", configuration.services.map(\.name.value), &check)
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
