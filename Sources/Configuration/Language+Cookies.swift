// The configuration language, continued: cookies of endpoints.

extension Language {
    static let cookies = Section(
        name: "cookies",
        keys: [
            Key(
                "path", .either([.word("rewrite"), .word("keep"), .section(cookiePath)]), default: "keep",
                "The `Path` of cookies. `rewrite`: they get back what the route's `rewrite: { prefix: … }` took off. Cookies whose names begin with `__Host-` stay as they are.",
                example: "path: { from: /app, to: /shop }"),
            Key(
                "domain", .either([.word("remove"), .word("keep"), .section(cookieDomain)]), default: "keep",
                "The `Domain` of cookies. `remove`: they are for the host the client asked, and no other.",
                example: "domain: { from: app.internal, to: shop.example.com }"),
            Key(
                "secure", .choice(["on", "off", "keep"]), default: "keep",
                "`on`: all are `Secure`. `off`: none is, but for those that browsers would refuse without it: `__Secure-` and `__Host-` names, `SameSite=None` and `Partitioned`.",
                example: "secure: on"),
            Key(
                "same-site", .choice(["strict", "lax", "none", "keep"]), default: "keep",
                "The `SameSite` all cookies get. `none` makes all `Secure` too: browsers refuse it without.",
                example: "same-site: lax"),
            Key(
                "http-only", .choice(["on", "keep"]), default: "keep",
                "`on`: scripts cannot read any of them.", example: "http-only: on"),
        ])

    static let cookiePath = Section(
        name: "path",
        keys: [
            Key(
                "from", .text(.cookiePath), required: true,
                "What the endpoint's path starts with, in whole segments; other paths are left alone.",
                example: "from: /app"),
            Key(
                "to", .text(.cookiePath), required: true, "What it starts with for the client.",
                example: "to: /shop"),
        ])

    static let cookieDomain = Section(
        name: "domain",
        keys: [
            Key(
                "from", .text(.cookieDomain), required: true,
                "The endpoint's domain, in any case; other domains are left alone.",
                example: "from: app.internal"),
            Key(
                "to", .text(.cookieDomain), required: true, "The domain for the client.",
                example: "to: shop.example.com"),
        ])
}
