import WeirHTTPModel
import Testing

@testable import WeirRouting

/// A certificate's texts, with memory of their own.
private final class Certificate {
    private let memory: UnsafeMutablePointer<UInt8>
    private var view = CertificateView()

    init(
        subject: String = "CN=Ann,O=Example", san: String = "", fingerprint: String = "00ff",
        issuer: String = "CN=CA", serial: String = "7"
    ) {
        memory = .allocate(capacity: 4_096)
        var count = 0
        func place(_ text: String) -> CertificateView.Text {
            let bytes = Array(text.utf8)
            (memory + count).initialize(from: bytes, count: bytes.count)
            count += bytes.count
            return CertificateView.Text(start: memory + count - bytes.count, count: bytes.count)
        }
        view.subject = place(subject)
        view.issuer = place(issuer)
        view.san = place(san)
        view.fingerprint = place(fingerprint)
        view.serial = place(serial)
    }

    deinit { memory.deallocate() }

    func with<T>(_ body: (UnsafePointer<CertificateView>) -> T) -> T {
        withExtendedLifetime(self) { withUnsafePointer(to: view) { body($0) } }
    }
}

@Suite struct CertificateTests {
    private func name(_ router: Router, _ certificate: Certificate?, method: String = "GET") -> String? {
        Request("/", method: method).with { view in
            var match = RouteMatch()
            func ask(_ certificate: UnsafePointer<CertificateView>?) -> String? {
                var context = RequestContext(request: view)
                context.certificate = certificate
                let isFound = withUnsafePointer(to: context) {
                    router.match(view, scratch: RouteScratch(), context: $0, into: &match)
                }
                return isFound ? router.rules[Int(match.route)].name : nil
            }
            guard let certificate else { return ask(nil) }
            return certificate.with { ask($0) }
        }
    }

    private func router(_ conditions: [Condition]) throws -> Router {
        Router([try rule("it", conditions: conditions), try rule("other")])
    }

    @Test func whetherThereIsOne() throws {
        let with = try router([Condition(.certificate(.whole), .present)])
        #expect(with.asksForCertificates)
        #expect(name(with, Certificate()) == "it")
        #expect(name(with, nil) == "other")
        let without = try router([Condition(.certificate(.whole), .present, isNegated: true)])
        #expect(name(without, Certificate()) == "other")
        #expect(name(without, nil) == "it")
        #expect(try !router([Condition(.field("x"), .present)]).asksForCertificates)
    }

    @Test func itsParts() throws {
        let ann = Certificate(fingerprint: "abcd")
        for (part, text) in [
            (CertificatePart.subject, "CN=Ann,O=Example"), (.issuer, "CN=CA"), (.fingerprint, "abcd"),
            (.serial, "7"),
        ] {
            let router = try router([Condition(.certificate(part), .equals(text))])
            #expect(name(router, ann) == "it")
            #expect(
                name(router, Certificate(subject: "CN=Bob", issuer: "CN=C", serial: "77")) == "other")
            #expect(name(router, nil) == "other")
        }
        let organization = try RegularExpression("(^|,)O=Example(,|$)")
        let router = try router([
            Condition(.certificate(.subject), .expression(organization)),
            Condition(.certificate(.subject), .prefix("CN=A")),
        ])
        #expect(name(router, ann) == "it")
        #expect(name(router, Certificate(subject: "CN=Ann,O=Example2")) == "other")
        #expect(name(router, Certificate(subject: "O=Example")) == "other")
    }

    @Test func anEmptySubjectIsNone() throws {
        let present = try router([Condition(.certificate(.subject), .present)])
        #expect(name(present, Certificate(subject: "")) == "other")
        let absent = try router([Condition(.certificate(.subject), .present, isNegated: true)])
        #expect(name(absent, Certificate(subject: "")) == "it")
        let anything = try router([Condition(.certificate(.subject), .prefix(""))])
        #expect(name(anything, Certificate(subject: "")) == "other")
    }

    @Test func oneOfTheNamesHasToFitAsAWhole() throws {
        let names = Certificate(san: #"DNS:a.test, URI:spiffe://x/y\2C DNS:admin, IP:10.0.0.1"#)
        for (test, fits) in [
            (Condition.Test.equals("DNS:a.test"), true), (.equals("IP:10.0.0.1"), true),
            (.equals(#"URI:spiffe://x/y\2C DNS:admin"#), true), (.equals("DNS:admin"), false),
            (.prefix("DNS:adm"), false), (.prefix("URI:spiffe://x/"), true), (.equals("DNS:a"), false),
            (.equals("DNS:a.test, URI:spiffe://x/y"), false), (.equals(""), false), (.present, true),
            (.expression(try RegularExpression("^DNS:.*IP:")), false),
            (.expression(try RegularExpression("^IP:10[.]")), true),
        ] {
            let router = try router([Condition(.certificate(.san), test)])
            #expect(name(router, names) == (fits ? "it" : "other"), "\(test)")
            #expect(name(router, Certificate()) == "other")
            #expect(name(router, nil) == "other")
        }
    }

    @Test func allowedMethodsCountTheCertificate() throws {
        let router = Router([
            try rule(
                "put", methods: ["PUT"], conditions: [Condition(.certificate(.whole), .present)])
        ])
        let get = Request("/")
        #expect(get.with { router.allowedMethods($0) } == [])
        #expect(
            get.with { view in
                Certificate().with { certificate in
                    var context = RequestContext(request: view)
                    context.certificate = certificate
                    return withUnsafePointer(to: context) { router.allowedMethods(view, context: $0) }
                }
            } == [
                "PUT"
            ])
        #expect(
            get.with { router.explain($0) }.map(\.outcome) == [.condition("client certificate")])
    }

    @Test func templatesHaveItsTexts() throws {
        func render(_ text: String, _ certificate: Certificate?) throws -> String {
            let template = try Template.parse(text)
            #expect(template.usesCertificate)
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 512)
            defer { memory.deallocate() }
            return Request("/").with { view in
                var writer = ByteWriter(memory, capacity: 512)
                var context = RequestContext(request: view)
                if let certificate {
                    certificate.with {
                        context.certificate = $0
                        _ = template.render(into: &writer, context: context)
                    }
                } else {
                    template.render(into: &writer, context: context)
                }
                return String(
                    decoding: UnsafeBufferPointer(start: memory, count: writer.count), as: UTF8.self)
            }
        }
        let all =
            "{client.certificate.subject}|{client.certificate.issuer}|{client.certificate.san}|{client.certificate.fingerprint}|{client.certificate.serial}|{client.certificate.verified}"
        #expect(
            try render(all, Certificate(san: "DNS:a, DNS:b"))
                == "CN=Ann,O=Example|CN=CA|DNS:a, DNS:b|00ff|7|true")
        #expect(try render(all, nil) == "|||||false")
        #expect(try !Template.parse("{client.ip}").usesCertificate)
        #expect(
            throws: PatternError(
                at: 1,
                "unknown variable 'client.certificate.subjekt'; did you mean 'client.certificate.subject'?")
        ) {
            try Template.parse("{client.certificate.subjekt}")
        }
    }
}
