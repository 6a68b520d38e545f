// What is sent in place of errors, in the model: which statuses, in which forms, from which text or file.

import HTTPModel

/// What is sent in place of an error: one entry of `errors`.
public struct ErrorPage: Sendable, Equatable {
    public enum Statuses: Sendable, Hashable {
        /// 400…599.
        case one(Int)
        /// All of a class: 4 or 5.
        case all(of: Int)
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
    /// At least one; one only if it has no form.
    public var bodies: [Body]
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
            let bodies = bodies(entry.value)
            if bodies.isEmpty { return nil }
            return ErrorPage(
                statuses: statuses, origin: entry.key.origin, bodies: bodies,
                replacesAnswers: entry.value["of-endpoints"]?.bool ?? false)
        }
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

extension CrossCheck {
    /// Every `errors` of the file: what belongs together, and what has no effect where it stands.
    func errorPages(_ check: inout SchemaCheck) {
        look(written["errors"], &check)
        for entry in written["listeners"]?.entries ?? [] { look(entry.value["errors"], &check) }
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
            if keys.allSatisfy({ $0.key.value == "of-endpoints" }) {
                check.report(
                    "one of respond, file is missing in \(place)", entry.value.origin,
                    "expected respond: …, file: …, or both for different forms")
            }
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

    private func texts(_ respond: Node, _ place: String, _ check: inout SchemaCheck) {
        let forms = respond.entries.filter { ["html", "json", "text"].contains($0.key.value) }
        if respond["body"] == nil, forms.isEmpty, respond.entries.allSatisfy({ $0.key.value == "type" }) {
            check.report(
                "\(place).respond has no text", respond.origin,
                "expected body, or at least one of: html, json, text")
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
