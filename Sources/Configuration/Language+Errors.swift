// The configuration language, continued: what is sent in place of errors.

extension Language {
    /// The same key at the top level, on listeners and on routes.
    static let errors = Key(
        "errors", .map(.section(errorPage), of: .errorStatus), for: .http,
        "What is sent in place of the plain text of Weir's own errors, by status (`502`) or class of status (`4xx`, `5xx`). It stands at the top level, on HTTP listeners and on routes. A route's entry comes before one of the listener, that before one of the top level; within one of them an exact status comes before its class. The entry found answers alone. The status and the fields of the error stay; gRPC calls are answered in their own way.",
        example:
            "errors:\n  502: { file: /etc/weir/errors/502.html }\n  404: { service: pages }\n  5xx: { respond: { html: \"<h1>{error.status}</h1>\", text: \"{error.reason}\" } }"
    )

    static let errorPage = Section(
        name: "error",
        keys: [
            Key(
                "respond", .section(errorTexts),
                "Texts with variables: those of header rules, and `{error.status}`, `{error.phrase}` and `{error.reason}`. Values cannot be markup: they are escaped as the type of the text wants it.",
                example: "respond: { body: \"{error.status} {error.phrase}, request {request.id}\" }"),
            Key(
                "file", .either([.text(.file), .section(errorFiles)]),
                "A file, sent as it is, without variables; at most 256 KiB. Its extension says its type. Besides `respond` where each has other forms (`html` from a file, `json` from a text). It is read when the configuration is loaded, and again at every reload.",
                example: "file: /etc/weir/errors/502.html"),
            Key(
                "service", .text(.name),
                "The service that is asked for the page, with GET (HEAD for HEAD) and without the client's body, cookies and credentials. The status stays that of the error. If the service cannot be reached, answers anything but 200, or has no such file, the error is told in plain text. Instead of `respond` and `file`.",
                example: "service: pages"),
            Key(
                "path", .text(.template), default: "/{error.status}.html",
                "What the service is asked for: a template with the variables of a rewrite, `{error.status}`, `{error.phrase}` and `{error.reason}`. With `service` only.",
                example: "path: \"/errors/{error.status}.html\""),
            Key(
                "timeout", .duration(1...3_600_000), default: "5s",
                "How long the service may take until its response begins, all attempts together, and how long it may pause within it. With `service` only.",
                example: "timeout: 2s"),
            Key(
                "of-endpoints", .bool, default: "false",
                "Answers of endpoints with this status are replaced as well (`proxy_intercept_errors` in nginx). Without it only Weir's own errors are.",
                example: "of-endpoints: true"),
        ])

    static let errorTexts = Section(
        name: "respond",
        keys: [
            Key(
                "body", .text(.body), "The text for all clients. Instead of `html`, `json` and `text`.",
                example: "body: \"{error.status} {error.phrase}\""),
            Key(
                "type", .text(.fieldValue), default: "text/plain; charset=utf-8",
                "Content-Type of `body`. In types of HTML and XML values are escaped as text of a page, in types of JSON as parts of a string.",
                example: "type: text/html; charset=utf-8"),
            Key(
                "html", .text(.body),
                "The text for clients that want HTML most (`Accept`). `json` and `text` are of the same kind; one that is missing is not offered. Clients that say nothing get the first there is of `text`, `json`, `html`.",
                example: "html: \"<!doctype html><title>{error.status}</title><h1>{error.phrase}</h1>\""),
            Key(
                "json", .text(.body), "The text for clients that want JSON most.",
                example: "json: '{{\"error\": \"{error.reason}\", \"request\": \"{request.id}\"}}'"),
            Key(
                "text", .text(.body), "The text for clients that want plain text most.",
                example: "text: \"{error.status} {error.phrase} ({request.id})\""),
        ])

    static let errorFiles = Section(
        name: "file",
        keys: [
            Key(
                "html", .text(.file), "The file for clients that want HTML most.",
                example: "html: /etc/weir/errors/502.html"),
            Key(
                "json", .text(.file), "The file for clients that want JSON most.",
                example: "json: /etc/weir/errors/502.json"),
            Key(
                "text", .text(.file), "The file for clients that want plain text most.",
                example: "text: /etc/weir/errors/502.txt"),
        ])
}
