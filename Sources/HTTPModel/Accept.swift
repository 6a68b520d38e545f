// Accept: in which form a client wants to be told something (RFC 9110 §12.5.1).
//
//     Accept = #( media-range [ weight ] )
//     media-range = ( "*/*" / ( type "/*" ) / ( type "/" subtype ) ) parameters
//
// Only three forms are told apart, because only those are offered: text, JSON and HTML. Parameters of a range
// do not count, but the weight. Anything else is malformed, and a malformed field counts as no field. The
// cost is linear in the value, whose length the head's limits bound.

/// Forms in which the same thing can be said. The order is that of preference where a client has none.
public enum ContentForm: UInt8, CaseIterable, Sendable, BitwiseCopyable {
    case text, json, html
}

/// What a client said about forms. Plain data.
public struct AcceptedForms: Equatable, Sendable, BitwiseCopyable {
    /// A range that was named: its weight, and how many were named before it.
    private struct Said: Equatable, Sendable, BitwiseCopyable {
        var weight: UInt16 = 0
        var place = Int32.max
        var isSaid: Bool { place != .max }
    }

    // By how narrow the range is: of what was said about a form the narrowest counts.
    private var text = Said()
    private var json = Said()
    private var html = Said()
    private var anyText = Said()
    private var anyApplication = Said()
    private var any = Said()
    private var places: Int32 = 0
    private var isMalformed = false

    /// No field at all.
    public init() {}

    /// What a request says in all its fields of this name.
    public init(of request: RequestView) {
        for i in 0..<Int(request.head.pointee.fieldCount) where request.fields[i].id == .accept {
            add(request.fields[i].value.bytes(in: request.bytes))
        }
    }

    /// Adds one field value. Several fields are one list (RFC 9110 §5.3); one malformed value spoils all.
    public mutating func add(_ value: UnsafeBufferPointer<UInt8>) {
        guard let bytes = value.baseAddress else { return }
        var cursor = 0
        while cursor < value.count {
            if Weight.isSpace(bytes[cursor]) || bytes[cursor] == UInt8(ascii: ",") {
                // Empty elements are allowed in what is received (RFC 9110 §5.6.1.2).
                cursor += 1
                continue
            }
            guard addRange(bytes, value.count, &cursor) else {
                isMalformed = true
                return
            }
        }
    }

    /// The form the client wants most, out of those offered: the greatest weight, then what it named first,
    /// then the order of the forms. Nil: it said nothing about any of them.
    public func choice(isOffered: (ContentForm) -> Bool) -> ContentForm? {
        if isMalformed { return nil }
        var best: (form: ContentForm, said: Said)?
        for form in ContentForm.allCases where isOffered(form) {
            let said = said(form)
            guard said.weight > 0 else { continue }
            if let best,
                (said.weight, best.said.place) <= (best.said.weight, said.place)
            {
                continue
            }
            best = (form, said)
        }
        return best?.form
    }

    private func said(_ form: ContentForm) -> Said {
        let (own, ofType) =
            switch form {
            case .text: (text, anyText)
            case .html: (html, anyText)
            case .json: (json, anyApplication)
            }
        return own.isSaid ? own : ofType.isSaid ? ofType : any
    }

    // MARK: - Parsing

    /// One media range with its parameters, to the end of its element. False: it is not well-formed.
    private mutating func addRange(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int
    ) -> Bool {
        let type = bytes + cursor
        let typeCount = Weight.skipToken(bytes, count, &cursor)
        guard typeCount > 0, cursor < count, bytes[cursor] == UInt8(ascii: "/") else { return false }
        cursor += 1
        let subtype = bytes + cursor
        let subtypeCount = Weight.skipToken(bytes, count, &cursor)
        guard subtypeCount > 0 else { return false }
        var weight = Weight.full
        while true {
            Weight.skipSpace(bytes, count, &cursor)
            if cursor == count || bytes[cursor] == UInt8(ascii: ",") { break }
            guard bytes[cursor] == UInt8(ascii: ";") else { return false }
            cursor += 1
            Weight.skipSpace(bytes, count, &cursor)
            // parameters = *( OWS ";" OWS [ parameter ] )
            if cursor == count || bytes[cursor] == UInt8(ascii: ";") || bytes[cursor] == UInt8(ascii: ",") {
                continue
            }
            let name = bytes + cursor
            let nameCount = Weight.skipToken(bytes, count, &cursor)
            guard nameCount > 0, cursor < count, bytes[cursor] == UInt8(ascii: "=") else { return false }
            cursor += 1
            if equals(name, nameCount, lowercase: "q") {
                guard let value = Weight.value(bytes, count, &cursor) else { return false }
                weight = value
            } else if !Self.skipValue(bytes, count, &cursor) {
                return false
            }
        }
        note(type, typeCount, subtype, subtypeCount, Said(weight: weight, place: places))
        places &+= 1
        return true
    }

    /// token / quoted-string
    private static func skipValue(
        _ bytes: UnsafePointer<UInt8>, _ count: Int, _ cursor: inout Int
    ) -> Bool {
        guard cursor < count, bytes[cursor] == UInt8(ascii: "\"") else {
            return Weight.skipToken(bytes, count, &cursor) > 0
        }
        cursor += 1
        while cursor < count, bytes[cursor] != UInt8(ascii: "\"") {
            cursor += bytes[cursor] == UInt8(ascii: "\\") ? 2 : 1
        }
        guard cursor < count else { return false }
        cursor += 1
        return true
    }

    private mutating func note(
        _ type: UnsafePointer<UInt8>, _ typeCount: Int, _ subtype: UnsafePointer<UInt8>, _ subtypeCount: Int,
        _ said: Said
    ) {
        func isSubtype(_ literal: StaticString) -> Bool { equals(subtype, subtypeCount, lowercase: literal) }
        if equals(type, typeCount, lowercase: "text") {
            if isSubtype("plain") { Self.keep(said, in: &text) }
            if isSubtype("html") { Self.keep(said, in: &html) }
            if isSubtype("*") { Self.keep(said, in: &anyText) }
        } else if equals(type, typeCount, lowercase: "application") {
            // Who takes application/problem+json or a vendor's own JSON can read JSON.
            let isJSON =
                isSubtype("json")
                || (subtypeCount > 5 && equals(subtype + subtypeCount - 5, 5, lowercase: "+json"))
            if isJSON { Self.keep(said, in: &json) }
            if isSubtype("*") { Self.keep(said, in: &anyApplication) }
        } else if equals(type, typeCount, lowercase: "*"), isSubtype("*") {
            Self.keep(said, in: &any)
        }
    }

    /// Said twice (with other parameters), the greater weight counts.
    private static func keep(_ said: Said, in place: inout Said) {
        if !place.isSaid || said.weight > place.weight { place = said }
    }
}
