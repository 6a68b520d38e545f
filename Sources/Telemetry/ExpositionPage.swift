// The bytes of an exposition page: families, series, escaping.

/// Builds a page in Prometheus text format 0.0.4.
struct ExpositionPage {
    typealias Labels = [(name: StaticString, value: String)]

    private(set) var bytes: [UInt8] = []
    private var family: StaticString = ""

    /// Writes a family's head and its series; nothing at all when the body writes no series.
    mutating func family(
        _ name: StaticString, _ type: StaticString, _ help: StaticString,
        _ body: (inout ExpositionPage) -> Void
    ) {
        let start = bytes.count
        family = name
        append("# HELP ")
        append(name)
        append(" ")
        append(help)
        append("\n# TYPE ")
        append(name)
        append(" ")
        append(type)
        append("\n")
        let empty = bytes.count
        body(&self)
        if bytes.count == empty { bytes.removeSubrange(start...) }
    }

    mutating func series(_ labels: Labels, _ value: some BinaryInteger) {
        name("", labels)
        append(value.description)
        append("\n")
    }

    mutating func series(_ labels: Labels, _ value: Double) {
        name("", labels)
        append(value.description)
        append("\n")
    }

    /// A count of small units as seconds, exact: busy nanoseconds, summed microseconds.
    mutating func series(_ labels: Labels, seconds value: UInt64, per unit: UInt64) {
        name("", labels)
        append(seconds: value, per: unit)
    }

    /// A histogram with cumulative buckets, `_sum` in seconds and `_count`; nothing while it is empty.
    mutating func histogram(_ labels: Labels, _ values: HistogramValues) {
        guard values.count > 0 else { return }
        var cumulative: UInt64 = 0
        for (i, count) in values.buckets.enumerated() {
            cumulative &+= count
            let bound: StaticString =
                i < LatencyBuckets.boundNames.count ? LatencyBuckets.boundNames[i] : "+Inf"
            name("_bucket", labels + [("le", bound.description)])
            append(cumulative.description)
            append("\n")
        }
        name("_sum", labels)
        append(seconds: values.sumUs, per: 1_000_000)
        name("_count", labels)
        append(cumulative.description)
        append("\n")
    }

    /// Name, suffix and labels of a series, and the space before its value.
    private mutating func name(_ suffix: StaticString, _ labels: Labels) {
        append(family)
        append(suffix)
        if !labels.isEmpty {
            append("{")
            for (i, label) in labels.enumerated() {
                if i > 0 { append(",") }
                append(label.name)
                append("=\"")
                append(escaped: label.value)
                append("\"")
            }
            append("}")
        }
        append(" ")
    }

    private mutating func append(seconds value: UInt64, per unit: UInt64) {
        let fraction = (value % unit + unit).description.dropFirst()
        append("\(value / unit).\(fraction)")
        append("\n")
    }

    private mutating func append(_ text: StaticString) {
        bytes.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

    private mutating func append(escaped text: String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\\"): append("\\\\")
            case UInt8(ascii: "\""): append("\\\"")
            case UInt8(ascii: "\n"): append("\\n")
            default: bytes.append(byte)
            }
        }
    }
}
