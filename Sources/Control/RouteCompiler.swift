// From one route of a configuration to what it takes to find and serve it: patterns, templates and rules.
//
// What the configuration module cannot judge (whether a pattern or a template is well-formed) is judged here and
// reported as errors of the same kind, at the same places.

import Configuration
import Proxy
import WeirExpressions
import WeirHTTPModel
import WeirRouting

struct RouteCompiler {
    let route: Route
    let file: String

    func compile(_ errors: inout [ConfigurationError]) -> CompiledRoutes.Compiled {
        var rule = RouteRule(name: route.name.value)
        for host in route.match.hosts {
            if let pattern = checked(host, &errors, HostPattern.parse) { rule.hosts.append(pattern) }
        }
        for path in route.match.paths {
            if let pattern = checked(path, &errors, PathPattern.parse) { rule.paths.append(pattern) }
        }
        rule.isBeforeExpressions = route.match.isBeforeExpressions
        rule.methods = route.match.methods.map { $0.value.uppercased() }
        // Whoever may GET may HEAD (RFC 9110 §9.3.2).
        if rule.methods.contains("GET") && !rule.methods.contains("HEAD") { rule.methods.append("HEAD") }
        for named in route.match.headers {
            condition(.field(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.query {
            condition(.query(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.cookies {
            condition(.cookie(named.name.value), named.condition, &rule, &errors)
        }
        for named in route.match.certificate {
            condition(.certificate(CertificatePart(named.part)), named.condition, &rule, &errors)
        }

        rule.when = route.match.when.flatMap { compileCondition($0, known: .request, file, &errors) }

        var compiled = CompiledRoutes.Compiled(rule: rule, action: .service(""))
        switch route.action {
        case .service(let name):
            compiled.action = .service(name.value)
        case .redirect(let redirect):
            if let template = template(redirect.to, &errors, Self.url) {
                compiled.action = .redirect(template, UInt16(redirect.status))
            }
        case .close:
            compiled.action = .close
        case .respond(let response):
            compiled.action = .respond(
                UInt16(response.status), StaticBytes(response.type.value), StaticBytes(response.body.value))
        }
        switch route.rewrite {
        case nil: break
        case .path(let text): compiled.rewrite = template(text, &errors, Self.target).map { .target($0) }
        case .prefix(let from, let to):
            compiled.rewrite = .prefix(PathPrefix(from: from.value, to: to.value))
        case .pattern(let pattern, let with):
            compiled.rewrite = substitution(pattern, with, isText: true, for: .target, &errors).map {
                .part($0)
            }
        }
        // What goes out of other rewrites is not known; the configuration has refused to ask for it.
        let prefix: PathPrefix? = if case .prefix(let prefix)? = compiled.rewrite { prefix } else { nil }
        if route.rewritesLocation { compiled.location = LocationRule(prefix: prefix) }
        if !route.cookies.isEmpty { compiled.cookies = CookieRule(route.cookies, prefix) }
        compiled.requestRules = rules(route.headers.request, .request, &errors)
        compiled.responseRules = rules(
            route.headers.response, .response, isCompressed: route.compression != nil, &errors)
        return compiled
    }

    private func condition(
        _ source: Condition.Source, _ wanted: Match.Condition, _ rule: inout RouteRule,
        _ errors: inout [ConfigurationError]
    ) {
        switch wanted {
        case .present(let wanted): rule.conditions.append(Condition(source, .present, isNegated: !wanted))
        case .equals(let text): rule.conditions.append(Condition(source, .equals(Self.value(text, source))))
        case .prefix(let text): rule.conditions.append(Condition(source, .prefix(Self.value(text, source))))
        case .regex(let text):
            if let expression = checked(
                text, &errors, { text throws(PatternError) in try RegularExpression(text) })
            {
                rule.conditions.append(Condition(source, .expression(expression)))
            }
        }
    }

    /// A text to compare with; DNS names in certificates are compared in lower case.
    private static func value(_ text: Text, _ source: Condition.Source) -> String {
        source == .certificate(.san) && text.value.hasPrefix("DNS:")
            ? "DNS:" + text.value.dropFirst(4).lowercased() : text.value
    }

    private func rules(
        _ changes: Route.Changes, _ direction: FieldRules.Direction, isCompressed: Bool = false,
        _ errors: inout [ConfigurationError]
    ) -> FieldRules? {
        if changes.isEmpty { return nil }
        func compile(_ fields: [Route.Changes.Field]) -> [FieldRules.Rule] {
            fields.compactMap { field in
                template(field.value, &errors, Self.isURL(field.name) ? Self.url : Self.text).map {
                    FieldRules.Rule(name: field.name.value, value: $0)
                }
            }
        }
        var added = compile(changes.add)
        // A rule for Vary does not know that responses are coded; caches have to.
        if isCompressed, changes.set.contains(where: { $0.name.value.lowercased() == "vary" }),
            let value = try? Template.parse("Accept-Encoding")
        {
            added.append(FieldRules.Rule(name: "Vary", value: value))
        }
        return FieldRules(
            replace: changes.replace.compactMap { field in
                // A value is the endpoint's or the client's own, and what is put into a URL is data.
                substitution(
                    field.pattern, field.with, isText: false, for: Self.isURL(field.name) ? .target : .text,
                    &errors
                ).map { FieldRules.Replacement(name: field.name.value, $0) }
            },
            set: compile(changes.set), add: added, remove: changes.remove.map(\.value),
            direction: direction)
    }

    private func substitution(
        _ pattern: Text, _ with: Text, isText: Bool, for place: Template.Place,
        _ errors: inout [ConfigurationError]
    ) -> Substitution? {
        guard
            let expression = checked(
                pattern, &errors, { text throws(PatternError) in try RegularExpression(text, isText: isText) }
            ),
            let template = template(
                with, &errors,
                { text throws(PatternError) in try Template.parse(text, for: place, of: expression) })
        else { return nil }
        return Substitution(expression, with: template)
    }

    private static func text(_ text: String) throws(PatternError) -> Template { try .parse(text) }
    private static func target(_ text: String) throws(PatternError) -> Template {
        try .parse(text, for: .target)
    }
    private static func url(_ text: String) throws(PatternError) -> Template { try .parse(text, for: .url) }

    /// Whether clients go where the field says.
    private static func isURL(_ name: Text) -> Bool { name.value.lowercased() == "location" }

    private func template(
        _ text: Text, _ errors: inout [ConfigurationError],
        _ parse: (String) throws(PatternError) -> Template
    ) -> Template? {
        checked(text.asTemplate, &errors, parse)
    }

    private func checked<Result>(
        _ text: Text, _ errors: inout [ConfigurationError], _ parse: (String) throws(PatternError) -> Result
    ) -> Result? {
        Control.checked(text, file, &errors, parse)
    }
}

extension Text {
    /// To be parsed as a template: what references stand for is text in it, not variables.
    var asTemplate: Text { Text(template, at: origin) }
}

/// Compiles a condition, its regular expressions included.
func compileCondition(
    _ text: Text, known: Known, _ file: String, _ errors: inout [ConfigurationError]
) -> RequestCondition? {
    do throws(ExpressionError) {
        return try RequestCondition(text.expression, known: known)
    } catch {
        let isShown = !text.isSubstituted
        errors.append(
            ConfigurationError(
                isShown ? error.message : "what \"\(text.shown)\" stands for cannot stand here",
                at: isShown
                    ? text.origin.place(of: error.position..<error.position + error.length, in: text.value)
                    : text.origin,
                file: file, expectation: error.expectation, suggestion: isShown ? error.bareSuggestion : nil))
        return nil
    }
}

/// Parses a text, turning what is wrong with it into an error at its place.
func checked<Result>(
    _ text: Text, _ file: String, _ errors: inout [ConfigurationError],
    _ parse: (String) throws(PatternError) -> Result
) -> Result? {
    do throws(PatternError) {
        return try parse(text.value)
    } catch {
        let origin = text.origin
        if text.isSubstituted {
            errors.append(
                ConfigurationError(
                    "what \"\(text.shown)\" stands for cannot stand here", at: origin, file: file))
            return nil
        }
        let place = origin.place(at: error.position, in: text.value)
        errors.append(ConfigurationError(error.message, at: place, file: file))
        return nil
    }
}

extension CookieRule {
    /// - Parameter prefix: what the route's rewrite exchanges.
    init(_ cookies: Route.Cookies, _ prefix: PathPrefix?) {
        let path: PathPrefix?
        switch cookies.path {
        case nil: path = nil
        case .rewrite?: path = prefix
        // Of a prefix outward is from the endpoint to the client, as the configuration has it.
        case .prefix(let from, let to)?: path = PathPrefix(from: to.value, to: from.value)
        }
        let domain: Domain?
        switch cookies.domain {
        case nil: domain = nil
        case .remove?: domain = .remove
        case .replace(let from, let to)?:
            domain = .replace(StaticBytes(from.value), with: StaticBytes(to.value))
        }
        self.init(
            path: path, domain: domain, secure: cookies.secure,
            sameSite: cookies.sameSite.flatMap { SameSite(rawValue: $0.rawValue) }, httpOnly: cookies.httpOnly
        )
    }
}

extension CertificatePart {
    init(_ part: Match.OfCertificate.Part) {
        switch part {
        case .present: self = .whole
        case .subject: self = .subject
        case .issuer: self = .issuer
        case .san: self = .san
        case .fingerprint: self = .fingerprint
        }
    }
}
