// Routes that answer themselves: with a redirect, or a fixed response.

extension Route {
    public struct Redirect: Sendable, Equatable {
        /// Template of the Location field.
        public var to: Text
        /// 301, 302, 303, 307 or 308.
        public var status = 308

        public init(to: Text) { self.to = to }
    }
    public struct Response: Sendable, Equatable {
        /// 200…599.
        public var status = 200
        public var body = Text("")
        /// Content-Type of the body.
        public var type = Text("text/plain; charset=utf-8")

        public init() {}
    }
}

extension Route.Redirect {
    static let section = Section("redirect", { _ in Route.Redirect(to: Text("")) }) {
        Key(
            "to", TextRule.template, \.to, required: true,
            "The Location to send.",
            example: "to: \"https://{request.host}{request.uri}\"")
        Key(
            "status", Choice([301, 302, 303, 307, 308].map { ("\($0)", $0) }), \.status,
            "The status to send.",
            example: "status: 302")
    }
}

extension Route.Response {
    static let section = Section("respond", { _ in Route.Response() }) {
        Key(
            "status", Whole(200...599), \.status,
            "The status to send.",
            example: "status: 404")
        Key(
            "body", TextRule.free, \.body,
            "The body to send, at most 1 MiB.",
            example: "body: nothing here")
        Key(
            "type", TextRule.fieldValue, \.type,
            "Content-Type of the body.",
            example: "type: application/json")
    }
}
