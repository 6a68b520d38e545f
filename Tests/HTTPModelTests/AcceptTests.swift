// Accept: what is well-formed, what it means, and which form is chosen.

import WeirHTTPModel
import Testing

@Suite("Accept")
struct AcceptTests {
    static func choice(_ values: [String], among offered: Set<ContentForm>) -> ContentForm? {
        var accepted = AcceptedForms()
        for value in values { Array(value.utf8).withUnsafeBufferPointer { accepted.add($0) } }
        return accepted.choice { offered.contains($0) }
    }

    static let all = Set(ContentForm.allCases)

    @Test(arguments: [
        // What browsers and programs send
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", ContentForm.html),
        ("application/json, text/plain, */*", .json),
        ("application/json, text/javascript, */*; q=0.01", .json),
        ("*/*", .text), ("image/avif,image/webp,*/*;q=0.8", .text), ("application/vnd.github+json", .json),
        ("application/problem+json", .json),
        // Weights, then the order they were said in, then our own
        ("text/html;q=0.5, application/json;q=0.7", .json), ("text/html, application/json", .html),
        ("application/json, text/html", .json), ("text/*", .text), ("application/*", .json),
        ("text/plain;q=0.1, */*;q=0.1", .text), ("*/*, text/html", .text),
        ("text/*, application/json", .text),
        // The narrowest range counts, whatever its place
        ("text/*;q=0.1, text/html;q=0.9, */*;q=0.5", .html), ("*/*, text/plain;q=0, text/html;q=0", .json),
        ("text/*, text/plain;q=0", .html),
        // Parameters, case and space
        ("Text/HTML;level=1;charset=\"a,b;q=0\";q=1.000", .html),
        ("text/html ; q=0.3 , application/json", .json),
        ("text/html;q=0.1;level=1, text/html;q=0.8, application/json;q=0.5", .html),
        (" , text/html,,", .html),
        ("text/html;, application/json;q=0.5", .html), ("application/json;x=\"\\\"\"", .json),
    ])
    func choices(value: String, wanted: ContentForm) {
        #expect(Self.choice([value], among: Self.all) == wanted)
    }

    @Test(arguments: [
        "", "image/png", "*/*;q=0", "text/html;q=0", "application/xhtml+xml", "+json/x", "text/htm",
        // Malformed: no field at all
        "html", "text/", "/html", "text/html;q", "text/html;q=", "text/html;q=2", "text/html;q=1.1",
        "text/html;q=0.1234", "text/html;q=.5", "text/html q=1", "text/html;a", "text/html;a=",
        "text/html;a=\"",
        "text/html, application json", "text/html;a=\"\\",
    ])
    func nothingSaid(value: String) {
        #expect(Self.choice([value], among: Self.all) == nil)
    }

    @Test func onlyWhatIsOfferedIsChosen() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        #expect(Self.choice([browser], among: [.json, .text]) == .text)
        #expect(Self.choice([browser], among: [.json]) == .json)
        #expect(Self.choice(["text/html"], among: [.json, .text]) == nil)
        #expect(Self.choice(["text/html"], among: []) == nil)
    }

    @Test func severalFieldsAreOneList() {
        #expect(Self.choice(["text/html;q=0.5", "application/json"], among: Self.all) == .json)
        #expect(Self.choice(["application/json", "text/html"], among: Self.all) == .json)
        #expect(Self.choice(["application/json", "text"], among: Self.all) == nil)
    }
}
